"""All transactions of one user agent: which message belongs to which.   RFC 3261 sections 17.1.3, 17.2.3.

Owns the absorption of repeats and the messages that transactions want sent.
"""

from __future__ import annotations

from collections import deque

from trunkline.errors import LocalProtocolError
from trunkline.sip.headers import SipUri
from trunkline.sip.message import Request, Response
from trunkline.sip.timers import TimerQueue
from trunkline.sip.transaction.machines import (
    ClientTransaction,
    ClientUser,
    ServerTransaction,
    ServerUser,
    Transaction,
    response_input,
)
from trunkline.sip.transaction.tables import Input, Machine, State, Timing
from trunkline.sip.types import Path, Transmit, Transport

BRANCH_COOKIE = "z9hG4bK"
"""RFC 3261 section 8.1.1.7."""


_Mark = tuple[str, int, str, str | None, str]
"""Call-ID, CSeq and From tag: what copies of a request have in common that came by different ways."""
ServerKey = tuple[str, ...]
"""What identifies a server transaction; the method comes last."""


def server_key(request: Request) -> ServerKey:
    """Return the key of the transaction that a request belongs to or begins.   RFC 3261 section 17.2.3.

    An ACK has the key of its INVITE.
    """
    via = request.top_via
    method = "INVITE" if request.method == "ACK" else request.method
    branch = via.branch or ""
    if branch.startswith(BRANCH_COOKIE) and len(branch) > len(BRANCH_COOKIE):
        return (branch, via.sent_by, method)
    # An RFC 2543 peer: no unique branch. The To tag is left out, since the ACK has one where the INVITE had none.
    from_tag = request.from_.tag or ""
    return (str(via), str(request.uri), request.sip_call_id, from_tag, str(request.cseq.number), method)


def _branch_of(request: Request) -> tuple[str, str]:
    return request.top_via.branch or "", request.method


def _mark(request: Request) -> _Mark:
    """Return what makes a request the same as another one: also whom it is for.

    A server that forks a call to several Contacts of ours means several of our users' places, and no loop.
    """
    called = request.uri.username if isinstance(request.uri, SipUri) else ""
    return request.sip_call_id, request.cseq.number, request.method, request.from_.tag, called


class TransactionLayer:
    """All transactions of one user agent, with the messages they want sent."""

    def __init__(self, timing: Timing, timers: TimerQueue, user: ServerUser) -> None:
        self.timing = timing
        self.timers = timers
        self.user = user
        self.outbox: deque[Transmit] = deque()
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[ServerKey, ServerTransaction] = {}
        self._branches: set[tuple[str, str]] = set()
        self._first_of: dict[_Mark, ServerTransaction] = {}
        self._first_intervals: dict[tuple[str, State, Transport], tuple[tuple[Input, float], ...]] = {}

    @property
    def client_count(self) -> int:
        """Client transactions alive."""
        return len(self._clients)

    @property
    def server_count(self) -> int:
        """Server transactions alive."""
        return len(self._servers)

    @property
    def is_quiet(self) -> bool:
        """Whether no request of ours waits for its final response."""
        waiting = (State.CALLING, State.TRYING, State.PROCEEDING)
        return not any(transaction.state in waiting for transaction in self._clients.values())

    def is_known(self, key: ServerKey) -> bool:
        """Whether there is a server transaction of this key."""
        return key in self._servers

    def has_branch(self, branch: str, method: str) -> bool:
        """Whether a server transaction of this method carries this branch, whoever sent it."""
        return (branch, method) in self._branches

    def first_intervals(self, machine: Machine, state: State, transport: Transport) -> tuple[tuple[Input, float], ...]:
        """Return the timers that start when a machine enters a state, and how long each runs. Worked out once."""
        key = (machine.name, state, transport)
        known = self._first_intervals.get(key)
        if known is None:
            durations = [
                (timer, self.timing.duration(timer, state, is_reliable=transport.is_reliable))
                for timer in machine.timers.get(state, ())
            ]
            known = tuple([(timer, interval) for timer, interval in durations if interval is not None])
            self._first_intervals[key] = known
        return known

    def transmit(self, path: Path, data: bytes) -> None:
        """Queue bytes."""
        self.outbox.append(Transmit(path, data))

    def send_request(self, now: float, request: Request, path: Path, user: ClientUser | None) -> ClientTransaction:
        """Begin a client transaction. LocalProtocolError for ACK, which has none."""
        if request.method == "ACK":
            raise LocalProtocolError("an ACK is not a transaction")
        transaction = ClientTransaction(self, request, path, user)
        self._clients[transaction.key] = transaction
        transaction.begin(now)
        return transaction

    def handle_response(self, now: float, response: Response) -> bool:
        """Give a response to its transaction; False if there is none.   RFC 3261 section 17.1.3."""
        transaction = self._clients.get((response.top_via.branch or "", response.cseq.method))
        if transaction is None:
            return False
        transaction.step(now, response_input(response), response)
        return True

    def handle_request(self, now: float, request: Request, path: Path, key: ServerKey) -> None:
        """Match a request, or begin a server transaction and pass it up.   RFC 3261 section 17.2.3.

        path: where responses go. key: of the request.
        """
        known = self._servers.get(key)
        if known is not None:
            known.step(now, Input.ACK if request.method == "ACK" else Input.REQUEST, request)
        elif request.method == "ACK":
            self.user.handle_stray_ack(now, request)
        else:
            transaction = ServerTransaction(self, request, path, key)
            self._servers[key] = transaction
            self._branches.add(_branch_of(request))
            self._first_of.setdefault(_mark(request), transaction)
            transaction.begin(now)
            self.user.handle_request(now, transaction)

    def invite_of(self, cancel: ServerKey) -> ServerTransaction | None:
        """Find the INVITE that the CANCEL of this key means.   RFC 3261 section 9.2."""
        return self._servers.get((*cancel[:-1], "INVITE"))

    def is_merged(self, transaction: ServerTransaction) -> bool:
        """Whether an earlier transaction carries the same request, forked on its way.   RFC 3261 section 8.2.2.2."""
        request = transaction.request
        return request.to.tag is None and self._first_of[_mark(request)] is not transaction

    def handle_unreachable(self, now: float, path: Path, detail: str = "") -> None:
        """Tell every client transaction towards this peer that the transport failed, and why if that is known."""
        for transaction in list(self._clients.values()):
            used = transaction.path
            is_same_flow = used.connection == path.connection != 0
            if is_same_flow or (used.transport is path.transport and used.remote == path.remote):
                transaction.trouble = detail
                transaction.step(now, Input.TRANSPORT_ERROR)

    def forget(self, transaction: Transaction) -> None:
        """Drop a terminated transaction."""
        if isinstance(transaction, ClientTransaction):
            self._clients.pop(transaction.key, None)
        elif isinstance(transaction, ServerTransaction):
            self._servers.pop(transaction.key, None)
            self._branches.discard(_branch_of(transaction.request))
            mark = _mark(transaction.request)
            if self._first_of.get(mark) is transaction:
                del self._first_of[mark]
