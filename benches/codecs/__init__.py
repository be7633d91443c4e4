"""What sound costs, beside other libraries: `make bench-codecs`."""
