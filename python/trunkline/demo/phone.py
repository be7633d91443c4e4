"""SHELL: the built-in test phone, a SIP server and phone in one, so that a first call needs no provider.

Owns a user agent of its own on loopback, behind the same SIP code as the gateway's, and every task of its calls. Who
registers here is found by `registrar`, what a number does by `numbers`, what happens in a call by `call`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random

from trunkline.calls.ports import MediaPort
from trunkline.config import DemoConfig
from trunkline.demo.call import DemoCall, Pace
from trunkline.demo.numbers import Behaviour, DemoInfo, behaviour_of
from trunkline.demo.registrar import Registrar
from trunkline.errors import SipParseError
from trunkline.observability.logging import get_logger
from trunkline.sip.headers import NameAddr, SipUri
from trunkline.sip.transport import Listener, SipShell
from trunkline.sip.types import (
    Event,
    FlowClosed,
    IncomingInvite,
    IncomingRequest,
    InviteId,
    InviteRequest,
    MessageAnswered,
    MessageReceived,
    Probed,
    Registered,
    RegistrationFailed,
    RequestAnswered,
    Transport,
    UaConfig,
    Unregistered,
)
from trunkline.sip.ua import UserAgent

REALM = "trunkline-demo"
CALL_BACK_USER = Behaviour.CALL_ME.value
DISPLAY_NAME = "Test phone"

_PASSWORD_BITS = 64
_STOP_TIMEOUT_S = 3.0
_RING_LIMIT_S = 3600.0

_log = get_logger(__name__)


class DemoPhone:
    """The test phone. Between `start` and `stop` it answers REGISTER and INVITE.

    media: the node's media plane, shared with the gateway. rng: identities, and the password if none is configured.
    """

    def __init__(self, config: DemoConfig, media: MediaPort, rng: Random, pace: Pace | None = None) -> None:
        self._config = config
        self._media = media
        self._rng = rng
        self._pace = pace or Pace()
        configured = config.password.get_secret_value() if config.password else None
        self._password = configured or f"{rng.getrandbits(_PASSWORD_BITS):016x}"
        self._registrar = Registrar({config.login: self._password}, REALM, rng)
        ua = UserAgent(
            UaConfig(user_agent="Trunkline test phone", ring_limit_s=_RING_LIMIT_S),
            rng,
            accept_methods=frozenset({"REGISTER"}),
        )
        self._shell = SipShell(ua, (Listener(Transport.UDP, config.host, config.port),), self._on_event)
        self._calls: dict[InviteId, DemoCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. ConnectFailed if the address cannot be bound."""
        await self._shell.start()
        info = self.info
        _log.info("demo_phone_started", domain=info.domain, port=info.port)

    async def stop(self) -> None:
        """End every call, within a few seconds, and close the socket."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shell.stop(_STOP_TIMEOUT_S)

    @property
    def info(self) -> DemoInfo:
        """What a page needs to use the phone. Known once started."""
        return DemoInfo(
            login=self._config.login,
            authentication_name=self._config.login,
            password=self._password,
            domain=self._config.host,
            port=self._shell.listening[0].port,
        )

    def _on_event(self, event: Event) -> None:
        match event:
            case IncomingRequest():
                reply = self._registrar.handle_register(asyncio.get_running_loop().time(), event)
                self._shell.respond(event.id, reply.status, headers=reply.headers)
            case IncomingInvite():
                self._take(event)
            case MessageReceived():
                self._shell.respond(event.request, 405)
            case Registered() | RegistrationFailed() | Unregistered() | Probed() | RequestAnswered() | FlowClosed():
                pass  # the phone registers nowhere, asks nobody and has no WebSocket
            case MessageAnswered():
                pass  # it writes to nobody
            case _:
                if call := self._calls.get(event.id):
                    call.put(event)

    def _take(self, invite: IncomingInvite) -> None:
        behaviour = behaviour_of(_user_of(invite.callee))
        call = DemoCall(self._shell, self._media, self._rng, self._pace)
        self._calls[invite.id] = call
        self._spawn(self._answer(call, invite, behaviour))

    async def _answer(self, call: DemoCall, invite: IncomingInvite, behaviour: Behaviour) -> None:
        _log.info("demo_call_arrived", behaviour=behaviour.value)
        try:
            if behaviour is Behaviour.CALL_ME and not self._contacts(invite):
                self._shell.hangup(invite.id, 480)
                return
            was_completed = await call.answer(invite, behaviour)
        except Exception:
            _log.exception("demo_call_failed", behaviour=behaviour.value)
            self._shell.hangup(invite.id, 500)
            return
        except asyncio.CancelledError:
            self._shell.hangup(invite.id, 480)
            raise
        finally:
            self._calls.pop(invite.id, None)
        if behaviour is Behaviour.CALL_ME and was_completed:
            await asyncio.sleep(self._config.callback_delay_s)
            await self._call_back(invite)

    async def _call_back(self, invite: IncomingInvite) -> None:
        """Call whoever called, at the newest of their bindings."""
        contacts = self._contacts(invite)
        if not contacts:
            return
        call = DemoCall(self._shell, self._media, self._rng, self._pace)
        started: list[InviteId] = []

        def on_started(outbound: InviteId) -> None:
            started.append(outbound)
            self._calls[outbound] = call

        request = InviteRequest(target_uri=str(contacts[0]), sdp="", caller=CALL_BACK_USER, display_name=DISPLAY_NAME)
        try:
            await call.call(request, on_started)
        except Exception:
            _log.exception("demo_call_failed", behaviour="call_back")
        finally:
            for outbound in started:
                self._calls.pop(outbound, None)
                self._shell.hangup(outbound)

    def _contacts(self, invite: IncomingInvite) -> tuple[SipUri, ...]:
        now = asyncio.get_running_loop().time()
        return self._registrar.contacts(now, _user_of(invite.caller))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _user_of(address: str) -> str:
    """Return the user part of a SIP address, empty if it has none."""
    try:
        uri = NameAddr.parse(address).uri
    except SipParseError:
        return ""
    return uri.username if isinstance(uri, SipUri) else ""
