"""Call set-up: the signalling of Trunkline beside sippy's B2BUA and the package sipmessage."""
