"""Whom to call: what a client dialed, as a target for the SIP side.

Owns the check of dialed text, and calls by the account of a session or REST request. Calls over trunks are routed by
`trunks.fleet`.
"""

from __future__ import annotations

import re
from typing import Final

from trunkline.calls.events import Reply, TransferRequested
from trunkline.calls.legs.sip_party import OutboundCall
from trunkline.calls.model import Side
from trunkline.errors import NoRoute
from trunkline.ids import CallId
from trunkline.sdp.codecs import CodecTerms
from trunkline.sip.types import Account, HeaderFields
from trunkline.trunks.model import MediaTerms

MAX_DIALED: Final = 256

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS: Final = re.compile(r"[\s().\-]")
_NUMBER: Final = re.compile(r"\+?[0-9*#\s().\-]+")


def route(
    dialed: str,
    account: Account | None,
    display_name: str = "",
    *,
    register_expires_s: int | None = None,
    codecs: CodecTerms | None = None,
    headers: HeaderFields = (),
) -> OutboundCall:
    """Return how to reach what was dialed, with this account.

    dialed: a number, with or without separators for the eye; a user; or a whole address. register_expires_s: register
    the account for the time of the call. codecs: what the call wants of them. headers: custom ones, which are allowed.
    Raises NoRoute if nothing was dialed that could be, or there is no account.
    """
    if account is None:
        raise NoRoute("no SIP account to call with")
    return OutboundCall(
        account=account,
        target=dialable(dialed),
        display_name=printable(display_name),
        register_expires_s=register_expires_s,
        terms=MediaTerms(codecs=codecs or CodecTerms()),
        headers=headers,
    )


def printable(display_name: str) -> str:
    """Return a name without what cannot stand in a line."""
    return _UNPRINTABLE.sub(" ", display_name).strip()


def transfer_request(side: Side, target: str, reply: Reply, consulted: CallId | None) -> TransferRequested:
    """Return the wish to transfer a call. target: as it was dialed. Raises NoRoute if it cannot be dialed.

    consulted: the call whose far side takes over; `target` then only names it.
    """
    return TransferRequested(side, target if consulted is not None else dialable(target), reply, consulted)


def dialable(dialed: str) -> str:
    """Return what was dialed as a number without separators, a user or an address. NoRoute if it is none of these."""
    target = dialed.strip().removeprefix("tel:")
    if not target or len(target) > MAX_DIALED or _UNPRINTABLE.search(target):
        raise NoRoute("nothing that can be dialed")
    if _NUMBER.fullmatch(target):
        return _SEPARATORS.sub("", target)
    return f"sip:{target}" if "@" in target and not target.startswith(("sip:", "sips:")) else target
