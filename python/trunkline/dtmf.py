"""How DTMF digits travel: the words that settings, negotiation, the media plane and calls share.

Owns two enumerations and nothing else.   RFC 4733, ITU-T Q.23.
"""

from __future__ import annotations

from enum import StrEnum


class DtmfKind(StrEnum):
    """How a digit travels."""

    RFC4733 = "rfc4733"
    """As telephone-events; to a far side that negotiated none, as tones."""
    INBAND = "inband"
    """As two tones in the audio."""
    INFO = "info"
    """In SIP INFO, which the media plane knows nothing of."""


class DtmfMode(StrEnum):
    """What a leg is set to."""

    RFC4733 = "rfc4733"
    """Telephone-events; a far side that negotiates none gets tones, and is not listened to."""
    INBAND = "inband"
    """Tones both ways; no telephone-events are negotiated."""
    INFO = "info"
    """SIP INFO both ways; no telephone-events are negotiated."""
    AUTO = "auto"
    """Telephone-events if they are negotiated, else INFO if the far side says that it takes it, else tones."""

    @property
    def has_events(self) -> bool:
        """Whether telephone-events are negotiated."""
        return self in (DtmfMode.RFC4733, DtmfMode.AUTO)
