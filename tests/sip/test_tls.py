"""SIP over TLS on loopback: who is believed, who is not, and what is said about it.   RFC 3261 26.3, RFC 5922."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
import uvloop

from sip.certificates import Authority, Files
from sip.phones import Names, Phone, Start, phones, talk
from sip.writing import request
from trunkline.errors import ConfigError
from trunkline.sip.transport import Listener, SipShell, TlsSettings
from trunkline.sip.transports.tls import CertificateFiles, TlsContexts
from trunkline.sip.types import InviteFailed, Transport, UaConfig
from trunkline.sip.ua import UserAgent

TLS = Transport.TLS
NAME = "bob.example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with phones() as starting:
        yield starting


def serving(authority: Authority, files: Files, **options: Any) -> TlsSettings:
    return TlsSettings(certificate=files.certificate, key=files.key, authorities=authority.certificate, **options)


def believing(authority: Authority, **options: Any) -> dict[str, Any]:
    """Options of a phone that only calls, and finds Bob on loopback."""
    return {
        "tls": TlsSettings(authorities=authority.certificate, **options),
        "resolver": Names({NAME: ["127.0.0.1"], "other.example": ["127.0.0.1"]}),
    }


async def test_call_over_tls_to_a_name(authority: Authority, start: Start) -> None:
    bob = await start(TLS, tls=serving(authority, authority.issue(NAME, "127.0.0.1")))
    alice = await start(Transport.UDP, **believing(authority))
    await talk(alice, bob, bob.uri(TLS, NAME))
    assert alice.shell.counters["connections"] == 1, "the whole call took one connection"
    await talk(alice, bob, f"sips:phone@{NAME}:{bob.port(TLS)}")
    assert alice.shell.counters["connections"] == 1, "and so did the next one"


async def test_call_over_tls_and_ipv6_to_an_address(authority: Authority, start: Start) -> None:
    bob = await start(TLS, host="::1", tls=serving(authority, authority.issue("::1")))
    alice = await start(Transport.UDP, host="::1", **believing(authority))
    await talk(alice, bob, bob.uri(TLS))


def test_call_over_tls_on_uvloop(authority: Authority) -> None:
    async def run() -> None:
        async with phones() as start:
            bob = await start(TLS, tls=serving(authority, authority.issue(NAME)))
            alice = await start(Transport.UDP, **believing(authority))
            await talk(alice, bob, bob.uri(TLS, NAME))

    uvloop.run(run())


async def failure(alice: Phone, target_uri: str) -> str:
    failed = await alice.call(target_uri, InviteFailed)
    assert failed.status == 503
    return failed.reason


async def test_certificate_for_another_name_is_refused_and_named(authority: Authority, start: Start) -> None:
    bob = await start(TLS, tls=serving(authority, authority.issue("somebody-else.example")))
    alice = await start(Transport.UDP, **believing(authority))
    assert await failure(alice, bob.uri(TLS, NAME)) == (
        "Server unreachable (TLS: the certificate of bob.example is not accepted: "
        "Hostname mismatch, certificate is not valid for 'bob.example'.)"
    )
    assert alice.shell.counters["handshakes_failed"] == 1
    assert not bob.events, "not a byte of SIP went to the stranger"


async def test_certificate_of_an_unknown_authority_is_refused_and_named(
    authority: Authority, start: Start, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    bob = await start(TLS, tls=serving(stranger, stranger.issue(NAME)))
    alice = await start(Transport.UDP, **believing(authority))
    assert "certificate of bob.example is not accepted: self-signed" in await failure(alice, bob.uri(TLS, NAME))


async def test_expired_certificate_is_refused_and_named(authority: Authority, start: Start) -> None:
    files = authority.issue(NAME, expires=-datetime.timedelta(hours=1))
    bob = await start(TLS, tls=serving(authority, files))
    alice = await start(Transport.UDP, **believing(authority))
    assert "certificate has expired" in await failure(alice, bob.uri(TLS, NAME))


async def test_verification_can_be_turned_off(authority: Authority, start: Start) -> None:
    bob = await start(TLS, tls=serving(authority, authority.issue("somebody-else.example")))
    alice = await start(Transport.UDP, **believing(authority, verify_servers=False))
    await talk(alice, bob, bob.uri(TLS, NAME))


async def test_connection_to_one_name_is_not_used_for_another(authority: Authority, start: Start) -> None:
    bob = await start(TLS, tls=serving(authority, authority.issue(NAME)))
    alice = await start(Transport.UDP, **believing(authority))
    await talk(alice, bob, bob.uri(TLS, NAME))
    assert "not valid for 'other.example'" in await failure(alice, bob.uri(TLS, "other.example"))


async def test_each_domain_is_shown_its_own_certificate_and_a_renewed_one_as_well(
    authority: Authority, start: Start
) -> None:
    first = authority.issue(NAME, "127.0.0.1")
    others = [authority.issue(name, file_name=name.strip("*.")) for name in ("other.example", "*.wild.example")]
    more = tuple(CertificateFiles(each.certificate, each.key) for each in others)
    bob = await start(TLS, tls=serving(authority, first, more=more))
    names = (NAME, "other.example", "OTHER.example", "a.wild.example")
    settings = believing(authority)
    settings["resolver"] = Names({name: ["127.0.0.1"] for name in (*names, "b.a.wild.example")})
    alice = await start(Transport.UDP, **settings)
    for name in names:
        await talk(alice, bob, bob.uri(TLS, name))
    assert "certificate" in (await alice.call(bob.uri(TLS, "b.a.wild.example"), InviteFailed)).reason


@pytest.mark.parametrize("trouble", ["missing", "nameless"])
def test_further_certificate_that_cannot_be_used_is_named(authority: Authority, tmp_path: Path, trouble: str) -> None:
    files = authority.issue(NAME)
    broken = tmp_path / "gone.pem" if trouble == "missing" else authority.certificate
    more = (CertificateFiles(broken, files.key),)
    with pytest.raises(ConfigError, match=broken.name):
        TlsContexts(serving(authority, files, more=more))


async def test_mutual_tls_takes_who_shows_a_certificate_and_no_other(authority: Authority, start: Start) -> None:
    bob = await start(
        TLS, tls=serving(authority, authority.issue(NAME, file_name="bob"), require_client_certificate=True)
    )
    nobody = await start(Transport.UDP, **believing(authority))
    assert "certificate required" in await failure(nobody, bob.uri(TLS, NAME))
    files = authority.issue("alice.example", file_name="alice")
    alice = await start(Transport.UDP, **believing(authority, certificate=files.certificate, key=files.key))
    await talk(alice, bob, bob.uri(TLS, NAME))


async def test_renewed_certificate_is_shown_to_new_peers_while_old_connections_stay(
    authority: Authority, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.sip.transports.tls._LOOK_AGAIN_S", 0.0)
    bob = await start(TLS, tls=serving(authority, authority.issue("old.example")))
    resolver = Names({"old.example": ["127.0.0.1"], "new.example": ["127.0.0.1"]})
    alice = await start(Transport.UDP, tls=TlsSettings(authorities=authority.certificate), resolver=resolver)
    await talk(alice, bob, bob.uri(TLS, "old.example"))
    authority.issue("new.example")  # over the old files
    await talk(alice, bob, bob.uri(TLS, "new.example"))
    assert alice.shell.counters["connections"] == 2
    await talk(alice, bob, bob.uri(TLS, "old.example"))
    assert alice.shell.counters["connections"] == 2, "the first connection lives on"


def test_files_that_cannot_be_used_leave_the_old_contexts_in_force(authority: Authority) -> None:
    files = authority.issue("node.example")
    contexts = TlsContexts(serving(authority, files))
    before = contexts.server(0.0)
    files.key.write_text("half a key")
    assert contexts.server(10.0) is before
    authority.issue("node.example")
    after = contexts.server(20.0)
    assert after is not before
    assert contexts.reloads == 1


@pytest.mark.parametrize("missing", ["certificate", "key", "authorities"])
def test_files_that_are_not_there_at_start_are_named(authority: Authority, tmp_path: Path, missing: str) -> None:
    files = authority.issue("node.example")
    named = {"certificate": files.certificate, "key": files.key, "authorities": authority.certificate}
    named[missing] = tmp_path / "nowhere.pem"
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        TlsContexts(TlsSettings(**named))


async def test_listening_without_a_certificate_is_refused() -> None:
    shell = SipShell(UserAgent(UaConfig(), SystemRandom()), [Listener(TLS, "127.0.0.1")], print)
    with pytest.raises(ConfigError, match="needs certificate and key"):
        await shell.start()


async def test_tls_1_1_is_refused(authority: Authority, start: Start) -> None:
    bob = await start(TLS, tls=serving(authority, authority.issue("127.0.0.1")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", bob.port(TLS), ssl=context)
    assert bob.shell.counters["handshakes_failed"] == 1


@pytest.mark.parametrize("junk", [b"INVITE sip:x SIP/2.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(300), bytes(50)])
async def test_what_is_no_handshake_is_closed_and_counted(authority: Authority, start: Start, junk: bytes) -> None:
    bob = await start(TLS, tls=serving(authority, authority.issue("127.0.0.1")))
    reader, writer = await asyncio.open_connection("127.0.0.1", bob.port(TLS))
    writer.write(junk)
    async with asyncio.timeout(5):
        await reader.read()
    assert bob.shell.counters["handshakes_failed"] == 1
    writer.close()


async def test_handshake_that_never_comes_is_given_up(
    authority: Authority, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.sip.transports.streams._HANDSHAKE_LIMIT_S", 0.1)
    bob = await start(TLS, tls=serving(authority, authority.issue("127.0.0.1")))
    reader, writer = await asyncio.open_connection("127.0.0.1", bob.port(TLS))
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    assert bob.shell.counters["handshakes_failed"] == 1
    writer.close()


async def test_message_that_is_split_and_glued_within_records_is_read(authority: Authority, start: Start) -> None:
    bob = await start(TLS, tls=serving(authority, authority.issue("127.0.0.1")))
    context = ssl.create_default_context(cafile=authority.certificate)
    reader, writer = await asyncio.open_connection("127.0.0.1", bob.port(TLS), ssl=context)
    one = request("OPTIONS", host="127.0.0.1", transport="TLS").to_bytes()
    two = request("OPTIONS", host="127.0.0.1", transport="TLS", call_id="b").to_bytes()
    for part in (one[:40], one[40:] + two[:-3], two[-3:]):
        writer.write(part)
        await asyncio.sleep(0.02)
    received = b""
    async with asyncio.timeout(5):
        while received.count(b"SIP/2.0 200 OK") < 2:
            received += await reader.read(65536)
    writer.close()
