"""Janus with its SIP plugin: its HTTP API on the browser's side, our own SIP user agent as the phone it calls.

Owns the configuration of Janus (this one transport, this one plugin, ICE-lite as in Trunkline), one session for each
call, and the phone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
import urllib.request
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from benches.peers.generator import Generator, ssrc_of_leg
from benches.peers.process import MissingPeerError, free_port, program, started
from benches.peers.sdp import PCMU, browser_offer, browser_target, media_address, phone_sdp
from benches.peers.work import Address, Identity, Target, Work

from trunkline.sip.transport import Listener, SipShell
from trunkline.sip.types import Event, IncomingInvite, Transport, UaConfig
from trunkline.sip.ua import UserAgent

PACKAGE = "janus"
START_LIMIT_S = 10.0
CALL_LIMIT_S = 10.0
PLUGIN = "janus.plugin.sip"


class Janus:
    """The Debian package, on one core."""

    name = "janus"

    def check(self) -> None:
        program("janus", PACKAGE)
        folder("plugins/libjanus_sip.so")

    @contextlib.asynccontextmanager
    async def started(self, core: int, host: str) -> AsyncIterator[RunningJanus]:
        with tempfile.TemporaryDirectory() as config:
            address = (host, free_port(host))
            write_configuration(Path(config), address)
            command = [program("janus", PACKAGE), f"--configs-folder={config}", "--disable-colors"]
            async with started(command, core=core, is_silent=True) as process, phone(host) as called:
                relay = RunningJanus(process, address, called)
                await relay.wait_until_ready()
                yield relay


class Phone:
    """Whom Janus calls: answers each call at once, for the leg of the generator whose number is the callee's name."""

    def __init__(self, host: str) -> None:
        ua = UserAgent(UaConfig(user_agent="bench"), Random())
        self.shell = SipShell(ua, (Listener(Transport.UDP, host),), self._on_event)
        self.legs: list[Address] = []
        self.offered: dict[int, Address] = {}

    def _on_event(self, event: Event) -> None:
        if isinstance(event, IncomingInvite):
            user = re.match(r"sip:leg(\d+)@", event.callee)
            assert user, event.callee
            assert event.sdp, "Janus offers"
            number = int(user[1])
            self.offered[number] = media_address(event.sdp)
            self.shell.answer(event.id, phone_sdp(self.legs[number], PCMU))


@contextlib.asynccontextmanager
async def phone(host: str) -> AsyncIterator[Phone]:
    called = Phone(host)
    await called.shell.start()
    try:
        yield called
    finally:
        await called.shell.stop(timeout_s=1.0)


class RunningJanus:
    """A running Janus with its API at `address`."""

    def __init__(self, process: Process, address: Address, called: Phone) -> None:
        self.pid = process.pid
        self._host, port = address
        self._api = f"http://{self._host}:{port}/janus"
        self._phone = called
        self._transactions = count()

    async def wait_until_ready(self) -> None:
        """Ask until it answers; TimeoutError if it does not."""
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self._fetch, f"{self._api}/info", None)
                    return
                await asyncio.sleep(0.1)

    async def set_up(self, work: Work, generator: Generator) -> list[Target]:
        self._phone.legs = [b for _, b in generator.calls]
        targets: list[Target] = []
        for number, (far_a, _) in enumerate(generator.calls):
            async with asyncio.timeout(CALL_LIMIT_S):
                targets += await self._start_call(number, generator.identity, far_a)
        return targets

    async def count(self, work: Work) -> dict[str, int]:
        return {}

    async def _start_call(self, number: int, identity: Identity, far: Address) -> list[Target]:
        session = f"{self._api}/{(await self._say(self._api, 'create'))['data']['id']}"
        handle = f"{session}/{(await self._say(session, 'attach', plugin=PLUGIN))['data']['id']}"
        guest = {"request": "register", "type": "guest", "username": f"sip:browser{number}@{self._host}"}
        await self._say(handle, "message", body=guest)
        await self._event(session, "registered")
        port = self._phone.shell.listening[0].port
        call = {"request": "call", "uri": f"sip:leg{number}@{self._host}:{port}"}
        jsep = {"type": "offer", "sdp": browser_offer(identity, far, ssrc_of_leg(2 * number))}
        await self._say(handle, "message", body=call, jsep=jsep)
        answer = (await self._event(session, "accepted"))["jsep"]["sdp"]
        return [browser_target(answer), Target(self._phone.offered[number])]

    async def _say(self, url: str, verb: str, **more: object) -> dict[str, Any]:
        request = {"janus": verb, "transaction": str(next(self._transactions)), **more}
        answer = await asyncio.to_thread(self._fetch, url, request)
        if answer["janus"] not in ("success", "ack"):
            raise RuntimeError(f"janus: {answer}")
        return answer

    async def _event(self, session: str, name: str) -> dict[str, Any]:
        """Poll a session until the SIP plugin reports this; RuntimeError if it reports a failure."""
        while True:
            event = await asyncio.to_thread(self._fetch, session, None)
            result = event.get("plugindata", {}).get("data", {})
            if result.get("error") or result.get("result", {}).get("event") in ("hangup", "registration_failed"):
                raise RuntimeError(f"janus: {event}")
            if result.get("result", {}).get("event") == name:
                return event

    @staticmethod
    def _fetch(url: str, request: dict[str, Any] | None) -> dict[str, Any]:
        data = None if request is None else json.dumps(request).encode()
        with urllib.request.urlopen(url, data, timeout=CALL_LIMIT_S) as response:
            answer: dict[str, Any] = json.load(response)
            return answer


def folder(name: str) -> str:
    """A folder or file of the installed Janus; MissingPeerError if it is not there."""
    for found in Path("/usr/lib").glob(f"*/janus/{name}"):
        return str(found)
    raise MissingPeerError(
        f"no janus/{name} in /usr/lib: `scripts/peers.sh bench` installs it (Debian package {PACKAGE})"
    )


def write_configuration(config: Path, address: Address) -> None:
    """Write the files of `configuration` into a folder."""
    for name, text in configuration(address).items():
        (config / name).write_text(text)


def configuration(address: Address) -> dict[str, str]:
    """Files of a configuration with nothing but HTTP at `address` and the SIP plugin."""
    host, port = address
    plugins, transports = folder("plugins"), folder("transports")
    unwanted = {
        kind: ",".join(path.name for path in Path(where).glob("*.so") if path.name != wanted)
        for kind, where, wanted in (
            ("plugins", plugins, "libjanus_sip.so"),
            ("transports", transports, "libjanus_http.so"),
        )
    }
    return {
        "janus.jcfg": f"""
            general: {{
                plugins_folder = "{plugins}"
                transports_folder = "{transports}"
                debug_level = 2
            }}
            nat: {{ ice_lite = true  ice_enforce_list = "{host}" }}
            plugins: {{ disable = "{unwanted["plugins"]}" }}
            transports: {{ disable = "{unwanted["transports"]}" }}
        """,
        "janus.transport.http.jcfg": f"""
            general: {{ json = "compact"  base_path = "/janus"  http = true  port = {port}  ip = "{host}" }}
            admin: {{ admin_http = false }}
        """,
        "janus.plugin.sip.jcfg": f"""
            general: {{
                local_ip = "{host}"
                rtp_port_range = "12000-31999"
                events = false
            }}
        """,
    }
