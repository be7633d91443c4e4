"""REGISTER at our registrar, on a virtual clock.   RFC 3261 section 10.3, RFC 5626, RFC 7118."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from random import Random

import pytest

from trunkline.sip.auth.digest import Attempt, Credentials, HashedPassword
from trunkline.sip.headers import HeaderList
from trunkline.sip.message import Response
from trunkline.sip.registrar import Binding, BindingLimits, Bindings, LoginDesk, Refusal, RegisterForm, read_form
from trunkline.sip.types import HeaderFields, IncomingRequest, IncomingRequestId, Path, Transport

AOR = "alice"
CONTACT = "<sip:h4x@k2v.invalid;transport=ws>"
OUTBOUND = ';+sip.instance="<urn:uuid:1>";reg-id=1'
LIMITS = BindingLimits(min_expires_s=60, max_expires_s=600, per_address=3, total=5)


def flow(number: int = 1) -> Path:
    return Path(Transport.WSS, ("192.0.2.1", 443), ("198.51.100.7", 40_000 + number), number)


@dataclass
class Page:
    """A client: numbers its requests, keeps its Call-ID."""

    table: Bindings
    path: Path = field(default_factory=flow)
    sip_call_id: str = "page-1"
    cseq: int = 0
    gone: list[Binding] = field(default_factory=list)

    def request(self, *contacts: str, expires: int | None = None, extra: HeaderFields = ()) -> IncomingRequest:
        self.cseq += 1
        return IncomingRequest(
            IncomingRequestId(self.cseq),
            "REGISTER",
            "sip:gateway.example",
            (
                ("Via", "SIP/2.0/WSS k2v.invalid;branch=z9hG4bK1"),
                ("To", "<sip:alice@gateway.example>"),
                ("From", "<sip:alice@gateway.example>;tag=1"),
                ("Call-ID", self.sip_call_id),
                ("CSeq", f"{self.cseq} REGISTER"),
                *(("Contact", contact) for contact in contacts),
                *((("Expires", str(expires)),) if expires is not None else ()),
                *extra,
            ),
            b"",
            self.path,
        )

    def ask(self, now: float, *contacts: str, expires: int | None = None, extra: HeaderFields = ()) -> int:
        """Register; returns the status."""
        form = read_form(self.request(*contacts, expires=expires, extra=extra))
        if isinstance(form, Refusal):
            return form.status
        refusal = self.table.check(now, AOR, form)
        if refusal is not None:
            return refusal.status
        self.gone += self.table.grant(now, AOR, form)[1]
        return 200

    def contacts(self, now: float) -> list[str]:
        return [str(binding.contact) for binding in self.table.of(now, AOR)]


@pytest.fixture
def page() -> Page:
    return Page(Bindings(LIMITS))


def test_binds_an_invalid_contact_to_its_flow_until_it_expires(page: Page) -> None:
    assert page.ask(0.0, f"{CONTACT};expires=120") == 200
    (binding,) = page.table.of(119.9, AOR)
    assert (str(binding.contact), binding.path) == ("sip:h4x@k2v.invalid;transport=ws", flow())
    assert page.table.poll_timeout() == 120.0
    assert page.table.of(120.0, AOR) == ()
    assert page.table.handle_timeout(120.0) == (binding,)
    assert (len(page.table), page.table.poll_timeout()) == (0, None)


def test_a_refresh_moves_the_end_and_the_old_end_means_nothing(page: Page) -> None:
    page.ask(0.0, CONTACT, expires=120)
    page.ask(100.0, CONTACT, expires=120)
    assert page.table.handle_timeout(120.0) == ()
    assert len(page.table.of(219.0, AOR)) == 1
    assert len(page.table.handle_timeout(220.0)) == 1


def test_grants_no_more_than_the_most_and_refuses_less_than_the_least(page: Page) -> None:
    assert page.ask(0.0, CONTACT, expires=90_000) == 200
    assert page.table.of(0.0, AOR)[0].expires_at == 600.0
    form = read_form(page.request(CONTACT, expires=59))
    assert isinstance(form, RegisterForm)
    refusal = page.table.check(0.0, AOR, form)
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (423, (("Min-Expires", "60"),))


def test_a_closed_flow_takes_its_bindings_along_and_no_others(page: Page) -> None:
    other = Page(page.table, flow(2), "page-2")
    page.ask(0.0, CONTACT, expires=120)
    other.ask(0.0, "<sip:other@l3w.invalid;transport=ws>", expires=120)
    # A Via may name another port than the one the connection came from: the number is what counts.
    assert [b.sip_call_id for b in page.table.close_flow(flow())] == ["page-1"]
    assert page.contacts(1.0) == ["sip:other@l3w.invalid;transport=ws"]


def test_the_same_instance_on_a_new_flow_replaces_the_old_one(page: Page) -> None:
    page.ask(0.0, f"{CONTACT}{OUTBOUND}", expires=120)
    again = Page(page.table, flow(2), "page-2")
    assert again.ask(5.0, f"<sip:new@m4x.invalid;transport=ws>{OUTBOUND}", expires=120) == 200
    (binding,) = page.table.of(6.0, AOR)
    assert (binding.contact.username, binding.path) == ("new", flow(2))
    assert page.table.close_flow(flow(1)) == ()
    assert len(page.table.of(6.0, AOR)) == 1


def test_several_contacts_of_one_address_come_newest_first_up_to_the_limit(page: Page) -> None:
    for number in range(3):
        client = Page(page.table, flow(number + 1), f"client-{number}")
        assert client.ask(float(number), f"<sip:c{number}@x.invalid>", expires=120) == 200
    assert page.contacts(10.0) == ["sip:c2@x.invalid", "sip:c1@x.invalid", "sip:c0@x.invalid"]
    assert Page(page.table, flow(9), "more").ask(10.0, "<sip:c9@x.invalid>", expires=120) == 403
    assert page.contacts(10.0)[0] == "sip:c2@x.invalid"


def test_unregisters_one_contact_or_all(page: Page) -> None:
    page.ask(0.0, CONTACT, "<sip:second@x.invalid>", expires=120)
    assert page.ask(1.0, f"{CONTACT};expires=0") == 200
    assert page.contacts(1.0) == ["sip:second@x.invalid"]
    # JsSIP 3.13 puts its parameters behind the star.
    assert page.ask(2.0, "*;reg-id=1", expires=0) == 200
    assert page.contacts(2.0) == []
    assert [binding.contact.username for binding in page.gone] == ["h4x", "second"]


@pytest.mark.parametrize(
    ("contacts", "expires", "extra", "status"),
    [
        (("*",), 60, (), 400),
        (("*", CONTACT), 0, (), 400),
        (("<tel:+1234>",), 120, (), 400),
        ((CONTACT,), None, (("Expires", "soon"),), 400),
        ((f"{CONTACT}{OUTBOUND}", '<sip:b@x.invalid>;+sip.instance="<urn:uuid:2>";reg-id=1'), 120, (), 400),
        ((f"{CONTACT}{OUTBOUND}",), 120, (("Via", "SIP/2.0/UDP p.example"), ("Supported", "outbound")), 439),
        (tuple(f"<sip:c{n}@x.invalid>" for n in range(17)), 120, (), 403),
    ],
)
def test_refuses_what_cannot_be_meant(
    page: Page, contacts: tuple[str, ...], expires: int | None, extra: HeaderFields, status: int
) -> None:
    assert page.ask(0.0, *contacts, expires=expires, extra=extra) == status
    assert page.contacts(0.0) == []


def test_an_older_request_of_the_same_series_changes_nothing(page: Page) -> None:
    page.ask(0.0, CONTACT, expires=120)
    page.cseq = 0
    assert page.ask(1.0, f"{CONTACT};expires=0") == 500
    assert len(page.contacts(1.0)) == 1


def test_the_whole_table_is_bounded() -> None:
    table = Bindings(BindingLimits(min_expires_s=1, per_address=100, total=5))
    statuses = [Page(table, flow(n), f"c{n}").ask(0.0, f"<sip:c{n}@x.invalid>", expires=60) for n in range(7)]
    assert statuses == [200] * 5 + [503] * 2


def test_a_client_that_refreshes_for_ever_costs_no_more(page: Page) -> None:
    for second in range(1_000):
        page.ask(float(second), CONTACT, expires=600)
    assert len(page.table._ends) < 50


def test_the_answer_names_every_contact_and_says_that_flows_are_understood(page: Page) -> None:
    form = read_form(page.request(f"{CONTACT}{OUTBOUND}", expires=120, extra=(("Supported", "outbound, path"),)))
    assert isinstance(form, RegisterForm)
    page.table.grant(0.0, AOR, form)
    assert page.table.answer_headers(20.0, AOR, form) == (
        ("Contact", f"<sip:h4x@k2v.invalid;transport=ws>;expires=100{OUTBOUND}"),
        ("Require", "outbound"),
    )


@pytest.mark.parametrize(
    ("q", "kept", "said"),
    [("", 1_000, ""), ("1.0", 1_000, ""), ("0.7", 700, ";q=0.700"), ("0.05", 50, ";q=0.050"), ("0", 0, ";q=0.000")],
)
def test_keeps_the_preference_of_a_contact_and_says_it_again(page: Page, q: str, kept: int, said: str) -> None:
    assert page.ask(0.0, f"{CONTACT};q={q}" if q else CONTACT, expires=120) == 200
    (binding,) = page.table.of(0.0, AOR)
    assert binding.q == kept
    assert binding.contact_value(0.0) == f"<{binding.contact}>;expires=120{said}"


@pytest.mark.parametrize("q", ["1.1", "2", "-1", "0.1234", ".5", "high", "1e0"])
def test_a_preference_that_is_none_is_refused(page: Page, q: str) -> None:
    assert page.ask(0.0, f"{CONTACT};q={q}", expires=120) == 400


# --- who is who ---------------------------------------------------------------------------------------------------


SOURCE = "198.51.100.7"
HASHED = HashedPassword(hashlib.md5(b"bob:trunkline:hunter2").hexdigest())


def sign_in(user: str, password: str, login: str, method: str = "REGISTER") -> tuple[int, HeaderFields]:
    """Go through a challenge as a client does; returns the last status, 200 if let in, and its headers."""
    desk = LoginDesk({"alice": "secret", "bob": HASHED}, "trunkline", Random(1))
    attempt = Attempt(credentials := Credentials(user, password, Random(2)), method)
    first = desk.judge(0.0, method, login, (), source=SOURCE)
    assert first is not None
    challenge = HeaderList(first.headers)
    assert attempt.take(Response(first.status, "", challenge))
    reply = desk.judge(1.0, method, login, credentials.headers(method, "sip:gateway.example"), source=SOURCE)
    return (200, ()) if reply is None else (reply.status, reply.headers)


def test_a_password_or_its_hash_lets_a_user_in() -> None:
    assert sign_in("alice", "secret", "alice")[0] == 200
    assert sign_in("bob", "hunter2", "bob")[0] == 200
    assert sign_in("alice", "secret", "alice", "INVITE")[0] == 200


def test_a_wrong_password_and_an_unknown_user_are_challenged_again() -> None:
    for user, password, login in (("alice", "guess", "alice"), ("bob", "guess", "bob"), ("eve", "x", "eve")):
        status, headers = sign_in(user, password, login)
        assert status == 401
        assert [name for name, _ in headers] == ["WWW-Authenticate"]
        assert "stale" not in headers[0][1]
    assert sign_in("alice", "guess", "alice", "INVITE")[0] == 407


def test_nobody_registers_as_somebody_else() -> None:
    assert sign_in("alice", "secret", "bob")[0] == 403


def test_pages_are_asked_for_md5_alone_since_they_read_the_first_challenge_and_know_nothing_else() -> None:
    reply = LoginDesk({}, "trunkline", Random(1)).judge(0.0, "REGISTER", "alice", (), source=SOURCE)
    assert reply is not None
    assert len(reply.headers) == 1
    assert "algorithm=MD5" in reply.headers[0][1]
