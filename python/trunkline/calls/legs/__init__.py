"""The parts of a SIP leg: whom it talks to, and its side of offer and answer. `sip_leg` puts them together."""
