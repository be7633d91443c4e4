"""Why a call ends because of an error of ours or of the media plane.

Owns the translation from exceptions and from the media plane's reasons to end reasons.
"""

from __future__ import annotations

from typing import Final

from trunkline.calls.model import CallEnd, EndReason
from trunkline.errors import (
    CapacityError,
    LocalProtocolError,
    MediaError,
    NegotiationError,
    NoRoute,
    PlainMediaRefused,
    SdpError,
    TranscodingForbidden,
    TransportError,
)

_REASONS: Final[tuple[tuple[type[Exception], EndReason], ...]] = (
    # The first that fits.
    (PlainMediaRefused, EndReason.PLAIN_MEDIA_REFUSED),
    (TranscodingForbidden, EndReason.TRANSCODING_FORBIDDEN),
    (NegotiationError, EndReason.NO_COMMON_CODECS),
    (SdpError, EndReason.BAD_DESCRIPTION),
    (CapacityError, EndReason.CAPACITY),
    (NoRoute, EndReason.NO_ROUTE),
    (LocalProtocolError, EndReason.NO_ROUTE),
    (TransportError, EndReason.SERVER_UNREACHABLE),
    (MediaError, EndReason.MEDIA_FAILED),
)

CLOSED: Final[dict[str, EndReason]] = {
    "ice_timeout": EndReason.ICE_FAILED,
    "consent_expired": EndReason.ICE_FAILED,
    "dtls_timeout": EndReason.DTLS_FAILED,
    "dtls_failed": EndReason.DTLS_FAILED,
}
"""Why the media plane closed an endpoint by itself; anything else is a failure of its own."""


def failure_of(error: Exception) -> CallEnd:
    """Return how a call ends because of an error."""
    reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), EndReason.INTERNAL)
    return CallEnd(reason, phrase=str(error))
