"""Which server a request goes to: the rules of RFC 3263 without I/O, and servers best left alone for a while."""
