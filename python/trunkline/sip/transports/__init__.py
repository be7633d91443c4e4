"""How SIP's bytes travel: framing and TLS without I/O, and the sockets under them."""
