"""What a call was made of is gone when it is over: nothing of it waits for the collector of reference cycles."""

import pytest
from world import World, world

from cycles import cycles
from fakes import ACCOUNT, browser_answer, phone_answer, phone_offer
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import CallEnd, CallRequest, EndReason
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import route
from trunkline.calls.sessions import WebSession
from trunkline.ids import CallId
from trunkline.sip.types import EndCause, InviteAnswered, InviteEnded, InviteFailed


async def out_of_a_browser(w: World, session: WebSession) -> None:
    call = await w.call(session)
    invite, offer = w.sent_invite()
    await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
    session.hang_up(call.id)


async def to_one_who_is_busy(w: World, session: WebSession) -> None:
    await w.call(session)
    invite, _ = w.sent_invite()
    await w.sip_says(InviteFailed(invite, 486, "Busy Here"))


async def into_a_browser(w: World, session: WebSession) -> None:
    invite = await w.incoming(session, phone_offer())
    (call,) = w.controller.find()
    session.answer(call.id, browser_answer(w.web.description()))
    await w.settle()
    await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))


async def by_rest(w: World, session: WebSession) -> None:
    call = w.controller.start(
        CallRequest(id=CallId("rest"), caller="alice", callee="100"),
        PlayerLeg,
        lambda context: SipLeg(context, w.access, route("100", ACCOUNT)),
    )
    await w.settle()
    invite, offer = w.sent_invite()
    await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
    w.controller.hang_up(call.id, CallEnd(EndReason.TERMINATED))


@pytest.mark.parametrize("scene", [out_of_a_browser, to_one_who_is_busy, into_a_browser, by_rest])
async def test_nothing_of_a_call_is_left_to_the_collector(scene) -> None:
    async with world() as w:
        session = await w.registered()
        with cycles() as found:
            await scene(w, session)
            await w.settle()
            w.assert_nothing_left()
    assert found == []
