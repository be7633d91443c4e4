"""Digest authentication against the examples of RFC 2617 and RFC 7616, and the judgement of both sides."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from sip.writing import reply, request
from trunkline.sip.auth.digest import (
    Attempt,
    Challenge,
    Credentials,
    DigestServer,
    Verdict,
    challenges_of,
    digest_response,
)
from trunkline.sip.headers import AuthValue
from trunkline.sip.message import Response

RFC7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def test_rfc2617_section_3_5_example() -> None:
    assert (
        digest_response(
            "MD5",
            ("Mufasa", "testrealm@host.com", "Circle Of Life"),
            ("GET", "/dir/index.html"),
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            qop="auth",
            nonce_count="00000001",
            cnonce="0a4f113b",
        )
        == "6629fae49393a05397450978507c4ef1"
    )


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc7616_section_3_9_1_example(algorithm: str, expected: str) -> None:
    assert (
        digest_response(
            algorithm,
            ("Mufasa", "http-auth@example.org", "Circle of Life"),
            ("GET", "/dir/index.html"),
            RFC7616_NONCE,
            qop="auth",
            nonce_count="00000001",
            cnonce=RFC7616_CNONCE,
        )
        == expected
    )


def test_rfc7616_section_3_9_2_example_as_erratum_4897_corrects_it() -> None:
    response = digest_response(
        "SHA-512-256",
        ("J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?"),
        ("GET", "/doe.json"),
        "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        qop="auth",
        nonce_count="00000001",
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert response == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


@pytest.mark.parametrize("hides_user", [True, False])
def test_user_name_is_hashed_for_a_server_that_wants_that(hides_user: bool) -> None:
    """The user of RFC 7616 section 3.9.2; the hash is that of erratum 4897."""
    credentials = Credentials("J\u00e4s\u00f8n Doe", "Secret, or not?", Random(1))
    extra = ", userhash=true" if hides_user else ""
    asked = f'Digest realm="api@example.org", nonce="n", qop="auth", algorithm=SHA-512-256{extra}'
    assert Attempt(credentials, "REGISTER").take(challenge(401, asked))
    value = AuthValue.parse(credentials.headers("REGISTER", "sip:api@example.org")[0][1])
    hashed = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert value.get("username") == (hashed if hides_user else "J\u00e4s\u00f8n Doe")
    assert value.get("userhash") == ("true" if hides_user else "")
    expected = digest_response(
        "SHA-512-256",
        ("J\u00e4s\u00f8n Doe", "api@example.org", "Secret, or not?"),
        ("REGISTER", "sip:api@example.org"),
        "n",
        qop="auth",
        nonce_count="00000001",
        cnonce=value.get("cnonce"),
    )
    assert value.get("response") == expected, "the name itself is part of the password's hash"


@pytest.mark.parametrize(("algorithm", "name"), [("MD5-sess", "md5"), ("SHA-256-sess", "sha256")])
def test_session_variant_hashes_nonce_and_cnonce_into_the_password(algorithm: str, name: str) -> None:
    def hashed(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    credentials = Credentials("alice", "secret", Random(1))
    asked = challenge(401, f'Digest realm="r", nonce="n", qop="auth,auth-int", algorithm={algorithm}')
    assert Attempt(credentials, "INVITE").take(asked)
    first, second = (AuthValue.parse(credentials.headers("INVITE", "sip:b@h")[0][1]) for _ in range(2))
    cnonce = first.get("cnonce")
    assert second.get("cnonce") == cnonce, "the session's, not the request's"
    assert (first.get("algorithm"), first.get("nc"), second.get("nc")) == (algorithm, "00000001", "00000002")
    ha1 = hashed(f"{hashed('alice:r:secret')}:n:{cnonce}")
    expected = hashed(f"{ha1}:n:00000002:{cnonce}:auth:{hashed('INVITE:sip:b@h')}")
    assert second.get("response") == expected


def test_challenge_that_wants_auth_int_alone_is_not_answered() -> None:
    asked = challenge(401, 'Digest realm="r", nonce="n", qop="auth-int", algorithm=SHA-256')
    assert challenges_of(asked) == ()
    assert not Attempt(Credentials("alice", "secret", Random(1)), "INVITE").take(asked)


def test_proxies_of_two_realms_are_both_answered() -> None:
    credentials = Credentials("alice", "secret", Random(1))
    one = 'Digest realm="one", nonce="a", qop="auth", algorithm=SHA-512-256'
    two = 'Digest realm="two", nonce="b", qop="auth"'
    assert Attempt(credentials, "INVITE").take(challenge(407, one, two))
    realms = [AuthValue.parse(value).get("realm") for _, value in credentials.headers("INVITE", "sip:b@h")]
    assert realms == ["one", "two"]


def test_rfc2069_form_is_used_when_no_qop_is_offered() -> None:
    credentials = Credentials("Mufasa", "CircleOfLife", Random(1))
    response = challenge(401, 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    assert Attempt(credentials, "GET").take(response)
    ((name, value),) = credentials.headers("GET", "/dir/index.html")
    assert name == "Authorization"
    parsed = AuthValue.parse(value)
    assert parsed.get("response") == "1949323746fe6a43ef61f9606e7febea"  # RFC 2069 erratum 749
    assert not parsed.has("qop")
    assert not parsed.has("nc")


def challenge(status: int, *values: str) -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return reply(request("REGISTER"), status, extra=tuple((name, value) for value in values))


def test_strongest_challenge_of_a_realm_is_picked() -> None:
    md5 = 'Digest realm="r", nonce="a", qop="auth", algorithm=MD5'
    sha = 'Digest realm="r", nonce="b", qop="auth", algorithm=SHA-256'
    unknown = 'Digest realm="r", nonce="c", qop="auth", algorithm=SHA-999'
    for order in ((md5, sha, unknown), (unknown, sha, md5)):
        (picked,) = challenges_of(challenge(401, *order))
        assert (picked.algorithm, picked.nonce) == ("SHA-256", "b")


def test_challenges_of_two_realms_are_both_answered() -> None:
    credentials = Credentials("u", "p", Random(1))
    response = challenge(407, 'Digest realm="one", nonce="1"', 'Digest realm="two", nonce="2"')
    assert Attempt(credentials, "INVITE").take(response)
    assert [AuthValue.parse(value).get("realm") for _, value in credentials.headers("INVITE", "sip:x")] == [
        "one",
        "two",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Basic realm=x",
        'Digest realm="x"',
        'Digest nonce="x"',
        'Digest realm="x", nonce="y", qop="auth-int"',
        "Digest",
        "",
        'Digest realm="x',
        'Digest realm="a\0b", nonce="y"',
    ],
)
def test_challenge_that_cannot_be_answered_is_left(text: str) -> None:
    assert Challenge.read(text, is_proxy=False) is None
    assert Challenge.read('Digest realm="x", nonce="y", qop="auth,auth-int"', is_proxy=False) is not None


def test_nonce_count_rises_and_cnonce_changes_with_each_use() -> None:
    credentials = Credentials("u", "p", Random(1))
    Attempt(credentials, "REGISTER").take(challenge(401, 'Digest realm="r", nonce="n", qop="auth", opaque="o\\"p"'))
    values = [AuthValue.parse(credentials.headers("REGISTER", "sip:x")[0][1]) for _ in range(3)]
    assert [value.get("nc") for value in values] == ["00000001", "00000002", "00000003"]
    assert len({value.get("cnonce") for value in values}) == 3
    assert {value.get("opaque") for value in values} == {'o"p'}


def test_second_challenge_means_a_wrong_password_unless_it_is_stale() -> None:
    attempt = Attempt(Credentials("u", "p", Random(1)), "REGISTER")
    assert attempt.take(challenge(401, 'Digest realm="r", nonce="1"'))
    assert attempt.take(challenge(401, 'Digest realm="r", nonce="2", stale=TRUE'))
    assert not attempt.take(challenge(401, 'Digest realm="r", nonce="3"'))


def test_endless_stale_challenges_are_given_up() -> None:
    attempt = Attempt(Credentials("u", "p", Random(1)), "REGISTER")
    takes = [attempt.take(challenge(401, f'Digest realm="r", nonce="{n}", stale=true')) for n in range(10)]
    assert takes.count(True) == 4
    assert not takes[-1]


def test_user_name_with_quotes_is_escaped() -> None:
    credentials = Credentials('a"\\b', "p", Random(1))
    Attempt(credentials, "REGISTER").take(challenge(401, 'Digest realm="r", nonce="n"'))
    value = credentials.headers("REGISTER", "sip:x")[0][1]
    assert 'username="a\\"\\\\b"' in value
    assert AuthValue.parse(value).get("username") == 'a"\\b'


# --- server ---------------------------------------------------------------------------------------------------------

PASSWORDS = {"alice": "secret", "bob": "hunter2"}


class Exchange:
    """A server and one client that answers its challenge."""

    def __init__(self, user: str = "alice", password: str = "secret") -> None:
        self.server = DigestServer("example.org", Random(7), nonce_lifetime_s=60)
        self.credentials = Credentials(user, password, Random(8))

    def challenge(self, now: float) -> None:
        Attempt(self.credentials, "REGISTER").take(challenge(401, *self.server.challenges(now)))

    def authorize(self, method: str = "REGISTER") -> str:
        return self.credentials.headers(method, "sip:example.org")[0][1]

    def verify(self, now: float, value: str, method: str = "REGISTER") -> tuple[Verdict, str]:
        return self.server.verify(now, [value], method, PASSWORDS.get)


def test_server_accepts_the_right_password_and_names_the_user() -> None:
    exchange = Exchange()
    exchange.challenge(100)
    assert exchange.verify(101, exchange.authorize()) == (Verdict.ACCEPTED, "alice")
    assert exchange.verify(102, exchange.authorize()) == (Verdict.ACCEPTED, "alice")


def test_server_offers_sha256_before_md5_and_accepts_md5_alone() -> None:
    exchange = Exchange()
    strong, weak = exchange.server.challenges(100)
    assert "algorithm=SHA-256" in strong
    assert "algorithm=MD5" in weak
    Attempt(exchange.credentials, "REGISTER").take(challenge(401, weak))
    assert exchange.verify(101, exchange.authorize())[0] is Verdict.ACCEPTED


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", "secret"), ("nobody", "")])
def test_server_refuses_wrong_password_and_unknown_user_alike(user: str, password: str) -> None:
    exchange = Exchange(user, password)
    exchange.challenge(100)
    assert exchange.verify(101, exchange.authorize()) == (Verdict.WRONG, "")


def test_server_refuses_credentials_made_for_another_method() -> None:
    exchange = Exchange()
    exchange.challenge(100)
    assert exchange.verify(101, exchange.authorize(), method="INVITE")[0] is Verdict.WRONG


def test_server_calls_an_old_nonce_stale() -> None:
    exchange = Exchange()
    exchange.challenge(100)
    assert exchange.verify(161, exchange.authorize())[0] is Verdict.STALE
    assert all("stale=true" in value for value in exchange.server.challenges(161, is_stale=True))


def test_server_calls_a_replayed_header_stale() -> None:
    exchange = Exchange()
    exchange.challenge(100)
    value = exchange.authorize()
    assert exchange.verify(101, value)[0] is Verdict.ACCEPTED
    assert exchange.verify(101, value)[0] is Verdict.STALE


def test_server_does_not_take_a_nonce_it_did_not_make() -> None:
    exchange = Exchange()
    Attempt(exchange.credentials, "REGISTER").take(
        challenge(401, 'Digest realm="example.org", nonce="61a8.1.deadbeef", qop="auth"')
    )
    assert exchange.verify(101, exchange.authorize())[0] is Verdict.STALE


def test_server_does_not_take_a_nonce_that_somebody_else_was_given() -> None:
    exchange, here, there = Exchange(), "192.0.2.1", "192.0.2.2"
    Attempt(exchange.credentials, "REGISTER").take(challenge(401, *exchange.server.challenges(100, source=here)))
    for source, verdict in ((there, Verdict.STALE), (here, Verdict.ACCEPTED)):
        value = exchange.authorize()
        assert exchange.server.verify(101, [value], "REGISTER", PASSWORDS.get, source=source)[0] is verdict


@pytest.mark.parametrize("value", ["", "Basic abc", 'Digest realm="other"', "Digest =", "\0"])
def test_server_sees_no_credentials_for_its_realm(value: str) -> None:
    assert Exchange().verify(1, value) == (Verdict.MISSING, "")


def test_server_survives_any_field_being_absent() -> None:
    exchange = Exchange()
    exchange.challenge(100)
    parsed = AuthValue.parse(exchange.authorize())
    for left_out in range(len(parsed.parameters)):
        rest = [f'{n}="{v}"' for i, (n, v) in enumerate(parsed.parameters) if i != left_out]
        verdict, user = exchange.verify(101, "Digest " + ", ".join(rest))
        assert (verdict is Verdict.ACCEPTED) == (user == "alice")
