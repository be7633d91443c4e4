"""Stub of what is compiled: the media plane, and SIP's reader and writer. `rust/src/py` is what it describes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar, final

from trunkline.media.types import Command, EngineSettings, Event
from trunkline.sip.headers import CSeq, NameAddr, Parameters, Uri, Via
from trunkline.sip.message import Message

__all__ = [
    "MAX_CSEQ",
    "MAX_HEADERS",
    "MAX_LINE_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_VIAS",
    "Engine",
    "HeaderList",
    "__version__",
    "is_speex_available",
    "is_token",
    "parse_cseq",
    "parse_name_addr",
    "parse_number",
    "parse_parameters",
    "parse_uri",
    "parse_via",
    "read_message",
    "split_outside",
    "unquote",
]

__version__: str

_Value = TypeVar("_Value")

def is_speex_available() -> bool:
    """Say whether Speex can be coded: libspeex is installed. It is looked for at the first call."""

@final
class Engine:
    """The media engine: started by its construction, ended by `shutdown`."""

    def __new__(cls, settings: EngineSettings) -> Engine:
        """Start the worker threads. Raises MediaError where sockets, threads or settings do not allow it."""

    def new_call(self) -> int:
        """Name a call, so that a worker that lives will have it."""

    def submit(self, request_id: int, call_id: int, command: Command) -> None:
        """Hand one command to the worker of `call_id`, without waiting; it looks at the latest after `flush`.

        Raises CapacityError when that worker has too many waiting, MediaError when the engine is closed or a parameter
        is not understood, ValueError for what is not in `media.types`.
        """

    def flush(self) -> None:
        """Wake the workers that have been handed commands."""

    def poll_events(self, max: int) -> list[Event]:
        """Take up to `max` events. Never waits."""

    def event_fd(self) -> int:
        """Return a descriptor that is readable while events wait. It belongs to the engine."""

    def totals(self) -> dict[str, Any]:
        """Counters of all workers since start: the fields of `media.types.Totals`."""

    def shared_sockets(self) -> list[tuple[int, int, int]]:
        """Of the browsers' socket of each worker: bytes of its two kernel buffers, in and out, and its DSCP."""

    def shutdown(self) -> bool:
        """End every endpoint and thread, within a few seconds. Returns whether all threads ended."""

# --- SIP: any text ends in a value or in SipParseError ---

MAX_MESSAGE_BYTES: Final[int]
MAX_LINE_BYTES: Final[int]
MAX_HEADERS: Final[int]
MAX_VIAS: Final[int]
MAX_CSEQ: Final[int]
"""RFC 3261 section 8.1.1.5."""

def read_message(data: bytes) -> Message:
    """Read one datagram or one frame; bytes after Content-Length are ignored.

    SipParseError if there is nothing to answer, BadRequestError if there is. What every message must have is there once
    then, and what routes it can be read: the typed properties of the message do not raise.   RFC 3261 section 8.1.1.
    """

def parse_uri(text: str) -> Uri:
    """Read a URI that stands alone or between angle brackets."""

def parse_name_addr(text: str) -> NameAddr:
    """Read one value of From, To, Contact or a route, in name-addr or addr-spec form."""

def parse_via(text: str) -> Via:
    """Read one value of Via."""

def parse_cseq(text: str) -> CSeq:
    """Read the value of a CSeq."""

def parse_parameters(text: str) -> Parameters:
    """Read `name=value;name...` (what follows the first `;`). Empty pieces are skipped, as many peers send them."""

def parse_number(text: str, *, maximum: int = ...) -> int:
    """Read delta-seconds and other plain numbers, up to 2**32 - 1."""

def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator that stands neither in quotes nor between `<` and `>`; pieces are stripped."""

def is_token(text: str) -> bool:
    """Say whether text can stand unquoted (RFC 3261 section 25.1, `token`)."""

def unquote(text: str) -> str:
    """Undo `quote`; text that is not quoted is returned as it is."""

@final
class HeaderList:
    """The header fields of one message, in order, with typed access; names compare without regard to case.

    Values are unfolded text; bytes that are not UTF-8 survive as surrogate escapes. Compact names of messages that were
    read are written in full. Typed values are remembered until a field of theirs changes. It can be changed, and so has
    no hash.   RFC 3261 section 7.3.
    """

    def __new__(cls, fields: Iterable[tuple[str, str]] | None = None) -> HeaderList:
        """Build from fields of our own; LocalProtocolError on CR, LF or NUL."""

    @staticmethod
    def received(fields: Iterable[tuple[str, str]]) -> HeaderList:
        """Build from fields that came from a peer."""

    @staticmethod
    def of_response(request: HeaderList, to_tag: str | None, *, with_timestamp: bool) -> HeaderList:
        """Build the start of a response: Via, From, To, Call-ID and CSeq as they came.   RFC 3261 section 8.2.6.

        to_tag: added to the To. with_timestamp: Timestamp goes back as well, as in a 100.
        """

    def copy(self) -> HeaderList:
        """Return an independent list with the same fields."""

    def add(self, name: str, value: str) -> None:
        """Append a field of our own; LocalProtocolError on CR, LF or NUL. So do `prepend` and `set`."""

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others."""

    def prepend_via(self, via: Via) -> None:
        """Put a Via of ours before all others."""

    def set(self, name: str, value: str) -> None:
        """Put one field in the place of all of this name, or at the end."""

    def set_top_via(self, via: Via) -> None:
        """Put a Via in the place of the newest one, leaving those behind it as they came."""

    def add_received(self, name: str, value: str) -> None:
        """Append a field whose value has come from a peer: it holds no line breaks, but may hold a NUL."""

    def extend_received(self, name: str, other: HeaderList) -> None:
        """Append all fields of this name from a received list, as they came."""

    def echo(self, name: str, other: HeaderList) -> None:
        """Append the first field of this name from a received list, as it came."""

    def remove(self, name: str) -> None:
        """Drop all fields of this name."""

    def get(self, name: str) -> str | None:
        """Value of the first field of this name."""

    def get_all(self, name: str) -> tuple[str, ...]:
        """Values of all fields of this name, in order."""

    def one(self, name: str, parse: Callable[[str], _Value]) -> _Value:
        """Typed value of a header that must be there exactly once; SipParseError if not."""

    def many(self, name: str, parse: Callable[[str], _Value]) -> tuple[_Value, ...]:
        """Typed values of a header that may be repeated."""

    def release(self) -> None:
        """Give back the memory of typed values: nobody is expected to ask for them soon."""

    def write(self, start_line: str, body: bytes) -> bytes:
        """Write a message with its Content-Length, whatever a field of that name says.

        LocalProtocolError on CR, LF or NUL in the start line.
        """

    @property
    def sip_call_id(self) -> str:
        """The Call-ID; SipParseError if there is not exactly one. So do the next three."""

    @property
    def cseq(self) -> CSeq:
        """Sequence number and method."""

    @property
    def from_(self) -> NameAddr:
        """From."""

    @property
    def to(self) -> NameAddr:
        """To."""

    @property
    def vias(self) -> tuple[Via, ...]:
        """All Via values, the newest first."""

    @property
    def contacts(self) -> tuple[NameAddr, ...]:
        """All Contact values; none for `*`."""

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """All Record-Route values, in the order of the message."""

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """All Route values, the next hop first."""

    @property
    def may_be_tagged(self) -> bool:
        """Whether a response gets a To tag of ours: the To can be read, and has none."""

    @property
    def about_bytes(self) -> int:
        """How long the fields are when they are written."""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Names and values."""

    def __len__(self) -> int:
        """How many fields there are."""

    def __eq__(self, value: object, /) -> bool:
        """Whether the same fields stand in the same order."""
