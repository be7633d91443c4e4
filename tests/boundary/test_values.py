"""What Rust makes in place of Python's classes: every field is there, as if `__init__` had run."""

import re
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from trunkline.media.engine import MediaEngine
from trunkline.media.types import EngineSettings, Event, RtpTransport

HOST = "127.0.9.2"
_SOURCES = Path(__file__).parents[2] / "rust/src/py"
_MADE = re.compile(r'(?:told!\(py|value!\(py, "(?P<module>[\w.]+)"), "(?P<name>\w+)", \{(?P<fields>.*?)\}\)', re.DOTALL)
_EVENTS = "trunkline.media.types.events"


def _made() -> list[tuple[str, str, list[str]]]:
    text = "".join((_SOURCES / name).read_text() for name in ("convert.rs", "figures.rs"))
    found = _MADE.finditer(text)
    return [(each["module"] or _EVENTS, each["name"], re.findall(r'"(\w+)":', each["fields"])) for each in found]


@pytest.mark.parametrize(("module", "name", "given"), _made())
def test_rust_gives_a_value_all_the_fields_that_its_class_has(module: str, name: str, given: list[str]) -> None:
    made = getattr(import_module(module), name)
    assert sorted(given) == sorted(field.name for field in fields(made))


def test_rust_makes_every_event() -> None:
    assert {name for module, name, _ in _made() if module == _EVENTS} == {event.__name__ for event in get_args(Event)}


async def test_what_rust_makes_is_what_the_classes_themselves_would_make() -> None:
    engine = MediaEngine()
    await engine.start(
        EngineSettings(workers=1, webrtc_host=HOST, rtp_host=HOST, rtp_port_min=21_300, rtp_port_max=21_399)
    )
    try:
        call = engine.new_call()
        endpoint, local = await engine.create_endpoint(call, RtpTransport())
        stats = await engine.get_stats(call, endpoint)
        for value in (local, stats, stats.received, stats.sent):
            again = replace(value)  # by `__init__`
            assert value == again
            assert repr(value) == repr(again)
            with pytest.raises(AttributeError):
                setattr(value, fields(value)[0].name, None)
    finally:
        await engine.stop()
