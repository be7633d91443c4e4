"""Texts within a call: from one side to the other, and what the sender is told.   RFC 3428 section 3."""

from __future__ import annotations

import pytest
from test_sip_hold import joined
from test_transfer import answered
from world import PATH, World, world

from fakes import ACCOUNT, phone_answer
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import CallRequest, ReceivedText
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.ports import Text
from trunkline.calls.routing import route
from trunkline.errors import CallNotFound
from trunkline.ids import CallId
from trunkline.sip.types import (
    IncomingRequestId,
    InviteAnswered,
    InviteId,
    MessageAnswered,
    MessageId,
    MessageReceived,
    MessageRequest,
)

FIRST = InviteId(900)


def text(invite: InviteId, body: str = "hello", content_type: str = "text/plain") -> MessageReceived:
    return MessageReceived(
        IncomingRequestId(5),
        None,
        invite,
        sender="sip:bob@sip.example",
        display_name="Bob",
        recipient="sip:alice@192.0.2.1",
        content_type=content_type,
        text=body,
        path=PATH,
    )


def sent(w: World) -> tuple[MessageId, MessageRequest]:
    """Return the newest text that went out."""
    request, message = w.sip.messages[-1]
    return message, request


def statuses(w: World) -> list[int]:
    return [done[2] for done in w.sip.verbs("respond")]


@pytest.mark.parametrize(("status", "told"), [(200, 200), (415, 415), (407, 403)])
async def test_a_text_of_one_sip_side_reaches_the_other_whose_answer_is_the_senders(status: int, told: int) -> None:
    async with world() as w:
        _, second = await joined(w)
        for sender, reader in ((FIRST, second), (second, FIRST)):
            await w.sip_says(text(sender, "<p>hi</p>", "text/html"))
            message, request = sent(w)
            assert request == MessageRequest(text="<p>hi</p>", content_type="text/html", within=reader)
            before = len(statuses(w))
            await w.sip_says(MessageAnswered(message, status, "x"))
            assert statuses(w)[before:] == [told]


async def test_a_browser_reads_the_text_of_its_call_and_answers_in_it() -> None:
    async with world() as w:
        session, call, invite = await answered(w)
        await w.sip_says(text(invite))
        shown = next(each[1] for each in w.web.shown if each[0] == "message")
        assert isinstance(shown, ReceivedText)
        assert (shown.body, shown.sender, shown.call) == ("hello", "bob", call.id)
        assert statuses(w) == [200]
        session.send_message("m1", Text(recipient="bob", body="and back"), call.id)
        await w.settle()
        message, request = sent(w)
        assert request == MessageRequest(text="and back", within=invite)
        await w.sip_says(MessageAnswered(message, 202, "Accepted"))
        assert w.web.shown[-1] == ("message_answered", "m1", 200)
        with pytest.raises(CallNotFound):
            session.send_message("m2", Text(recipient="bob", body="late"), CallId("none"))


async def test_a_browser_is_told_that_its_text_was_refused() -> None:
    async with world() as w:
        session, call, _ = await answered(w)
        session.send_message("m1", Text(recipient="bob", body="hi"), call.id)
        await w.settle()
        await w.sip_says(MessageAnswered(sent(w)[0], 415, "Unsupported Media Type"))
        assert w.web.shown[-1] == ("message_answered", "m1", 415)


async def test_a_text_for_nobody_is_answered_480_and_the_call_goes_on() -> None:
    async with world() as w:
        call = w.controller.start(
            CallRequest(id=CallId("rest"), caller="alice", callee="100"),
            PlayerLeg,
            lambda context: SipLeg(context, w.access, route("100", ACCOUNT)),
        )
        await w.settle()
        invite, offer = w.sent_invite()
        await w.sip_says(text(invite))
        assert statuses(w) == [480], "it is not answered yet"
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        await w.sip_says(text(invite))
        assert statuses(w) == [480, 480], "a player reads nothing"
        assert call.end is None
