"""What the end-to-end tests stand on: two hosts in network namespaces, supervised peers, audio made and judged."""
