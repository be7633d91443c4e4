"""Which server is tried, in what order, and what happens when it fails.   RFC 3263, RFC 2782."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import uvloop

from sip.emulation import OFFER
from sip.phones import Phone, Start, phones, talk
from trunkline.sip.finding.outages import REST_S, Outages
from trunkline.sip.finding.targets import (
    MAX_RECORDS,
    Naptr,
    Question,
    RecordKind,
    Records,
    Search,
    Srv,
    Target,
)
from trunkline.sip.resolver import DnsResolver
from trunkline.sip.types import (
    EndCause,
    Hop,
    IncomingInvite,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteProgress,
    InviteRequest,
    Path,
    Transport,
    UaConfig,
)

UDP, TCP, TLS, WSS = Transport.UDP, Transport.TCP, Transport.TLS, Transport.WSS
ALL = frozenset(Transport)
HOME = "carrier.example"

# --- the rules -------------------------------------------------------------------------------------------------------


def search(hop: Hop, zone: Mapping[tuple[str, str], Records], usable: frozenset[Transport] = ALL) -> list[Target]:
    """Answer every question from the zone: (kind, name) -> records."""
    searching = Search(hop, usable, Random(1))
    for _ in range(5):
        for question in searching.poll_questions():
            searching.handle_answer(question, zone.get((question.kind, question.name), ()))
    assert searching.poll_questions() == [], "the search ends"
    return searching.targets


def test_address_is_taken_as_it_is() -> None:
    assert search(Hop("192.0.2.1"), {}) == [Target(UDP, ("192.0.2.1", 5060))]
    assert search(Hop("192.0.2.1", 5070, TCP), {}) == [Target(TCP, ("192.0.2.1", 5070))]
    assert search(Hop("2001:db8::1", is_secure=True), {}) == [Target(TLS, ("2001:db8::1", 5061))]
    assert search(Hop("192.0.2.1", None, WSS), {}) == [Target(WSS, ("192.0.2.1", 443))]


def test_port_rules_service_records_out() -> None:
    zone = {("A/AAAA", HOME): ["192.0.2.1", "192.0.2.2"], ("SRV", f"_sip._udp.{HOME}"): [Srv(0, 0, 9, "x")]}
    assert search(Hop(HOME, 5070), zone) == [Target(UDP, ("192.0.2.1", 5070)), Target(UDP, ("192.0.2.2", 5070))]
    assert search(Hop(HOME, 5071, is_secure=True), zone)[0] == Target(TLS, ("192.0.2.1", 5071))


def test_naptr_chooses_the_transport_by_order_and_preference() -> None:
    zone: dict[tuple[str, str], Records] = {
        ("NAPTR", HOME): [
            Naptr(20, 1, "SIP+D2U", "later.example"),
            Naptr(10, 50, "SIP+D2T", "tcp.example"),
            Naptr(10, 10, "SIPS+D2T", "tls.example"),
            Naptr(1, 1, "E2U+sip", "number.example"),
        ],
        ("SRV", "tcp.example"): [Srv(0, 0, 5080, "a.example")],
        ("SRV", "tls.example"): [Srv(0, 0, 5081, "b.example")],
        ("SRV", "later.example"): [Srv(0, 0, 5082, "c.example")],
        ("A/AAAA", "a.example"): ["192.0.2.1"],
        ("A/AAAA", "b.example"): ["192.0.2.2"],
    }
    assert search(Hop(HOME), zone) == [Target(TLS, ("192.0.2.2", 5081)), Target(TCP, ("192.0.2.1", 5080))]
    assert search(Hop(HOME, is_secure=True), zone) == [Target(TLS, ("192.0.2.2", 5081))]
    assert search(Hop(HOME), zone, frozenset({UDP, TCP})) == [Target(TCP, ("192.0.2.1", 5080))]


def test_without_naptr_service_records_choose_and_without_these_the_address() -> None:
    zone: dict[tuple[str, str], Records] = {
        ("SRV", f"_sip._tcp.{HOME}"): [Srv(0, 0, 5090, "192.0.2.7")],
        ("A/AAAA", HOME): ["192.0.2.1"],
    }
    assert search(Hop(HOME), zone) == [Target(TCP, ("192.0.2.7", 5090))]
    assert search(Hop(HOME, None, UDP), zone) == [Target(UDP, ("192.0.2.1", 5060))]
    assert search(Hop(HOME, is_secure=True), zone) == [Target(TLS, ("192.0.2.1", 5061))]


def test_service_that_is_decidedly_not_there_and_name_without_address_lead_nowhere() -> None:
    assert search(Hop(HOME), {}) == []
    assert search(Hop(HOME, None, UDP), {("SRV", f"_sip._udp.{HOME}"): [Srv(0, 0, 0, ".")]}) == []


def test_priorities_go_before_weights_and_weights_share_the_load() -> None:
    records = [Srv(2, 0, 1, "192.0.2.9"), Srv(1, 75, 1, "192.0.2.1"), Srv(1, 25, 1, "192.0.2.2")]
    zone = {("SRV", f"_sip._udp.{HOME}"): records}
    firsts: Counter[str] = Counter()
    rng = Random(4)
    for _ in range(2_000):
        searching = Search(Hop(HOME, None, UDP), ALL, rng)
        for question in searching.poll_questions():
            searching.handle_answer(question, zone.get((question.kind, question.name), ()))
        hosts = [target.remote[0] for target in searching.targets]
        assert hosts[2] == "192.0.2.9"
        firsts[hosts[0]] += 1
    assert 1_400 < firsts["192.0.2.1"] < 1_600


def test_answers_of_any_size_are_bounded() -> None:
    records = [Srv(0, 1, 5060, f"192.0.2.{number}") for number in range(250)]
    assert len(search(Hop(HOME, None, UDP), {("SRV", f"_sip._udp.{HOME}"): records})) == MAX_RECORDS


def test_silent_server_goes_last_until_it_has_rested() -> None:
    first, second = (Path(UDP, ("192.0.2.1", 5060), (host, 5060)) for host in ("192.0.2.8", "192.0.2.9"))
    outages = Outages()
    outages.note(0.0, first)
    assert outages.sorted(1.0, [first, second]) == [second, first]
    assert outages.sorted(REST_S, [first, second]) == [first, second]
    assert len(outages) == 0
    outages.note(0.0, first, rest_s=10.0)
    outages.clear(first)
    assert outages.sorted(1.0, [first, second]) == [first, second]
    for port in range(5_000):
        outages.note(0.0, Path(UDP, ("192.0.2.1", 5060), ("192.0.2.8", port)))
    assert len(outages) == 1_024


# --- a name server on loopback ---------------------------------------------------------------------------------------


class NameServer(asyncio.DatagramProtocol):
    """Answers from a zone in the text form of records; silent: names that get no answer."""

    def __init__(self, zone: Mapping[tuple[str, str], Sequence[str]], silent: frozenset[str] = frozenset()) -> None:
        self.asked: Counter[str] = Counter()
        self._zone = zone
        self._silent = silent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        asked = query.question[0]
        name, kind = asked.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(asked.rdtype)
        self.asked[f"{kind} {name}"] += 1
        if name in self._silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        records = self._zone.get((kind, name))
        if records:
            response.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *records))
        elif not any(known == name for _, known in self._zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), addr)  # type: ignore[attr-defined]


@asynccontextmanager
async def name_server(
    zone: Mapping[tuple[str, str], Sequence[str]], silent: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[NameServer, DnsResolver]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(zone, silent), local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    resolver = DnsResolver(["127.0.0.1"], port=port, timeout_s=0.5)
    try:
        yield server, resolver
    finally:
        await resolver.close()
        transport.close()


async def test_records_are_read_and_kept_for_their_life_time() -> None:
    zone = {
        ("NAPTR", HOME): [f'10 5 "s" "SIP+D2U" "" _sip._udp.{HOME}.', '20 5 "u" "E2U+sip" "!x!y!" .'],
        ("SRV", f"_sip._udp.{HOME}"): ["1 2 5099 a.carrier.example."],
        ("A", "a.carrier.example"): ["192.0.2.1"],
        ("AAAA", "a.carrier.example"): ["2001:db8::1"],
    }
    async with name_server(zone) as (server, resolver):
        for _ in range(3):
            naptr = Question(RecordKind.NAPTR, HOME)
            assert await resolver.look_up(naptr) == [Naptr(10, 5, "SIP+D2U", f"_sip._udp.{HOME}")]
        srv = Question(RecordKind.SRV, f"_sip._udp.{HOME}")
        answers = await asyncio.gather(*(resolver.look_up(srv) for _ in range(50)))
        assert answers == [[Srv(1, 2, 5099, "a.carrier.example")]] * 50
        address = Question(RecordKind.ADDRESS, "a.carrier.example")
        assert await resolver.look_up(address) == ["192.0.2.1", "2001:db8::1"]
        assert await resolver.look_up(Question(RecordKind.SRV, "nobody.example")) == ()
        assert await resolver.look_up(Question(RecordKind.SRV, "a..b")) == ()
    assert set(server.asked.values()) == {1}, "each is asked once, however many calls want it"


async def test_server_that_does_not_answer_is_given_up_in_time() -> None:
    async with name_server({}, silent=frozenset({HOME})) as (_, resolver):
        started = asyncio.get_running_loop().time()
        assert await resolver.look_up(Question(RecordKind.SRV, HOME)) == ()
        assert asyncio.get_running_loop().time() - started < 1


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with phones() as starting:
        yield starting


def zone_of(*ports: int) -> dict[tuple[str, str], list[str]]:
    """Servers on loopback at these UDP ports, the first the most wanted."""
    services = [f"{priority} 0 {port} sbc.{HOME}." for priority, port in enumerate(ports)]
    return {("SRV", f"_sip._udp.{HOME}"): services, ("A", f"sbc.{HOME}"): ["127.0.0.1"]}


@asynccontextmanager
async def silence() -> AsyncIterator[int]:
    """A UDP port of loopback that takes everything and says nothing."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    yield transport.get_extra_info("sockname")[1]
    transport.close()
    await asyncio.sleep(0)  # the loop closes it in its next turn


async def closed_port() -> int:
    async with silence() as port:
        return port


FAST = UaConfig(failover_s=0.3)


async def test_call_goes_to_the_next_server_when_one_is_down_or_silent(start: Start) -> None:
    bob = await start(UDP)
    async with silence() as silent, name_server(zone_of(await closed_port(), silent, bob.port(UDP))) as (_, resolver):
        alice = await start(UDP, resolver=resolver, config=FAST)
        started = asyncio.get_running_loop().time()
        await talk(alice, bob, f"sip:bob@{HOME}")
        assert 0.3 <= asyncio.get_running_loop().time() - started < 1.5
        started = asyncio.get_running_loop().time()
        await talk(alice, bob, f"sip:bob@{HOME}")
        assert asyncio.get_running_loop().time() - started < 0.3, "the next call does not wait for them again"


def test_call_finds_its_server_on_uvloop() -> None:
    async def run() -> None:
        async with phones() as start:
            bob = await start(UDP)
            async with name_server(zone_of(bob.port(UDP))) as (_, resolver):
                alice = await start(UDP, resolver=resolver)
                await talk(alice, bob, f"sip:bob@{HOME}")

    uvloop.run(run())


async def test_call_goes_to_the_next_server_on_503_and_not_on_486(start: Start) -> None:
    busy, bob = await start(UDP), await start(UDP)
    statuses = iter((503, 486))

    def refuse(event: object) -> None:
        if isinstance(event, IncomingInvite):
            busy.shell.hangup(event.id, next(statuses))

    busy.on_event = refuse
    async with name_server(zone_of(busy.port(UDP), bob.port(UDP))) as (_, resolver):
        alice = await start(UDP, resolver=resolver)
        await talk(alice, bob, f"sip:bob@{HOME}")
        alice.ua._core.outages.clear(Path(UDP, ("", 0), ("127.0.0.1", busy.port(UDP))))
        assert (await alice.call(f"sip:bob@{HOME}", InviteFailed)).status == 486


async def test_server_that_wakes_up_late_is_told_to_stop(start: Start) -> None:
    """Its phone would go on ringing although the call was answered elsewhere."""
    late, bob = await start(UDP), await start(UDP)
    bob.answer_all()
    async with silence() as relay_port:
        pass
    relay = await _Relay.start(relay_port, late.port(UDP), delay_s=0.6)
    async with name_server(zone_of(relay_port, bob.port(UDP))) as (_, resolver):
        alice = await start(UDP, resolver=resolver, config=FAST)
        late.on_event = lambda event: late.shell.ring(event.id) if isinstance(event, IncomingInvite) else None
        await alice.call(f"sip:bob@{HOME}", InviteAnswered)
        await late.wait(IncomingInvite)
        assert (await late.wait(InviteEnded)).reason is EndCause.REMOTE_CANCEL
    relay.close()


class _Relay(asyncio.DatagramProtocol):
    """Passes datagrams on to a port, late, and what comes back to whoever spoke last."""

    def __init__(self, port: int, delay_s: float) -> None:
        self._to = ("127.0.0.1", port)
        self._delay_s = delay_s
        self._caller: tuple[str, int] | None = None

    @classmethod
    async def start(cls, port: int, to_port: int, delay_s: float) -> asyncio.DatagramTransport:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(to_port, delay_s), local_addr=("127.0.0.1", port)
        )
        return transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr == self._to:
            assert self._caller is not None
            self._transport.sendto(data, self._caller)
        else:
            self._caller = addr
            asyncio.get_running_loop().call_later(self._delay_s, self._pass_on, data)

    def _pass_on(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, self._to)


# --- UDP or TCP ------------------------------------------------------------------------------------------------------

LONG = OFFER + "a=x-filler:" + "x" * 1_300 + "\r\n"


async def called(alice: Phone, bob: Phone, sdp: str) -> IncomingInvite:
    bob.events.clear()
    bob.on_event = lambda event: bob.shell.ring(event.id) if isinstance(event, IncomingInvite) else None
    alice.events.clear()
    target = f"sip:bob@127.0.0.1:{bob.port(UDP)}"
    alice.shell.invite(InviteRequest(target_uri=target, sdp=sdp, caller="alice"))
    await alice.wait(InviteProgress)
    return await bob.wait(IncomingInvite)


async def test_long_request_goes_by_tcp_and_a_short_one_by_udp(start: Start) -> None:
    alice, port = await start(UDP, TCP), await closed_port()
    bob = await start(UDP, TCP, port=port)
    assert (await called(alice, bob, OFFER)).path.transport is UDP
    incoming = await called(alice, bob, LONG)
    assert (incoming.path.transport, incoming.sdp) == (TCP, LONG)


async def test_long_request_goes_by_udp_where_nobody_takes_tcp(start: Start) -> None:
    alice, bob = await start(UDP, TCP), await start(UDP)
    incoming = await called(alice, bob, LONG)
    assert (incoming.path.transport, incoming.sdp) == (UDP, LONG)


async def test_stun_on_the_sip_port_tells_the_caller_its_address(start: Start) -> None:
    bob = await start(UDP)
    loop, received = asyncio.get_running_loop(), asyncio.Queue[bytes]()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            received.put_nowait(data)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", bob.port(UDP)))
    transport.sendto(struct.pack("!HHI12s", 1, 0, 0x2112A442, b"transaction!"))
    answer = await asyncio.wait_for(received.get(), 5)
    assert answer[:2] == b"\x01\x01"
    assert answer[8:20] == b"transaction!"
    _, _, _, family, port = struct.unpack_from("!HHBBH", answer, 20)
    ours = transport.get_extra_info("sockname")
    assert (family, port ^ 0x2112) == (1, ours[1])
    assert bytes(a ^ b for a, b in zip(answer[28:32], b"\x21\x12\xa4\x42", strict=True)) == bytes([127, 0, 0, 1])
    assert bob.shell.counters["stun_requests"] == 1
    transport.close()
