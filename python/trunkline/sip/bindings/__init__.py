"""Bindings at registrars: the accounts they belong to, their refresh, and the way on which they are held open."""

from trunkline.sip.bindings.accounts import Accounts

__all__ = ["Accounts"]
