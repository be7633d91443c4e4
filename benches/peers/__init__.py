"""Trunkline beside rtpengine, Janus and a bare C forwarder: same generator, same cores, one run.   See ../README.md."""
