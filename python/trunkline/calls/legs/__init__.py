"""SIP legs: whom one talks to, its side of offer and answer, and a callee who has several."""
