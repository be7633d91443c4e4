"""Who may call in: the verdicts on requests, at their addresses and times."""

from random import Random

import pytest

from sip.writing import request
from trunkline.sip.auth.digest import Challenge, Credentials
from trunkline.sip.auth.guesses import SOURCE_GUESSES, SOURCE_S
from trunkline.sip.gate import Admitted, Ignored, Turned, Verdict
from trunkline.sip.types import Account, Path, Transport
from trunkline.trunks.doorkeeper import Doorkeeper
from trunkline.trunks.loading import _host_network
from trunkline.trunks.model import Directory, InboundUser, Trunk

TRUNK = Trunk(name="t", account=Account(login="x", password="", domain="192.0.2.7"), sources=_host_network("192.0.2.7"))
USER = InboundUser(name="pbx", password="right")


def path(host: str, transport: Transport = Transport.UDP) -> Path:
    return Path(transport, ("192.0.2.1", 5060), (host, 5060))


class Door:
    def __init__(self, *, drops: bool = False, users: tuple[InboundUser, ...] = ()) -> None:
        self.keeper = Doorkeeper(Directory(trunks=(TRUNK,), users=users, is_dropping_strangers=drops), Random(1))

    def knock(
        self,
        method: str = "INVITE",
        host: str = "10.0.0.9",
        *,
        now: float = 0.0,
        authorization: str | None = None,
        transport: Transport = Transport.UDP,
    ) -> Verdict:
        extra = () if authorization is None else (("Authorization", authorization),)
        return self.keeper.judge(now, request(method, extra=extra), path(host, transport))

    def answer(self, password: str, now: float = 0.0, login: str = "pbx", host: str = "10.0.0.9") -> Verdict:
        """Be challenged, and answer that."""
        challenged = self.knock(now=now, host=host)
        assert isinstance(challenged, Turned)
        credentials = Credentials(login, password, Random(2))
        challenge = Challenge.read(challenged.headers[0][1], is_proxy=False)
        assert challenge is not None
        credentials.learn("INVITE", challenge)
        ((_, value),) = credentials.headers("INVITE", "sip:bob@10.0.0.1")
        return self.knock(now=now, authorization=value, host=host)


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "MESSAGE"])
@pytest.mark.parametrize("drops", [False, True])
def test_a_trunk_is_let_in_by_its_address(method: str, drops: bool) -> None:
    door = Door(drops=drops)
    assert door.knock(method, "192.0.2.7") == Admitted("trunk:t")
    assert door.knock(method, "::ffff:192.0.2.7") == Admitted("trunk:t")
    assert door.keeper.may_answer(path("192.0.2.7"))


def test_strangers_calls_are_refused_and_other_requests_left_to_the_user_agent() -> None:
    door = Door()
    assert door.knock() == Turned(403, "strangers_refused")
    assert door.knock("OPTIONS") == Admitted()
    assert door.keeper.may_answer(path("10.0.0.9"))


def test_strangers_get_nothing_at_all_where_they_are_dropped() -> None:
    door = Door(drops=True)
    for method in ("INVITE", "OPTIONS", "REGISTER", "CANCEL"):
        assert door.knock(method) == Ignored("strangers_dropped")
    assert not door.keeper.may_answer(path("10.0.0.9"))


@pytest.mark.parametrize("transport", [Transport.WS, Transport.WSS])
def test_pages_are_known_elsewhere(transport: Transport) -> None:
    assert Door(drops=True, users=(USER,)).knock(transport=transport) == Admitted()


def test_a_user_is_challenged_and_let_in_with_the_password() -> None:
    door = Door(users=(USER,))
    challenged = door.knock()
    assert isinstance(challenged, Turned)
    assert (challenged.status, challenged.counter) == (401, "strangers_challenged")
    assert [value.partition("algorithm=")[2].partition(",")[0] for _, value in challenged.headers] == ["SHA-256", "MD5"]
    assert door.answer("right") == Admitted("user:pbx")


def test_a_wrong_password_and_an_unknown_user_look_the_same() -> None:
    door = Door(users=(USER,))
    wrong, unknown = door.answer("wrong"), door.answer("right", login="nobody")
    assert isinstance(wrong, Turned)
    assert isinstance(unknown, Turned)
    assert (wrong.status, wrong.counter) == (unknown.status, unknown.counter) == (401, "strangers_wrong_password")
    assert len(wrong.headers) == len(unknown.headers)


def test_guesses_run_out_at_one_address_and_come_back_with_time() -> None:
    door = Door(users=(USER,))
    for _ in range(SOURCE_GUESSES):
        door.answer("wrong")
    assert door.answer("right") == Turned(403, "strangers_guessing")
    assert door.answer("right", host="10.0.0.8") == Admitted("user:pbx"), "others are not locked out"
    assert door.answer("right", now=SOURCE_S) == Admitted("user:pbx")


def test_guesses_run_out_in_silence_where_strangers_are_dropped() -> None:
    door = Door(drops=True, users=(USER,))
    for _ in range(SOURCE_GUESSES):
        door.answer("wrong")
    assert door.answer("right") == Ignored("strangers_guessing")


def test_who_sends_in_somebody_elses_name_uses_up_no_guess_of_theirs() -> None:
    door, forged = Door(users=(USER,)), []
    for _ in range(SOURCE_GUESSES + 5):
        challenged = door.knock(host="203.0.113.9")
        assert isinstance(challenged, Turned)
        challenge = Challenge.read(challenged.headers[0][1], is_proxy=False)
        assert challenge is not None
        credentials = Credentials("pbx", "wrong", Random(2))
        credentials.learn("INVITE", challenge)
        ((_, value),) = credentials.headers("INVITE", "sip:bob@10.0.0.1")
        forged.append(door.knock(authorization=value))
    assert all(isinstance(verdict, Turned) and verdict.counter == "strangers_challenged" for verdict in forged)
    assert door.answer("right") == Admitted("user:pbx")
