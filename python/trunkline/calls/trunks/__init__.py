"""Trunks at work: they are asked whether they are there, registered at, given calls, and call in.

The decisions are `trunkline.trunks`'; here are their timers, their lines and the legs that come of them.
"""
