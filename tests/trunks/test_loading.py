"""From settings to trunks: what is refused, and what is worked out."""

from random import Random
from typing import Any

import pytest

from trunkline.config import Config
from trunkline.errors import ConfigError
from trunkline.trunks.doorkeeper import Doorkeeper
from trunkline.trunks.loading import directory_of


def loaded(**settings: Any) -> Any:
    config = Config(**settings)
    return directory_of(config.trunks, config.routing)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trunks": {"a": {}}}, "host"),
        ({"trunks": {"a b": {"host": "h"}}}, "match"),
        ({"routing": {"outbound": [{"trunks": ["x"]}]}}, "no such trunk or group: x"),
        ({"routing": {"groups": {"g": ["x"]}}}, "no such trunk: x"),
        ({"trunks": {"g": {"host": "h"}}, "routing": {"groups": {"g": ["g"]}}}, "one name: g"),
        ({"routing": {"inbound": [{"user": "u", "peers": ["x"]}]}}, "no such trunk or user: x"),
        ({"routing": {"inbound": [{"user": "u", "reject": 486}]}}, "give one of"),
        ({"routing": {"inbound": [{"number": "1"}]}}, "give one of"),
        ({"routing": {"inbound": [{"number": "1", "prefix": "1", "user": "u"}]}}, "one of number, prefix"),
        ({"routing": {"inbound": [{"pattern": "(", "user": "u"}]}}, "regular expression"),
        ({"routing": {"inbound": [{"pattern": "1", "user": r"\1"}]}}, "regular expression"),
        ({"routing": {"users": {"u": {}}}}, "either password or ha1"),
        ({"routing": {"users": {"u": {"ha1": "abc"}}}}, "32 hexadecimal"),
        ({"trunks": {"a": {"host": "h", "numbers": {"callee_out": [{"add": "1"}]}}}}, "either prefix or pattern"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**settings)


@pytest.mark.parametrize(
    ("trunk", "message"),
    [
        ({"host": "not a host"}, "trunks.a: not a host"),
        ({"host": "h", "headers_out": ["Via"]}, "not a custom header: via"),
        ({"host": "h", "headers_out": ["X-Fine", "P-Asserted-Identity"]}, "p-asserted-identity"),
    ],
)
def test_what_cannot_be_put_on_the_wire_is_refused(trunk: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(trunks={"a": trunk})


def test_secrets_are_not_shown() -> None:
    config = Config(
        trunks={"a": {"host": "h", "password": "hunter2"}},
        routing={
            "users": {"u": {"password": "hunter2"}},
            "inbound": [{"webhook": {"url": "http://h/", "secret": "hunter2"}}],
        },
    )
    shown = repr(config) + str(config.redacted()) + repr(directory_of(config.trunks, config.routing))
    assert "hunter2" not in shown


def test_the_narrowest_network_says_whose_call_it_is() -> None:
    keeper = Doorkeeper(
        loaded(
            trunks={
                "wide": {"host": "h.example", "sources": ["192.0.2.0/24", "2001:db8::/32"]},
                "one": {"host": "192.0.2.7"},
            }
        ),
        Random(1),
    )
    found = [
        keeper.trunk_at(host) for host in ("192.0.2.7", "192.0.2.8", "2001:db8::1", "::ffff:192.0.2.8", "10.0.0.1")
    ]
    assert found == ["one", "wide", "wide", "wide", None]
