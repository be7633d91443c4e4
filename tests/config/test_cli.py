"""The command line, without starting a node."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from logs import restore
from trunkline import cli
from trunkline.config import Config, load
from trunkline.errors import ConfigError, ConnectFailed

RUN = CliRunner()


def test_check_config_prints_the_effective_settings(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[http]\nport = 1001\n[demo]\npassword = 'hunter2'\n")
    result = RUN.invoke(cli.app, ["check-config", "--config", str(path), "--set", "sip.port=1002"])
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert (printed["http"]["port"], printed["sip"]["port"]) == (1001, 1002)
    assert "hunter2" not in result.output


@pytest.mark.parametrize("command", ["check-config", "serve", "demo"])
@pytest.mark.parametrize("setting", ["http.prot=1", "http", "=1", "http.port.x=1", "http.port=99999"])
def test_a_wrong_setting_ends_with_2_and_a_reason(command: str, setting: str) -> None:
    result = RUN.invoke(cli.app, [command, "--set", setting])
    assert result.exit_code == cli.EXIT_CONFIG
    assert "configuration is wrong" in result.stderr
    assert "Traceback" not in result.output


def test_settings_are_toml_values_or_texts() -> None:
    settings = [
        "http.port=1",
        "log.level=debug",
        "media.web_codecs=['opus']",
        "sip.tcp=false",
        "http.tls.names=['a=b']",
    ]
    assert cli.parse_settings(settings) == {
        "http": {"port": 1, "tls": {"names": ["a=b"]}},
        "log": {"level": "debug"},
        "media": {"web_codecs": ["opus"]},
        "sip": {"tcp": False},
    }
    with pytest.raises(ConfigError, match="already"):
        cli.parse_settings(["http.tls=1", "http.tls.names=x"])


def test_demo_stays_on_loopback_unless_told_otherwise() -> None:
    config = load(None, {"demo": {"enabled": True}}, defaults=cli.DEMO_DEFAULTS)
    assert {config.http.host, config.sip.host, config.media.rtp_host, config.demo.host} == {"127.0.0.1"}
    assert load(None, {"http": {"host": "0.0.0.0"}}, defaults=cli.DEMO_DEFAULTS).http.host == "0.0.0.0"


def test_version_is_printed() -> None:
    assert RUN.invoke(cli.app, ["version"]).stdout.strip() == cli.__version__


# --- a node's life, with a fake node --------------------------------------------------------------------------------


class FakeApp:
    """Stands in for `trunkline.app.App`: asks for its own end as soon as it runs."""

    life: list[str]
    signal_number = signal.SIGTERM
    fails = False
    while_draining: tuple[signal.Signals, ...] = ()
    on_start: Callable[..., object] = lambda _: None

    def __init__(self, config: Config, *, source: Callable[[], Config] | None = None) -> None:
        type(self).life = [f"made on {config.http.host}"]
        self.source = source

    async def start(self) -> None:
        if self.fails:
            raise ConnectFailed("port 8080 is taken")
        self.life.append("started")
        self.on_start()
        os.kill(os.getpid(), self.signal_number)

    async def reload(self) -> None:
        assert self.source is not None
        try:
            self.life.append(f"reloaded {', '.join(self.source().trunks)}")
        except ConfigError:
            self.life.append("not reloaded")
            raise
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    async def drain(self) -> None:
        self.life.append("drained")
        for number in self.while_draining:
            os.kill(os.getpid(), number)
        if self.while_draining:
            await asyncio.sleep(60)
            self.life.append("waited")

    async def stop(self) -> None:
        self.life.append("stopped")


@pytest.fixture
def fake_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeApp]]:
    module = ModuleType("trunkline.app")

    class App(FakeApp):
        pass

    module.App = App  # type: ignore[attr-defined]
    module.calm_collector = lambda is_idle: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trunkline.app", module)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield App
    restore(handlers, level)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal_and_stops_in_order(fake_app: type[FakeApp], signal_number: signal.Signals) -> None:
    fake_app.signal_number = signal_number
    result = RUN.invoke(cli.app, ["serve"])
    assert result.exit_code == 0
    assert fake_app.life == ["made on 0.0.0.0", "started", "drained", "stopped"]


def test_second_signal_ends_the_draining_and_sighup_does_not(fake_app: type[FakeApp]) -> None:
    fake_app.while_draining = (signal.SIGHUP, signal.SIGTERM)
    result = RUN.invoke(cli.app, ["serve"])
    assert result.exit_code == 0
    assert fake_app.life == ["made on 0.0.0.0", "started", "drained", "stopped"]


@pytest.mark.parametrize(
    ("text", "told"),
    [('[trunks.pstn]\nhost = "sip.example.com"\n', "reloaded pstn"), ("[trunks.pstn]\n", "not reloaded")],
)
def test_sighup_reads_the_settings_again_and_the_node_runs_on(
    fake_app: type[FakeApp], tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "trunkline.toml"
    path.write_text("")
    fake_app.signal_number = signal.SIGHUP

    fake_app.on_start = lambda _: path.write_text(text)
    result = RUN.invoke(cli.app, ["serve", "--config", str(path)])
    assert result.exit_code == 0
    assert fake_app.life == ["made on 0.0.0.0", "started", told, "drained", "stopped"]


def test_demo_says_which_page_to_open_and_what_to_dial(fake_app: type[FakeApp]) -> None:
    result = RUN.invoke(cli.app, ["demo", "--set", "http.port=8099"])
    assert fake_app.life[0] == "made on 127.0.0.1"
    assert "http://localhost:8099/phone/" in result.stdout
    assert "100  Echo" in result.stdout


def test_a_node_that_cannot_start_ends_with_1_and_a_reason(fake_app: type[FakeApp]) -> None:
    fake_app.fails = True
    result = RUN.invoke(cli.app, ["serve"])
    assert result.exit_code == cli.EXIT_FAILED
    assert "port 8080 is taken" in result.stderr
    assert "Traceback" not in result.output
    assert "stopped" not in fake_app.life
