"""Headers of reliable provisional responses and of session timers: RAck, Session-Expires.   RFC 3262, RFC 4028."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trunkline._media import MAX_CSEQ, parse_number, parse_parameters
from trunkline.errors import SipParseError
from trunkline.sip.headers.fields import CSeq
from trunkline.sip.headers.text import TOKEN

_RACK = re.compile(rf"([0-9]{{1,10}})[ \t]+([0-9]{{1,10}})[ \t]+({TOKEN.pattern})")


@dataclass(frozen=True, slots=True)
class RAck:
    """Which reliable response a PRACK acknowledges: its RSeq and CSeq.   RFC 3262 section 7.2."""

    number: int
    cseq: CSeq

    @classmethod
    def parse(cls, text: str) -> RAck:
        """Read the value."""
        found = _RACK.fullmatch(text.strip(" \t"))
        if found is None or int(found[2]) > MAX_CSEQ:
            raise SipParseError("bad RAck")
        return cls(int(found[1]), CSeq(int(found[2]), found[3]))

    def __str__(self) -> str:
        return f"{self.number} {self.cseq}"


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """How long a session lasts without a refresh, and who refreshes: `uac`, `uas` or, in a request, nobody yet.

    RFC 4028 section 4.
    """

    seconds: int
    refresher: str | None = None

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        """Read the value."""
        seconds, _, rest = text.partition(";")
        refresher = next((value for name, value in parse_parameters(rest) if name.lower() == "refresher"), None)
        if refresher is not None:
            refresher = refresher.lower()
        if refresher not in (None, "uac", "uas"):
            raise SipParseError("bad refresher")
        return cls(parse_number(seconds), refresher)

    def __str__(self) -> str:
        return str(self.seconds) if self.refresher is None else f"{self.seconds};refresher={self.refresher}"
