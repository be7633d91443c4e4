"""SHELL: one UDP socket with its error queue.

Owns reading, sending and the news that a peer cannot be reached; answers requests of STUN.
RFC 3261 sections 18.1, 18.4; RFC 1122 4.1.3.3 (ICMP errors reach the user of UDP); RFC 5626 section 8 (STUN).
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections import Counter
from typing import Protocol

from trunkline.sip.bindings.stun import binding_answer, is_binding_request
from trunkline.sip.transports.listening import Listener
from trunkline.sip.types import Address, Path, Transport

_IP_RECVERR, _IPV6_RECVERR = 11, 25
"""Linux: keep ICMP errors of an unconnected socket, with the destination they belong to."""
_DATAGRAM_BYTES = 65_536
_READS_PER_TURN = 512
_MOST_PATHS = 4_096
_RECEIVE_BUFFER_BYTES = 1 << 22
"""Asked for; the system grants up to net.core.rmem_max. What arrives during one slow turn must not be lost."""
_UNREACHABLE = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EINVAL))


class DatagramOwner(Protocol):
    """Who gets what a socket reads."""

    counters: Counter[str]

    def on_data(self, data: bytes, path: Path) -> None:
        """Take one datagram."""

    def on_unreachable(self, path: Path, detail: str = "") -> None:
        """Learn that a datagram of ours did not arrive."""

    def routed_host(self, bound_host: str, remote: Address) -> str | None:
        """Return the address of ours that a peer sees."""


class DatagramSocket:
    """One UDP socket with its error queue."""

    def __init__(self, owner: DatagramOwner, sock: socket.socket, bound: Listener) -> None:
        self._owner = owner
        self._sock = sock
        self._bound = bound
        self._paths: dict[Address, Path] = {}
        self._has_refused = False
        """Whether a send has run into an error that is still in the queue."""
        if bound.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        # A poller within the loop's poller: libuv, on which uvloop runs, stops watching a socket that reports an error.
        self._poller = select.epoll()
        self._poller.register(sock.fileno(), select.EPOLLIN)
        asyncio.get_running_loop().add_reader(self._poller.fileno(), self._on_ready)

    def send(self, data: bytes, remote: Address) -> bool:
        """Send one datagram; False if the system knows that it cannot arrive."""
        for _ in range(2):
            try:
                self._sock.sendto(data, remote)
            except BlockingIOError:
                # The transaction sends again; a queue here would only add delay.
                self._owner.counters["send_dropped"] += 1
            except ConnectionRefusedError:
                # The news about an earlier datagram, perhaps to somebody else: try again. It is read in a turn of its
                # own, since what follows from it may be sent from here.
                self._has_refused = True
                continue
            except OSError as error:
                self._owner.counters["send_errors"] += 1
                return error.errno not in _UNREACHABLE
            return True
        return True

    def close(self) -> None:
        """Stop reading and close."""
        asyncio.get_running_loop().remove_reader(self._poller.fileno())
        self._poller.close()
        self._sock.close()

    def _on_ready(self) -> None:
        for turn in range(_READS_PER_TURN):
            try:
                data, source = self._sock.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                if turn == 0 or self._has_refused:  # else nothing speaks for errors: one that is there wakes us again
                    self._read_errors()
                return
            except OSError:
                self._read_errors()
                continue
            remote: Address = (source[0], source[1])
            if is_binding_request(data):
                self._answer_stun(data, remote)
                continue
            host = self._owner.routed_host(self._bound.host, remote)
            if host is not None and remote[1] != 0:
                self._owner.on_data(data, self._path(host, remote))

    def _path(self, host: str, remote: Address) -> Path:
        """Return the way to a peer; those of the peers heard last are kept, since most speak often."""
        path = self._paths.get(remote)
        if path is None or path.local[0] != host:
            if len(self._paths) >= _MOST_PATHS:
                self._paths.clear()
            path = self._paths[remote] = Path(Transport.UDP, (host, self._bound.port), remote)
        return path

    def _answer_stun(self, data: bytes, remote: Address) -> None:
        answer = binding_answer(data, remote)
        if answer is not None and remote[1] != 0:
            self._owner.counters["stun_requests"] += 1
            self.send(answer, remote)

    def _read_errors(self) -> None:
        """Take ICMP errors off the queue; each names the peer that our datagram did not reach."""
        self._has_refused = False
        for _ in range(_READS_PER_TURN):
            try:
                _, _, _, peer = self._sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            if peer:
                self._owner.counters["icmp_errors"] += 1
                self._owner.on_unreachable(Path(Transport.UDP, (self._bound.host, self._bound.port), peer[:2]))
