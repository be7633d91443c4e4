"""Pages that speak SIP over WebSocket: who may register and call, and what becomes of a call whose page is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from world import PATH, World, reason, world

from fakes import ACCOUNT, browser_answer, browser_offer, phone_answer, phone_offer
from trunkline.calls.model import Call, CallState, EndReason, LegKind
from trunkline.calls.pages import PageRegistrations, PageSettings, PageSwitch, PageTexts, PageUser, Parties
from trunkline.calls.ringer import Ringer
from trunkline.media.types import Direction
from trunkline.sdp.parser import parse
from trunkline.sip.auth.digest import Challenge, Credentials
from trunkline.sip.registrar import UNHEARD, WRONG
from trunkline.sip.types import (
    EndCause,
    FlowClosed,
    HeaderFields,
    Hop,
    IncomingInvite,
    IncomingRequest,
    IncomingRequestId,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    Path,
    ReferAnswered,
    ReferId,
    ReferProgress,
    ReferReceived,
    ReferRequest,
    RegisterRequest,
    ReinviteAnswered,
    ReinviteReceived,
    RequestAnswered,
    RequestId,
    Transport,
)

GATEWAY = "gateway.example"
USERS = {
    "alice": PageUser(login="alice", password="secret", account=ACCOUNT),
    "bob": PageUser(login="bob", password="hunter2", display_name="Bob"),
}
UPSTREAM = Hop("pbx.example", 5060, Transport.TCP)
CONTACT = "sip:h4x@k2v.invalid;transport=ws"
INSTANCE = "<urn:uuid:1>"
RING_STEP_S = 10.0


def flow(number: int = 1) -> Path:
    return Path(Transport.WSS, ("192.0.2.1", 443), ("198.51.100.7", 40_000 + number), number)


class Pages:
    """The pages of a gateway of fakes."""

    def __init__(self, w: World, settings: PageSettings) -> None:
        self.w = w
        self.others: list[IncomingInvite] = []
        self.registrations = PageRegistrations(settings, sip=w.access, clock=w.clock, metrics=w.metrics, rng=Random(5))
        parties = Parties(self.registrations)
        self.switch = PageSwitch(
            self.registrations,
            parties=parties,
            controller=w.controller,
            sip=w.access,
            clock=w.clock,
            metrics=w.metrics,
            otherwise=self.others.append,
            ringer=Ringer(w.controller, w.clock, RING_STEP_S),
            browsers=w.sessions,
        )
        messages = w.sessions.messages
        texts = PageTexts(self.registrations, parties=parties, sip=w.access, messages=messages)
        messages.users = (w.sessions, texts)
        self.sent = 0

    async def ask(
        self,
        user: str,
        *,
        path: Path | None = None,
        host: str = GATEWAY,
        contact: str = CONTACT,
        expires_s: int = 600,
        instance: str = INSTANCE,
        q: str = "",
        extra: HeaderFields = (),
    ) -> tuple[Any, ...] | None:
        """Send a REGISTER; returns status, phrase and headers of the answer, None while there is none."""
        self.sent += 1
        request = IncomingRequest(
            IncomingRequestId(self.sent),
            "REGISTER",
            f"sip:{host}",
            (
                ("Via", "SIP/2.0/WSS k2v.invalid;branch=z9hG4bK1"),
                ("To", f"<sip:{user}@{host}>"),
                ("Call-ID", f"{user}-{path}"),
                ("CSeq", f"{self.sent} REGISTER"),
                ("Contact", f'<{contact}>;+sip.instance="{instance}";reg-id=1;expires={expires_s}{q}'),
                *extra,
            ),
            b"",
            path or flow(),
        )
        await self.w.sip_says(request)
        return self.answered(self.sent)

    def answered(self, number: int) -> tuple[Any, ...] | None:
        return next((done[2:] for done in self.w.sip.verbs("respond") if done[1] == number), None)

    async def register(self, user: str, **more: Any) -> None:
        """Register with the right password."""
        first = await self.ask(user, **more)
        assert first is not None
        assert first[0] == 401, first
        extra = answer_to(first[2], user, "REGISTER")
        last = await self.ask(user, extra=extra, **more)
        assert last is not None
        assert last[0] == 200, last

    async def invite(
        self,
        caller: str,
        callee: str,
        *,
        path: Path | None = None,
        host: str = GATEWAY,
        number: int = 900,
        headers: HeaderFields = (),
        offer: str | None = None,
    ) -> InviteId:
        invite = InviteId(number)
        await self.w.sip_says(
            IncomingInvite(
                invite,
                None,
                f"sip:{caller}@{host}",
                "",
                f"sip:{callee}@{host}",
                offer or browser_offer(),
                headers,
                path or flow(),
            )
        )
        return invite

    @property
    def call(self) -> Call:
        """The newest call."""
        return self.w.controller.find()[-1]


def answer_to(headers: HeaderFields, user: str, method: str) -> HeaderFields:
    """Answer a challenge as a page with the password does."""
    name, value = headers[0]
    challenge = Challenge.read(value, is_proxy=name.startswith("Proxy"))
    assert challenge is not None
    password = USERS[user].password
    assert isinstance(password, str)
    credentials = Credentials(user, password, Random(9))
    credentials.learn(method, challenge)
    return credentials.headers(method, f"sip:{GATEWAY}")


@asynccontextmanager
async def pages(**settings: Any) -> AsyncIterator[tuple[World, Pages]]:
    async with world() as w:
        made = Pages(w, PageSettings(**settings))
        yield w, made
        await w.controller.stop()
        await w.settle()
        made.registrations.stop()


# --- registration -------------------------------------------------------------------------------------------------


async def test_an_account_is_registered_for_as_long_as_one_of_its_users_pages_is() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("alice")
        await p.register("alice", path=flow(2), contact="sip:second@x.invalid", instance="<urn:uuid:2>")
        assert [done[1] for done in w.sip.verbs("register")] == [ACCOUNT]
        await w.sip_says(FlowClosed(flow(1)))
        assert len(w.sip.registrations) == 1
        await w.advance(601)
        assert not w.sip.registrations


async def guess(p: Pages, user: str, **more: Any) -> tuple[int, str]:
    """Register with a wrong password; returns what became of it."""
    asked = await p.ask(user, **more)
    assert asked is not None
    assert asked[0] == 401
    challenge = Challenge.read(asked[2][0][1], is_proxy=False)
    assert challenge is not None
    credentials = Credentials(user, "guessed", Random(9))
    credentials.learn("REGISTER", challenge)
    answer = await p.ask(user, extra=credentials.headers("REGISTER", f"sip:{GATEWAY}"), **more)
    assert answer is not None
    return answer[0], answer[1]


async def test_guesses_of_a_password_run_out_without_shutting_the_user_out() -> None:
    there = Path(Transport.WSS, ("192.0.2.1", 443), ("203.0.113.9", 40_000), 9)
    async with pages(users=USERS) as (w, p):
        guesses = [await guess(p, "alice", path=there) for _ in range(11)]
        assert guesses[:10] == [(401, WRONG)] * 10
        assert guesses[10] == (403, UNHEARD)
        assert await guess(p, "eve", path=there) == (403, UNHEARD), "unknown users look the same"
        await p.register("alice")
        counted = w.metrics.registry.get_sample_value
        for outcome, count in (("wrong", 10), ("unheard", 2)):
            assert counted("trunkline_wrong_passwords_total", {"by": "page", "outcome": outcome}) == count
        await w.advance(600)
        await p.register("alice", path=there)


async def test_guesses_by_calls_count_as_well() -> None:
    async with pages(users=USERS) as (w, p):
        for number in range(11):
            await p.invite("alice", "bob", number=900 + 2 * number)
            refused = w.sip.verbs("refuse")[-1]
            challenge = Challenge.read(refused[4][0][1], is_proxy=True)
            assert challenge is not None
            credentials = Credentials("alice", "guessed", Random(9))
            credentials.learn("INVITE", challenge)
            await p.invite(
                "alice", "bob", number=901 + 2 * number, headers=credentials.headers("INVITE", f"sip:{GATEWAY}")
            )
        statuses = [done[2] for done in w.sip.verbs("refuse")]
        assert statuses == [407] * 21 + [403]


async def test_guesses_that_the_upstream_server_would_blame_on_us_run_out_here() -> None:
    credentials = (("Authorization", 'Digest username="carol", realm="pbx.example", nonce="1"'),)
    async with pages(upstream=UPSTREAM) as (w, p):
        for number in range(10):
            assert await p.ask("carol", extra=credentials) is None
            request = RequestId(len(w.sip.verbs("forward_register")))
            challenge = 'Digest realm="pbx.example", nonce="2"' + (", stale=true" if number == 0 else "")
            await w.sip_says(RequestAnswered(request, 401, "Unauthorized", (("WWW-Authenticate", challenge),)))
        assert await p.ask("carol", extra=credentials) is None, "one of them was stale, and no guess"
        request = RequestId(len(w.sip.verbs("forward_register")))
        await w.sip_says(RequestAnswered(request, 403, "Forbidden", ()))
        refused = await p.ask("carol", extra=credentials)
        assert refused is not None
        assert refused[:2] == (403, UNHEARD)
        assert len(w.sip.verbs("forward_register")) == 11


async def test_nobody_registers_over_another_transport_or_without_a_password() -> None:
    async with pages(users=USERS) as (_, p):
        refused = await p.ask("alice", path=PATH)
        assert refused is not None
        assert refused[0] == 403
        for user in ("alice", "eve"):
            asked = await p.ask(user)
            assert asked is not None
            assert asked[0] == 401


async def test_a_gateway_before_a_registrar_passes_register_challenge_and_answer() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        assert await p.ask("carol", host="pbx.example") is None, "the answer is the server's"
        challenge = ("WWW-Authenticate", 'Digest realm="pbx", nonce="1"')
        await w.sip_says(RequestAnswered(RequestId(1), 401, "Unauthorized", (challenge, ("Server", "PBX"))))
        assert p.answered(1) == (401, "Unauthorized", (challenge,))
        credentials = (("Authorization", "Digest username=carol"),)
        await p.ask("carol", host="pbx.example", extra=credentials)
        first, second = (done[1] for done in w.sip.verbs("forward_register"))
        assert isinstance(second, RegisterRequest)
        assert (second.uri, second.aor, second.hop) == ("sip:pbx.example", "sip:carol@pbx.example", UPSTREAM)
        assert second.credentials == credentials
        assert (second.sip_call_id, second.contact_user) == (first.sip_call_id, first.contact_user)
        contact = ("Contact", f"<sip:{second.contact_user}@192.0.2.1:5060>;expires=90")
        await w.sip_says(RequestAnswered(RequestId(2), 200, "OK", (contact,)))
        answer = p.answered(2)
        assert answer is not None
        status, _, headers = answer
        assert status == 200
        assert headers[0] == ("Contact", f'<{CONTACT}>;expires=90;+sip.instance="{INSTANCE}";reg-id=1')


@pytest.mark.parametrize(("said", "passed"), [(";q=0.5", (("q", "0.500"),)), (";q=1.0", ()), ("", ())])
async def test_a_registrar_behind_us_learns_how_much_a_page_is_preferred(said: str, passed: HeaderFields) -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        await p.ask("carol", host="pbx.example", q=said)
        assert w.sip.verbs("forward_register")[-1][1].contact_parameters == passed


async def test_an_answer_that_finds_its_page_gone_binds_nothing() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        await p.ask("carol", host="pbx.example")
        await w.sip_says(FlowClosed(flow()))
        await w.sip_says(RequestAnswered(RequestId(1), 200, "OK", ()))
        assert p.answered(1) is None
        assert p.registrations.of("sip:carol@pbx.example") == ()


# --- calls --------------------------------------------------------------------------------------------------------


async def talking(w: World, p: Pages) -> InviteId:
    """Have Alice's page call a phone, which answers. Returns the page's INVITE."""
    await p.register("alice")
    invite = await p.invite("alice", "100")
    await w.sip_says(InviteAnswered(w.sent_invite()[0], phone_answer(w.sent_invite()[1])))
    await w.sip_says(InviteConfirmed(invite, None))
    assert p.call.state is CallState.ESTABLISHED
    return invite


async def test_a_page_that_has_registered_calls_by_its_account_with_the_media_of_a_browser() -> None:
    async with pages(users=USERS) as (w, p):
        invite = await talking(w, p)
        request, _ = w.sip.invites[-1]
        assert (request.account, request.target_uri) == (ACCOUNT, "100")
        answer = parse(w.sip.verbs("answer")[-1][2])
        assert answer.media[0].has("ice-ufrag")
        assert (p.call.a and p.call.a.kind, p.call.b and p.call.b.kind) == (LegKind.WEB, LegKind.SIP)
        assert p.call.a is not None
        assert p.call.a.codec == "PCMU", "what the phone speaks passes through"
        assert w.sip.verbs("answer")[-1][1] == invite


async def test_early_media_reaches_the_page_with_its_answer() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("alice")
        await p.invite("alice", "100")
        out, offer = w.sent_invite()
        await w.sip_says(InviteProgress(out, 183, "Session Progress", phone_answer(offer)))
        _, _, status, sdp = w.sip.verbs("ring")[-1]
        assert status == 183
        assert parse(sdp).media[0].has("ice-ufrag")


async def test_a_page_that_has_not_registered_is_challenged_and_a_stranger_refused() -> None:
    async with pages(users=USERS) as (w, p):
        await p.invite("alice", "100")
        _, _, status, _, headers = w.sip.verbs("refuse")[-1]
        assert status == 407
        await p.invite("alice", "100", number=901, headers=answer_to(headers, "alice", "INVITE"))
        assert len(w.sip.invites) == 1
        await p.invite("eve", "100", number=902)
        assert w.sip.verbs("hangup")[-1][1:3] == (902, 403)


async def test_the_flow_of_one_user_is_not_that_of_another() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("bob")
        await p.invite("alice", "100")
        assert w.sip.verbs("refuse")[-1][2] == 407


async def test_credentials_and_challenges_pass_between_a_page_and_the_server_that_knows_it() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        credentials = (("Proxy-Authorization", "Digest username=carol"),)
        invite = await p.invite("carol", "100", host="pbx.example", headers=(("Subject", "x"), *credentials))
        request, out = w.sip.invites[-1]
        assert (request.hop, request.from_uri) == (UPSTREAM, "sip:carol@pbx.example")
        assert (request.target_uri, request.credentials) == ("sip:100@pbx.example", credentials)
        challenge = ("Proxy-Authenticate", 'Digest realm="pbx", nonce="1"')
        await w.sip_says(InviteFailed(out, 407, "Proxy Authentication Required", challenges=(challenge,)))
        assert w.sip.verbs("refuse")[-1][1:] == (invite, 407, "Proxy Authentication Required", (challenge,))


async def test_the_server_behind_us_calls_a_page_by_the_contact_that_it_was_given() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        await p.ask("carol", host="pbx.example")
        await w.sip_says(RequestAnswered(RequestId(1), 200, "OK", ()))
        contact_user = w.sip.verbs("forward_register")[-1][1].contact_user
        await p.invite("dave", contact_user, host="pbx.example", path=PATH, offer=phone_offer())
        request, out = w.sip.invites[-1]
        assert request.hop is not None
        assert (request.target_uri, request.hop.flow) == (CONTACT, flow())
        assert request.from_uri == "sip:dave@pbx.example"
        assert parse(request.sdp or "").media[0].has("ice-ufrag")
        await w.sip_says(InviteAnswered(out, browser_answer(request.sdp or "")))
        assert p.call.state is CallState.ESTABLISHED
        await w.sip_says(FlowClosed(flow()))
        await p.invite("dave", contact_user, host="pbx.example", path=PATH, number=901, offer=phone_offer())
        assert [each.id for each in p.others] == [901], "nobody has this Contact any more"


async def test_one_page_calls_another() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("alice")
        await p.register("bob", path=flow(2), contact="sip:b0b@x.invalid;transport=ws")
        await p.invite("alice", "bob")
        request, _ = w.sip.invites[-1]
        assert request.target_uri == "sip:b0b@x.invalid;transport=ws"
        assert request.from_uri == f"sip:alice@{GATEWAY}"


# --- hold ---------------------------------------------------------------------------------------------------------


def reoffer(direction: Direction) -> str:
    return browser_offer().replace("a=sendrecv", f"a={direction}")


async def test_a_page_that_holds_the_call_has_the_phone_hear_music() -> None:
    async with pages(users=USERS) as (w, p):
        invite = await talking(w, p)
        await w.sip_says(ReinviteReceived(invite, reoffer(Direction.SENDONLY)))
        _, out, offer = w.sip.verbs("reinvite")[-1]
        assert parse(offer).media[0].direction() is Direction.SENDONLY
        assert parse(w.sip.verbs("answer_reinvite")[-1][2]).media[0].direction() is Direction.RECVONLY
        await w.sip_says(ReinviteAnswered(out, phone_answer(offer)))
        assert p.call.state is CallState.HELD
        await w.sip_says(ReinviteReceived(invite, reoffer(Direction.SENDRECV)))
        await w.sip_says(ReinviteAnswered(out, phone_answer(w.sip.verbs("reinvite")[-1][2])))
        assert p.call.state is CallState.ESTABLISHED
        assert len(w.sip.verbs("reinvite")) == 2


async def test_a_transfer_that_a_page_asks_for_is_followed_by_its_account() -> None:
    async with pages(users=USERS) as (w, p):
        invite = await talking(w, p)
        await w.sip_says(
            ReferReceived(invite, ReferId(7), f"sip:200@{GATEWAY}", None, None, f"sip:alice@{GATEWAY}", is_watched=True)
        )
        assert w.sip.verbs("answer_refer")[-1][1:3] == (7, 202)
        request, _ = w.sip.invites[-1]
        assert (request.account, request.target_uri) == (ACCOUNT, f"sip:200@{GATEWAY}")


async def test_a_page_with_an_account_joins_two_phones_of_which_one_takes_no_refer() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("alice")
        legs = []
        for callee, number in (("100", 900), ("200", 901)):
            invite = await p.invite("alice", callee, number=number)
            out, offer = w.sent_invite()
            await w.sip_says(InviteAnswered(out, phone_answer(offer)))
            await w.sip_says(InviteConfirmed(invite, None))
            legs.append((invite, out))
        (first, out), (second, other) = legs
        count = len(w.sip.invites)
        await w.sip_says(wish(first, second, "id;to-tag=a;from-tag=b"))
        assert len(w.sip.invites) == count, "nobody but us knows the dialog that the page names"
        assert w.sip.verbs("refer")[-1][1:] == (out, ReferRequest(replaces=other))
        await w.sip_says(ReferAnswered(out, ReferId(1), 405, "Method Not Allowed", False))
        await w.sip_says(ReinviteAnswered(other, phone_answer(w.sip.verbs("reinvite")[-1][2])))
        assert w.sip.verbs("notify_refer") == [("notify_refer", 7, 200, None)]
        (call,) = w.controller.registry.live()
        assert [leg and leg.kind for leg in (call.a, call.b)] == [LegKind.SIP, LegKind.SIP]


async def known_elsewhere(w: World, p: Pages, callee: str, number: int) -> tuple[InviteId, InviteId]:
    """Have a page whose server has its password call a phone, which answers. Returns both dialogs."""
    invite = await p.invite("carol", callee, host="pbx.example", number=number)
    out, offer = w.sent_invite()
    await w.sip_says(InviteAnswered(out, phone_answer(offer)))
    await w.sip_says(InviteConfirmed(invite, None))
    return invite, out


def wish(invite: InviteId, replaced: InviteId | None = None, replaces: str | None = None) -> ReferReceived:
    return ReferReceived(invite, ReferId(7), "sip:200@pbx.example", replaces, replaced, None, is_watched=True)


@pytest.mark.parametrize(("status", "phrase"), [(200, None), (486, "Busy Here")])
async def test_whom_a_page_names_is_called_by_the_other_side_if_we_have_no_password(
    status: int, phrase: str | None
) -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        invite, out = await known_elsewhere(w, p, "100", 900)
        call = p.call
        await w.sip_says(wish(invite))
        assert w.sip.verbs("answer_refer") == [("answer_refer", 7, 202, None)]
        assert w.sip.verbs("refer")[-1][1:] == (out, ReferRequest(target_uri="sip:200@pbx.example"))
        asked = ReferId(len(w.sip.invites) + 1)
        await w.sip_says(ReferAnswered(out, asked, 202, "Accepted", True))
        await w.sip_says(ReferProgress(out, asked, status, phrase or "OK", True))
        assert w.sip.verbs("notify_refer") == [("notify_refer", 7, status, phrase)]
        assert (reason(call) is EndReason.TRANSFERRED) == (status == 200)


async def test_a_page_joins_two_phones_of_which_one_takes_no_refer_without_a_password() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        first, out = await known_elsewhere(w, p, "100", 900)
        second, other = await known_elsewhere(w, p, "200", 901)
        await w.sip_says(wish(first, second, "id;to-tag=a;from-tag=b"))
        assert w.sip.verbs("refer")[-1][1:] == (out, ReferRequest(replaces=other))
        await w.sip_says(ReferAnswered(out, ReferId(1), 405, "Method Not Allowed", False))
        _, asked, offer = w.sip.verbs("reinvite")[-1]
        assert asked == other
        await w.sip_says(ReinviteAnswered(other, phone_answer(offer)))
        assert w.sip.verbs("notify_refer") == [("notify_refer", 7, 200, None)]
        (call,) = w.controller.registry.live()
        assert [leg and leg.kind for leg in (call.a, call.b)] == [LegKind.SIP, LegKind.SIP]
        assert {done[1] for done in w.sip.verbs("hangup")} == {first, second}
        await w.sip_says(FlowClosed(flow()))
        await w.advance(60)
        assert call.state is CallState.ESTABLISHED, "the page has no part in it any more"


async def test_a_dialog_that_is_none_of_the_pages_cannot_be_transferred_to() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        first, _ = await known_elsewhere(w, p, "100", 900)
        await w.sip_says(wish(first, None, "id;to-tag=a;from-tag=b"))
        assert w.sip.verbs("answer_refer") == [("answer_refer", 7, 481, None)]
        assert p.call.state is CallState.ESTABLISHED


# --- WebSockets come and go ---------------------------------------------------------------------------------------


async def test_a_call_waits_for_its_page_and_goes_on_where_the_same_instance_registers() -> None:
    async with pages(users=USERS, reconnect_s=20.0) as (w, p):
        invite = await talking(w, p)
        await w.sip_says(FlowClosed(flow()))
        await w.advance(19)
        await p.register("alice", path=flow(2))
        assert w.sip.verbs("move") == [("move", invite, flow(2))]
        await w.advance(60)
        assert p.call.state is CallState.ESTABLISHED


async def test_a_call_ends_when_only_another_page_of_the_same_user_comes() -> None:
    async with pages(users=USERS, reconnect_s=20.0) as (w, p):
        await talking(w, p)
        call = p.call
        await w.sip_says(FlowClosed(flow()))
        await p.register("alice", path=flow(2), instance="<urn:uuid:2>")
        await w.advance(20.1)
        assert reason(call) is EndReason.CLIENT_GONE
        assert w.sip.verbs("move") == []


async def test_a_call_that_is_not_answered_ends_with_its_pages_websocket() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("alice")
        await p.invite("alice", "100")
        call = p.call
        await w.sip_says(FlowClosed(flow(7)))
        assert reason(call) is None
        await w.sip_says(FlowClosed(flow()))
        await w.advance(0.1)
        assert reason(call) is EndReason.CLIENT_GONE


async def test_a_page_that_took_another_ones_place_is_waited_for_as_well() -> None:
    async with pages(users=USERS, reconnect_s=20.0) as (w, p):
        replaced = await talking(w, p)
        call = p.call
        await p.register("bob", path=flow(2), contact="sip:b0b@x.invalid;transport=ws", instance="<urn:uuid:2>")
        newcomer = IncomingInvite(
            InviteId(950),
            None,
            f"sip:bob@{GATEWAY}",
            "",
            f"sip:alice@{GATEWAY}",
            browser_offer(),
            (),
            flow(2),
            replaces=replaced,
        )
        await w.sip_says(newcomer)
        await w.sip_says(InviteConfirmed(newcomer.id, None))
        await w.sip_says(FlowClosed(flow()))
        await w.advance(30)
        assert (call.state, call.a and call.a.kind) == (CallState.ESTABLISHED, LegKind.WEB), "the first is not missed"
        await w.sip_says(FlowClosed(flow(2)))
        await w.advance(10)
        await p.register("bob", path=flow(3), contact="sip:b0b@x.invalid;transport=ws", instance="<urn:uuid:2>")
        assert w.sip.verbs("move") == [("move", newcomer.id, flow(3))]
        await w.sip_says(FlowClosed(flow(3)))
        await w.advance(20.1)
        assert reason(call) is EndReason.CLIENT_GONE


async def test_nothing_is_kept_of_a_page_whose_call_has_gone_on_with_somebody_else() -> None:
    async with pages(users=USERS) as (w, p):
        invite = await talking(w, p)
        await w.sip_says(
            ReferReceived(invite, ReferId(7), f"sip:200@{GATEWAY}", None, None, f"sip:alice@{GATEWAY}", is_watched=True)
        )
        second, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(second, phone_answer(offer)))
        (child,) = w.controller.registry.live()
        assert child.request.parent is not None
        await w.sip_says(InviteEnded(second, EndCause.REMOTE_BYE))
        await w.sip_says(FlowClosed(flow()))
        await p.register("alice", path=flow(2))
        assert w.sip.verbs("move") == [], "nobody has waited for the page to come back"


@pytest.mark.parametrize("expires_s", [59, 0])
async def test_a_short_registration_is_refused_and_none_is_taken_back(expires_s: int) -> None:
    async with pages(users=USERS) as (_, p):
        await p.register("alice")
        first = await p.ask("alice")
        assert first is not None
        answer = await p.ask("alice", expires_s=expires_s, extra=answer_to(first[2], "alice", "REGISTER"))
        assert answer is not None
        assert answer[0] == (423 if expires_s else 200)
        assert len(p.registrations.of("alice")) == (1 if expires_s else 0)
