"""The exception tree of Trunkline.

    TrunklineError
    +-- ConfigError
    +-- ProtocolError
    |   +-- LocalProtocolError       our misuse of a protocol core
    |   +-- RemoteProtocolError      the far side broke the protocol
    |       +-- SipParseError
    |       +-- SdpError
    |       +-- NegotiationError     no common codec, transport or crypto (488)
    |           +-- PlainMediaRefused  plain RTP where the policy wants SRTP
    |           +-- TranscodingForbidden  no codec that both legs speak, and nothing else is allowed
    +-- TransportError
    |   +-- ConnectFailed
    |   +-- TransportClosed
    +-- TransactionTimeout           408
    +-- CallError
    |   +-- CallNotFound
    |   +-- CallExists
    |   +-- InvalidCallState
    |   +-- NotConfigured            501, the settings do not provide for it
    |   +-- NoRoute
    |   +-- LegRejected              the far side said no: carries its status and reason
    +-- MediaError                   the media plane refused or failed: carries its kind
    +-- CapacityError                503, retry later
    +-- AuthError
    |   +-- TooManyGuesses           429, no password is looked at for a while
    +-- StoreError

Each class fixes `code` (a stable string for clients), `sip_status`, `http_status` and `retryable`; one table test pins
them. Raise where the fact is known; translate once, in `calls.legs.sip_leg` and `api.problems`.
"""

from typing import ClassVar


class TrunklineError(Exception):
    """Anything that Trunkline raises on purpose."""

    code: ClassVar[str] = "internal"
    sip_status: ClassVar[int] = 500
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False


class ConfigError(TrunklineError):
    """The configuration cannot be used; the message names the field."""

    code = "config"


class ProtocolError(TrunklineError):
    """A protocol rule was broken."""

    code = "protocol"
    sip_status = 400
    http_status = 400


class LocalProtocolError(ProtocolError):
    """We used a protocol core wrongly: a bug on our side."""

    code = "local_protocol"
    sip_status = 500
    http_status = 500


class RemoteProtocolError(ProtocolError):
    """The far side broke the protocol."""

    code = "remote_protocol"


class SipParseError(RemoteProtocolError):
    """Bytes that are not a SIP message (RFC 3261 section 25)."""

    code = "sip_parse"


class SdpError(RemoteProtocolError):
    """Text that is not a session description (RFC 8866), or is over our limits."""

    code = "sdp"


class NegotiationError(RemoteProtocolError):
    """Two descriptions have no codec, transport or crypto in common."""

    code = "negotiation"
    sip_status = 488
    http_status = 422


class PlainMediaRefused(NegotiationError):
    """The far side has only plain RTP, and the policy wants its media protected."""

    code = "plain_media_refused"


class TranscodingForbidden(NegotiationError):
    """The two legs of a call share no codec, and its audio may not be coded anew."""

    code = "transcoding_forbidden"


class TransportError(TrunklineError):
    """Bytes could not be delivered."""

    code = "transport"
    sip_status = 503
    http_status = 503
    retryable = True


class ConnectFailed(TransportError):
    """No connection to the next hop."""

    code = "connect_failed"


class TransportClosed(TransportError):
    """The connection went away."""

    code = "transport_closed"


class TransactionTimeout(TrunklineError):
    """No final response in time (RFC 3261 timer B or F)."""

    code = "transaction_timeout"
    sip_status = 408
    http_status = 504
    retryable = True


class CallError(TrunklineError):
    """A call operation cannot be done."""

    code = "call"


class CallNotFound(CallError):
    """No live call has this id."""

    code = "call_not_found"
    sip_status = 481
    http_status = 404


class CallExists(CallError):
    """A live call already has this id."""

    code = "call_exists"
    sip_status = 482
    http_status = 409


class InvalidCallState(CallError):
    """The call is not in a state that allows this."""

    code = "invalid_call_state"
    sip_status = 491
    http_status = 409


class NotConfigured(CallError):
    """The node could do this, but its settings do not provide for it."""

    code = "not_supported"
    sip_status = 501
    http_status = 501


class NoRoute(CallError):
    """Nobody to send this call to."""

    code = "no_route"
    sip_status = 404
    http_status = 404


class LegRejected(CallError):
    """The far side refused the leg."""

    code = "leg_rejected"
    http_status = 502

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class MediaError(TrunklineError):
    """The media plane refused a command, or an endpoint failed.

    kind: a stable snake_case string from the media plane, e.g. `no_free_port`, `unknown_endpoint`.
    """

    code = "media"

    def __init__(self, kind: str, message: str = "") -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind = kind


class CapacityError(TrunklineError):
    """We are full: a queue, a port range or a limit."""

    code = "capacity"
    sip_status = 503
    http_status = 503
    retryable = True

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AuthError(TrunklineError):
    """Credentials are missing or wrong."""

    code = "auth"
    sip_status = 403
    http_status = 401


class TooManyGuesses(AuthError):
    """Too many passwords were wrong: further ones are not looked at for a while."""

    code = "too_many_guesses"
    http_status = 429
    retryable = True

    def __init__(self, message: str, retry_after_s: int = 30) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreError(TrunklineError):
    """Persistence failed."""

    code = "store"
    retryable = True
