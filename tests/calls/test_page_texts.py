"""Texts of pages that speak SIP, outside calls: who may send one, where it goes, and what its sender is told."""

from __future__ import annotations

from typing import Any

import pytest
from test_pages import CONTACT, GATEWAY, UPSTREAM, USERS, Pages, answer_to, flow, pages
from world import PATH, World

from fakes import ACCOUNT
from trunkline.errors import LocalProtocolError
from trunkline.sip.registrar import UNHEARD
from trunkline.sip.types import (
    FlowClosed,
    HeaderFields,
    IncomingRequestId,
    MessageAnswered,
    MessageReceived,
    MessageRequest,
    Path,
    RequestAnswered,
    RequestId,
)

OTHER = "sip:b0b@x.invalid;transport=ws"
NUMBER = 70


async def say(
    w: World,
    sender: str,
    recipient: str,
    *,
    host: str = GATEWAY,
    path: Path | None = None,
    headers: HeaderFields = (),
    target: str = "",
    body: str = "hello",
    content_type: str = "text/plain",
) -> None:
    """Have somebody send a text: a page, unless the path says otherwise."""
    await w.sip_says(
        MessageReceived(
            IncomingRequestId(NUMBER),
            None,
            None,
            sender=f"sip:{sender}@{host}",
            display_name="",
            recipient=f"sip:{recipient}@{host}",
            content_type=content_type,
            text=body,
            path=path or flow(),
            target=target or f"sip:{recipient}@{host}",
            headers=headers,
        )
    )


async def answer(w: World, status: int, reason: str = "", *, nth: int = -1, challenges: HeaderFields = ()) -> None:
    """Have the far side of a text that went out answer it."""
    await w.sip_says(MessageAnswered(w.sip.messages[nth][1], status, reason, challenges))


def sent(w: World) -> list[MessageRequest]:
    return [request for request, _ in w.sip.messages]


def told(w: World) -> list[tuple[Any, ...]]:
    """What senders have been told: status, phrase, headers."""
    return [done[2:] for done in w.sip.verbs("respond") if done[1] == NUMBER]


async def both(p: Pages) -> None:
    """Register a page of Alice's and one of Bob's."""
    await p.register("alice")
    await p.register("bob", path=flow(2), contact=OTHER)


@pytest.mark.parametrize(("status", "reason"), [(200, ""), (415, "Unsupported Media Type")])
async def test_a_text_reaches_the_page_of_another_user_whose_answer_is_the_senders(status: int, reason: str) -> None:
    async with pages(users=USERS) as (w, p):
        await both(p)
        await say(w, "alice", "bob", body="<p>hi</p>", content_type="text/html")
        (request,) = sent(w)
        assert (request.text, request.content_type) == ("<p>hi</p>", "text/html")
        assert (request.target_uri, request.from_uri) == (OTHER, f"sip:alice@{GATEWAY}")
        assert request.hop is not None
        assert request.hop.flow == flow(2)
        assert not told(w), "nobody has taken it yet"
        await answer(w, status, reason)
        assert told(w) == [(status, reason or None, ())]


async def test_a_text_is_shown_at_every_place_of_a_user_but_where_it_was_written() -> None:
    async with pages(users=USERS) as (w, p):
        await both(p)
        await p.register("bob", path=flow(3), contact="sip:b0b3@x.invalid", instance="<urn:uuid:3>")
        await say(w, "alice", "bob")
        assert [request.target_uri for request in sent(w)] == [OTHER, "sip:b0b3@x.invalid"]
        await say(w, "bob", "bob", path=flow(2))
        assert [request.target_uri for request in sent(w)[2:]] == ["sip:b0b3@x.invalid"]


async def test_the_first_place_that_takes_a_text_answers_its_sender_and_a_refusal_waits_for_the_others() -> None:
    async with pages(users=USERS) as (w, p):
        await both(p)
        await p.register("bob", path=flow(3), contact="sip:b0b3@x.invalid", instance="<urn:uuid:3>")
        await say(w, "alice", "bob")
        await answer(w, 480, "Gone", nth=0)
        assert not told(w)
        await answer(w, 200, nth=1)
        assert told(w) == [(200, None, ())]
        await say(w, "alice", "bob")
        await answer(w, 480, "Gone", nth=2)
        await answer(w, 415, "Not that", nth=3)
        assert told(w)[1:] == [(415, "Not that", ())], "which says more"


async def test_a_text_for_a_user_who_is_not_here_is_told_to_its_sender() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("bob", path=flow(2), contact=OTHER)
        await say(w, "bob", "bob", path=flow(2))
        assert told(w) == [(480, "Temporarily Unavailable", ())]
        await say(w, "bob", "0301234", path=flow(2))
        assert told(w)[-1][0] == 404, "and nobody else can be asked: the user has no account"
        assert not sent(w)


async def test_a_page_that_has_not_registered_is_challenged_and_a_stranger_refused() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("bob", path=flow(2), contact=OTHER)
        await say(w, "alice", "bob")
        (status, _, headers) = told(w)[-1]
        assert (status, headers[0][0]) == (407, "Proxy-Authenticate")
        await say(w, "alice", "bob", headers=answer_to(headers, "alice", "MESSAGE"))
        assert len(sent(w)) == 1
        await say(w, "eve", "bob")
        assert told(w)[-1][0] == 403
        await say(w, "alice", "bob", path=flow(2))
        assert told(w)[-1][0] == 407, "the flow of one user is not that of another"
        assert len(sent(w)) == 1


async def test_a_text_for_somebody_beyond_goes_by_the_account_of_its_sender() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("alice")
        await say(w, "alice", "0301234")
        (request,) = sent(w)
        assert (request.account, request.target_uri) == (ACCOUNT, "0301234")
        await answer(w, 404, "Not Found")
        assert told(w) == [(404, "Not Found", ())]
        await say(w, "alice", "0301234")
        await answer(w, 407, "Proxy Authentication Required", challenges=(("Proxy-Authenticate", "Digest"),))
        assert told(w)[-1] == (403, None, ()), "a page has no answer to a challenge that was ours"


async def test_credentials_and_challenges_pass_between_a_page_and_the_server_that_knows_it() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        await p.ask("carol", host="pbx.example")
        await w.sip_says(RequestAnswered(RequestId(1), 200, "OK", (("Service-Route", "<sip:edge.example;lr>"),)))
        await say(w, "carol", "dave", host="pbx.example")
        (first,) = sent(w)
        assert (first.hop, first.from_uri, first.target_uri) == (
            UPSTREAM,
            "sip:carol@pbx.example",
            "sip:dave@pbx.example",
        )
        assert (first.account, first.credentials, first.routes) == (None, (), ("<sip:edge.example;lr>",))
        challenge = (("Proxy-Authenticate", 'Digest realm="pbx", nonce="1"'),)
        await answer(w, 407, "Proxy Authentication Required", challenges=challenge)
        assert told(w) == [(407, "Proxy Authentication Required", challenge)]
        credentials = (("Proxy-Authorization", "Digest username=carol"),)
        await say(w, "carol", "dave", host="pbx.example", headers=(("Subject", "x"), *credentials))
        assert sent(w)[-1].credentials == credentials
        await answer(w, 202, "Accepted")
        assert told(w)[-1] == (202, None, ())


async def test_guesses_that_the_upstream_server_would_blame_on_us_run_out_here() -> None:
    async with pages(upstream=UPSTREAM) as (w, _):
        credentials = (("Proxy-Authorization", "Digest username=carol"),)
        challenge = (("Proxy-Authenticate", 'Digest realm="pbx", nonce="1"'),)
        for _ in range(100):
            await say(w, "carol", "dave", host="pbx.example", headers=credentials)
            if told(w) and told(w)[-1] == (403, UNHEARD, ()):
                break
            await answer(w, 407, "", challenges=challenge)
        assert told(w)[-1] == (403, UNHEARD, ())
        assert len(sent(w)) < 100


async def test_the_server_behind_us_sends_a_page_texts_by_the_contact_that_it_was_given() -> None:
    async with pages(upstream=UPSTREAM) as (w, p):
        await p.ask("carol", host="pbx.example")
        await w.sip_says(RequestAnswered(RequestId(1), 200, "OK", ()))
        contact = f"sip:{w.sip.verbs('forward_register')[-1][1].contact_user}@192.0.2.1"
        await say(w, "dave", "carol", host="pbx.example", path=PATH, target=contact)
        (request,) = sent(w)
        assert request.hop is not None
        assert (request.target_uri, request.hop.flow, request.from_uri) == (CONTACT, flow(), "sip:dave@pbx.example")
        await answer(w, 200)
        assert told(w) == [(200, None, ())]
        await w.sip_says(FlowClosed(flow()))
        await say(w, "dave", "carol", host="pbx.example", path=PATH, target=contact)
        assert told(w)[-1][0] == 404, "nobody has this Contact any more"
        assert w.metrics.registry.get_sample_value("trunkline_messages_total", {"outcome": "nobody"}) == 1


async def test_a_text_that_cannot_be_written_to_the_wire_is_refused_and_not_lost() -> None:
    async with pages(users=USERS) as (w, p):
        await p.register("alice")
        w.sip.refusals["send_message"] = LocalProtocolError("too long")
        await say(w, "alice", "0301234")
        assert told(w)[-1][0] == 500
