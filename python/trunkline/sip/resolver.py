"""SHELL: asks the DNS, and the system where its own tables count.

Owns queries, their time limit, and a cache that keeps to the records' life times and lets many calls share one query.
What the records mean is `finding.targets`'.   RFC 3263, RFC 2308 (negative answers).
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.rdtypes.IN.NAPTR
import dns.rdtypes.IN.SRV
import dns.resolver

from trunkline.sip.finding.targets import Naptr, Question, RecordKind, Records, Srv

_CACHE_SIZE = 4_096
_SYSTEM_TTL_S = 30.0
_NEGATIVE_TTL_S = 10.0
_MAX_TTL_S = 3_600.0


class Resolver(Protocol):
    """Answers questions of `finding.targets`."""

    async def look_up(self, question: Question) -> Records:
        """Return the records; none if there are none or no answer came in time. Never raises."""

    async def close(self) -> None:
        """Give up what is still asked."""


class DnsResolver:
    """The DNS for NAPTR and SRV, and for addresses the system's resolver, so that /etc/hosts and local policy hold.

    servers: IP addresses of name servers, which then answer for addresses too; empty takes the system's. port: of
    these. timeout_s: after which a question counts as unanswered.
    """

    def __init__(self, servers: Sequence[str] = (), *, port: int = 53, timeout_s: float = 3.0) -> None:
        self._timeout_s = timeout_s
        self._asks_dns_only = bool(servers)
        self._dns = _stub(servers, port, timeout_s)
        self._known: OrderedDict[Question, tuple[float, Records]] = OrderedDict()
        self._pending: dict[Question, asyncio.Task[Records]] = {}

    async def look_up(self, question: Question) -> Records:
        """See `Resolver`."""
        known = self._known.get(question)
        if known is not None and known[0] > asyncio.get_running_loop().time():
            self._known.move_to_end(question)
            return known[1]
        task = self._pending.get(question)
        if task is None:
            task = self._pending[question] = asyncio.get_running_loop().create_task(self._ask(question))
            task.add_done_callback(lambda _: self._pending.pop(question, None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """See `Resolver`."""
        pending = list(self._pending.values())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _ask(self, question: Question) -> Records:
        try:
            async with asyncio.timeout(self._timeout_s):
                records, ttl_s = await self._answer(question)
        except (OSError, TimeoutError, UnicodeError, dns.exception.DNSException):
            records, ttl_s = (), _NEGATIVE_TTL_S
        now = asyncio.get_running_loop().time()
        self._known[question] = (now + min(max(ttl_s, 1.0), _MAX_TTL_S), records)
        if len(self._known) > _CACHE_SIZE:
            self._known.popitem(last=False)
        return records

    async def _answer(self, question: Question) -> tuple[Records, float]:
        if question.kind is RecordKind.NAPTR:
            return await self._naptr(question.name)
        if question.kind is RecordKind.SRV:
            return await self._srv(question.name)
        if self._asks_dns_only:
            return await self._addresses(question.name)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(question.name, None, type=socket.SOCK_DGRAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found)), _SYSTEM_TTL_S

    async def _naptr(self, name: str) -> tuple[Records, float]:
        answer = await self._query(name, dns.rdatatype.NAPTR)
        found = [each for each in answer if isinstance(each, dns.rdtypes.IN.NAPTR.NAPTR)]
        records = [
            Naptr(each.order, each.preference, each.service.decode("ascii", "replace"), _text(each.replacement))
            for each in found
            if each.flags.lower() == b"s"
        ]
        return records, _ttl(answer)

    async def _srv(self, name: str) -> tuple[Records, float]:
        answer = await self._query(name, dns.rdatatype.SRV)
        found = [each for each in answer if isinstance(each, dns.rdtypes.IN.SRV.SRV)]
        return [Srv(each.priority, each.weight, each.port, _text(each.target)) for each in found], _ttl(answer)

    async def _addresses(self, name: str) -> tuple[Records, float]:
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        answers = await asyncio.gather(*(self._query(name, kind) for kind in kinds), return_exceptions=True)
        good = [answer for answer in answers if isinstance(answer, dns.resolver.Answer)]
        if not good:
            return [], _NEGATIVE_TTL_S
        return [each.to_text() for answer in good for each in answer], min(map(_ttl, good))

    async def _query(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        return await self._dns.resolve(name, kind, search=False)


def _stub(servers: Sequence[str], port: int, timeout_s: float) -> dns.asyncresolver.Resolver:
    try:
        stub = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:
        stub = dns.asyncresolver.Resolver(configure=False)  # every question then ends without an answer
    if servers:
        stub.nameservers = list(servers)
        stub.port = port
    stub.lifetime = timeout_s
    stub.timeout = min(1.0, timeout_s)
    return stub


def _ttl(answer: dns.resolver.Answer) -> float:
    return float(answer.rrset.ttl) if answer.rrset is not None else _NEGATIVE_TTL_S


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=name != dns.name.root)
