"""SIPp as a peer that misbehaves: lost and repeated messages, in both roles, and streams cut and glued anywhere."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peers import require
from sip.emulation import ANSWER, OFFER
from sip.sipp import Glued, Phone, Split, call_sipp, called_by_sipp
from trunkline.sip.types import (
    EndCause,
    Event,
    IncomingInvite,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteProgress,
    ReinviteAnswered,
    Transport,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _sipp() -> None:
    require(shutil.which("sipp"), "sipp is not installed: apt-get install sip-tester")


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    made = Phone()
    await made.shell.start()
    yield made
    await made.shell.stop(0.2)


@pytest.fixture
async def patient_phone() -> AsyncIterator[Phone]:
    """One that repeats nothing in haste, for scenarios in which a repetition would be one message too many."""
    made = Phone(0.5)
    await made.shell.start()
    yield made
    await made.shell.stop(0.2)


UDP, TCP = Transport.UDP, Transport.TCP


# --- SIPp as callee ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "transport"),
    [
        ("callee_lost_invite", UDP),
        ("callee_lost_200", UDP),
        ("callee_lost_200", TCP),
        ("callee_repeated_200", UDP),
        ("callee_repeated_200", TCP),
        ("callee_repeated_200_after_bye", UDP),
    ],
)
async def test_call_is_answered_once_and_ended(
    phone: Phone, tmp_path: Path, scenario: str, transport: Transport
) -> None:
    def hang_up(event: Event) -> None:
        if isinstance(event, InviteAnswered):
            asyncio.get_running_loop().call_later(0.3, phone.shell.hangup, event.id)

    phone.on_event = hang_up
    assert await call_sipp(phone, tmp_path, scenario, transport) == ""
    assert phone.kinds().count(InviteAnswered) == 1
    assert phone.events[-1] == InviteEnded(phone.last(InviteEnded).id, EndCause.LOCAL)
    await phone.until_gone()


@pytest.mark.parametrize("scenario", ["callee_486", "callee_repeated_486"])
async def test_busy_is_reported_once(phone: Phone, tmp_path: Path, scenario: str) -> None:
    assert await call_sipp(phone, tmp_path, scenario, UDP) == ""
    failed = phone.last(InviteFailed)
    assert (failed.status, failed.reason) == (486, "Busy Here")
    assert phone.kinds().count(InviteFailed) == 1
    await phone.until_gone()


@pytest.mark.parametrize(
    ("scenario", "transport"), [("callee_no_answer", UDP), ("callee_no_answer", TCP), ("callee_late_cancel", UDP)]
)
async def test_caller_gives_up(phone: Phone, tmp_path: Path, scenario: str, transport: Transport) -> None:
    phone.on_event = lambda event: phone.shell.hangup(event.id) if isinstance(event, InviteProgress) else None
    assert await call_sipp(phone, tmp_path, scenario, transport) == ""
    assert phone.kinds().count(InviteAnswered) == 0
    assert phone.last(InviteEnded).reason is EndCause.LOCAL
    await phone.until_gone()


# --- SIPp as caller ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "transport"),
    [
        ("caller_lost_ack", UDP),
        ("caller_lost_ack", TCP),
        ("caller_repeated_ack", UDP),
        ("caller_repeated_bye", UDP),
        ("caller_late_cancel", UDP),
        ("caller_late_cancel", TCP),
    ],
)
async def test_answered_call_survives_until_the_callers_bye(
    phone: Phone, tmp_path: Path, scenario: str, transport: Transport
) -> None:
    def pick_up(event: Event) -> None:
        if isinstance(event, IncomingInvite):
            phone.shell.ring(event.id)
            phone.shell.answer(event.id, ANSWER)

    phone.on_event = pick_up
    assert await called_by_sipp(phone, tmp_path, scenario, transport) == ""
    assert phone.kinds() == [IncomingInvite, InviteConfirmed, InviteEnded]
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_BYE
    await phone.until_gone()


@pytest.mark.parametrize("transport", [UDP, TCP])
async def test_cancel_that_crosses_our_200_changes_nothing(
    patient_phone: Phone, tmp_path: Path, transport: Transport
) -> None:
    phone = patient_phone
    phone.on_event = lambda event: phone.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_cancel_crosses_200", transport) == ""
    assert phone.kinds() == [IncomingInvite, InviteConfirmed, InviteEnded]
    await phone.until_gone()


async def test_glare_is_settled_by_offering_again(phone: Phone, tmp_path: Path) -> None:
    def act(event: Event) -> None:
        match event:
            case IncomingInvite():
                phone.shell.answer(event.id, ANSWER)
            case InviteConfirmed():
                phone.shell.reinvite(event.id, ANSWER)
            case ReinviteAnswered():
                phone.shell.hangup(event.id)

    phone.on_event = act
    assert await called_by_sipp(phone, tmp_path, "caller_glare", UDP) == ""
    assert phone.kinds() == [IncomingInvite, InviteConfirmed, ReinviteAnswered, InviteEnded]
    await phone.until_gone()


async def test_crossing_offers_are_both_refused_and_the_owner_of_the_call_id_waits_longer(
    phone: Phone, tmp_path: Path
) -> None:
    refused_at: list[float] = []
    now = asyncio.get_running_loop().time

    def act(event: Event) -> None:
        match event:
            case InviteAnswered():
                phone.shell.reinvite(event.id, OFFER)
                refused_at.append(now())
            case ReinviteAnswered():
                assert now() - refused_at[0] >= 2.1  # RFC 3261 section 14.1
                phone.shell.hangup(event.id)

    phone.on_event = act
    assert await call_sipp(phone, tmp_path, "callee_glare", UDP) == ""
    assert phone.kinds() == [InviteAnswered, ReinviteAnswered, InviteEnded]
    await phone.until_gone()


@pytest.mark.parametrize("scenario", ["callee_wrong_cseq", "callee_stray_bye"])
async def test_callee_that_says_what_does_not_belong_keeps_its_call(
    phone: Phone, tmp_path: Path, scenario: str
) -> None:
    assert await call_sipp(phone, tmp_path, scenario, UDP) == ""
    assert phone.kinds()[-2:] == [InviteAnswered, InviteEnded]
    assert phone.kinds().count(InviteAnswered) == 1
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_BYE
    await phone.until_gone()


async def test_session_that_is_not_refreshed_is_ended(phone: Phone, tmp_path: Path) -> None:
    assert await call_sipp(phone, tmp_path, "callee_session_expires", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.SESSION_EXPIRED
    await phone.until_gone()


async def test_second_answer_of_a_fork_is_acknowledged_and_ended(phone: Phone, tmp_path: Path) -> None:
    def hang_up(event: Event) -> None:
        if isinstance(event, InviteAnswered):
            asyncio.get_running_loop().call_later(1.0, phone.shell.hangup, event.id)

    phone.on_event = hang_up
    assert await call_sipp(phone, tmp_path, "callee_forked_200", UDP) == ""
    assert phone.kinds().count(InviteAnswered) == 1
    await phone.until_gone()


async def test_lost_prack_is_sent_again(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.hangup(event.id) if isinstance(event, InviteAnswered) else None
    assert await call_sipp(phone, tmp_path, "callee_prack_lost", UDP) == ""
    assert phone.kinds().count(InviteProgress) == 1
    await phone.until_gone()


async def test_call_without_any_prack_is_refused(phone: Phone, tmp_path: Path) -> None:
    def ring(event: Event) -> None:
        if isinstance(event, IncomingInvite):
            phone.shell.ring(event.id, 183, ANSWER)

    phone.on_event = ring
    assert await called_by_sipp(phone, tmp_path, "caller_prack_lost", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.NO_ACK
    await phone.until_gone()


async def test_number_out_of_order_is_refused_and_the_call_goes_on(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_wrong_cseq", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_BYE
    await phone.until_gone()


async def test_stray_bye_is_answered_481(phone: Phone, tmp_path: Path) -> None:
    assert await called_by_sipp(phone, tmp_path, "caller_stray_bye", UDP) == ""
    assert phone.events == []


async def test_call_that_is_never_acknowledged_ends_with_our_bye(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_no_ack", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.NO_ACK
    await phone.until_gone()


async def test_our_486_is_what_the_caller_gets(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.hangup(event.id, 486) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_486", UDP) == ""
    await phone.until_gone()


async def test_call_that_rings_ends_with_the_callers_cancel(phone: Phone, tmp_path: Path) -> None:
    phone.on_event = lambda event: phone.shell.ring(event.id) if isinstance(event, IncomingInvite) else None
    assert await called_by_sipp(phone, tmp_path, "caller_no_answer", UDP) == ""
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_CANCEL
    await phone.until_gone()


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "relay"),
    [("caller_lost_ack", Split), ("caller_hasty_bye", Split), ("caller_hasty_bye", Glued)],
)
async def test_caller_whose_stream_is_torn_is_understood(
    patient_phone: Phone, tmp_path: Path, scenario: str, relay: type[Split | Glued]
) -> None:
    phone = patient_phone
    phone.on_event = lambda event: phone.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    async with relay() as between:
        assert await called_by_sipp(phone, tmp_path, scenario, TCP, relay=between) == ""
    assert between.is_torn
    assert phone.kinds() == [IncomingInvite, InviteConfirmed, InviteEnded]
    await phone.until_gone()


@pytest.mark.parametrize(
    ("scenario", "relay"), [("callee_stray_bye", Split), ("callee_wrong_cseq", Split), ("callee_wrong_cseq", Glued)]
)
async def test_callee_whose_stream_is_torn_is_understood(
    patient_phone: Phone, tmp_path: Path, scenario: str, relay: type[Split | Glued]
) -> None:
    phone = patient_phone
    async with relay() as between:
        assert await call_sipp(phone, tmp_path, scenario, TCP, relay=between) == ""
    assert between.is_torn
    assert phone.last(InviteEnded).reason is EndCause.REMOTE_BYE
    await phone.until_gone()
