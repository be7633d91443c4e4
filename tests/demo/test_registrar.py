"""REGISTER as a SIP server answers it."""

from random import Random

import pytest

from trunkline.demo.registrar import MAX_BINDINGS, Registrar, Reply
from trunkline.sip.auth.digest import Attempt, Credentials
from trunkline.sip.headers import HeaderList
from trunkline.sip.message import Response
from trunkline.sip.types import IncomingRequest, IncomingRequestId, Path, Transport

PATH = Path(Transport.UDP, ("127.0.0.1", 5070), ("127.0.0.1", 5060))
URI = "sip:127.0.0.1"


class Client:
    """Registers as a UA does: once without credentials, then with."""

    def __init__(self, user: str = "demo", password: str = "secret", aor: str | None = None) -> None:
        self.registrar = Registrar({"demo": "secret", "other": "secret"}, "realm", Random(1))
        self.user, self.password, self.aor = user, password, aor or user
        self.cseq = 0

    def send(
        self, now: float, *contacts: str, headers: tuple[tuple[str, str], ...] = (), cseq: int | None = None
    ) -> Reply:
        self.cseq += 1
        fields = (
            ("To", f"<sip:{self.aor}@127.0.0.1>"),
            ("Call-ID", "registration"),
            ("CSeq", f"{self.cseq if cseq is None else cseq} REGISTER"),
            *(("Contact", contact) for contact in contacts),
            *headers,
        )
        request = IncomingRequest(IncomingRequestId(1), "REGISTER", URI, fields, b"", PATH)
        return self.registrar.handle_register(now, request)

    def register(self, now: float, *contacts: str, expires: str | None = None, cseq: int | None = None) -> Reply:
        challenge = self.send(now, *contacts)
        assert challenge.status == 401
        credentials = Credentials(self.user, self.password, Random(2))
        assert Attempt(credentials, "REGISTER").take(Response(401, "Unauthorized", HeaderList(challenge.headers)))
        extra = () if expires is None else (("Expires", expires),)
        return self.send(now, *contacts, headers=(*credentials.headers("REGISTER", URI), *extra), cseq=cseq)

    def contacts(self, now: float) -> list[str]:
        return [str(contact) for contact in self.registrar.contacts(now, "demo")]


def test_keeps_a_binding_until_it_expires() -> None:
    client = Client()
    reply = client.register(0, "<sip:a@127.0.0.1:6000>", expires="60")
    assert reply == Reply(200, (("Contact", "<sip:a@127.0.0.1:6000>;expires=60"),))
    assert client.contacts(59) == ["sip:a@127.0.0.1:6000"]
    assert client.contacts(60) == []


def test_expires_of_the_contact_goes_before_the_header_and_both_are_capped() -> None:
    client = Client()
    reply = client.register(0, "<sip:a@h>;expires=100, <sip:b@h>", expires="999999")
    assert sorted(value for _, value in reply.headers) == ["<sip:a@h>;expires=100", "<sip:b@h>;expires=3600"]


def test_refresh_replaces_and_zero_removes() -> None:
    client = Client()
    client.register(0, "<sip:a@h>", expires="60")
    client.register(50, "<sip:a@h>", expires="60")
    assert client.contacts(100) == ["sip:a@h"]
    assert client.register(101, "<sip:a@h>;expires=0") == Reply(200)
    assert client.contacts(101) == []


def test_star_removes_all_but_only_with_expires_zero() -> None:
    client = Client()
    client.register(0, "<sip:a@h>", "<sip:b@h>", expires="60")
    assert client.register(1, "*", expires="60").status == 400
    assert len(client.contacts(1)) == 2
    assert client.register(2, "*", expires="0") == Reply(200)
    assert client.contacts(2) == []


def test_query_without_contact_lists_the_bindings() -> None:
    client = Client()
    client.register(0, "<sip:a@h>", expires="60")
    assert client.register(10).headers == (("Contact", "<sip:a@h>;expires=50"),)


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (Client(password="wrong"), 403),
        (Client(user="nobody"), 403),
        (Client(aor="other"), 403),
        (Client(aor="nobody"), 404),
    ],
    ids=["wrong password", "unknown user", "somebody else's address", "unknown address"],
)
def test_refuses_and_binds_nothing(client: Client, status: int) -> None:
    assert client.register(0, "<sip:a@h>", expires="60").status == status
    assert client.contacts(0) == []


def test_challenges_again_when_the_nonce_is_old() -> None:
    client = Client()
    challenge = client.send(0)
    credentials = Credentials("demo", "secret", Random(2))
    Attempt(credentials, "REGISTER").take(Response(401, "Unauthorized", HeaderList(challenge.headers)))
    reply = client.send(3600, "<sip:a@h>", headers=credentials.headers("REGISTER", URI))
    assert reply.status == 401
    assert all("stale=true" in value for _, value in reply.headers)


def test_asks_for_a_longer_interval() -> None:
    assert Client().register(0, "<sip:a@h>", expires="5") == Reply(423, (("Min-Expires", "10"),))


def test_ignores_a_request_that_was_overtaken() -> None:
    client = Client()
    client.register(0, "<sip:a@h>", expires="60", cseq=100)
    assert client.register(1, "<sip:a@h>", expires="0", cseq=99).status == 500
    assert client.contacts(1) == ["sip:a@h"]


def test_bounds_the_bindings_of_one_account() -> None:
    client = Client()
    many = [f"<sip:{n}@h>" for n in range(MAX_BINDINGS + 1)]
    assert client.register(0, *many[1:], expires="60").status == 200
    assert client.register(1, many[0], expires="60").status == 403
    assert len(client.contacts(1)) == MAX_BINDINGS


@pytest.mark.parametrize("contact", ["garbage", "<mailto:x@y>", "<sip:a@h>;expires=x"])
def test_refuses_what_it_cannot_read(contact: str) -> None:
    assert Client().register(0, contact, expires="60").status == 400
