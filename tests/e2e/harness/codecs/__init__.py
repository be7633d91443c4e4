"""Phones of other people's codecs: what they say, how it travels, and how like it what they hear is."""
