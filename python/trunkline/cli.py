"""SHELL: the `trunkline` command.

Owns the command line: it builds the configuration, starts the app on an event loop of ours, and stops it on SIGINT or
SIGTERM, and has it read its settings again on SIGHUP. Must not know what the app consists of.

Exit status: 0 stopped as asked, 1 could not start or failed, 2 the configuration or the command line is wrong.
"""

from __future__ import annotations

import asyncio
import json
import signal
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvloop

from trunkline import __version__
from trunkline.config import Config, load
from trunkline.errors import ConfigError, TrunklineError
from trunkline.observability.logging import configure, get_logger

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
_STOPS: Final = (signal.SIGINT, signal.SIGTERM)

DEMO_DEFAULTS: Final[Mapping[str, Any]] = {
    # Pages on loopback are a secure context, so the browser gives them the microphone without a certificate.
    "http": {"host": "127.0.0.1"},
    # The gateway's own SIP and RTP stay on loopback too; any free port, since nobody has to know it.
    "sip": {"host": "127.0.0.1", "port": 0},
    "media": {"rtp_host": "127.0.0.1"},
}

app = typer.Typer(
    name="trunkline", no_args_is_help=True, add_completion=False, help="WebRTC <-> SIP gateway and media relay."
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="TRUNKLINE_CONFIG", metavar="FILE", help="TOML file with the settings."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.FIELD=VALUE",
        help="One setting, over file and environment: `--set http.port=8088`. May be repeated.",
    ),
]


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def serve(config: ConfigOption = None, settings: SetOption = None) -> None:
    """Run the gateway until SIGINT or SIGTERM. SIGHUP reads the settings of trunks and routing again."""
    _run(_load(config, settings), lambda: load(config, parse_settings(settings or [])))


@app.command()
def demo(config: ConfigOption = None, settings: SetOption = None) -> None:
    """Run the gateway on loopback with its built-in test phone."""
    _run(_load(config, [*(settings or ()), "demo.enabled=true"], DEMO_DEFAULTS))


@app.command("check-config")
def check_config(config: ConfigOption = None, settings: SetOption = None) -> None:
    """Print the effective settings as JSON, secrets hidden; exit with 2 if they are wrong."""
    typer.echo(json.dumps(_load(config, settings).redacted(), indent=2))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Turn `section.field=value` texts into a nested mapping.

    A value is TOML (`8088`, `true`, `["opus"]`), or else the text itself. Raises ConfigError for a text without a name
    or an equals sign, and where one setting is put inside another.
    """
    nested: dict[str, Any] = {}
    for text in settings:
        path, equals, value = text.partition("=")
        *sections, field = path.strip().split(".")
        if not equals or not field or not all(sections):
            raise ConfigError(f"--set {text}: expected SECTION.FIELD=VALUE")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {text}: {section} already has a value")
        inner[field] = _toml_value(value.strip())
    return nested


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _load(path: Path | None, settings: list[str] | None, defaults: Mapping[str, Any] | None = None) -> Config:
    try:
        return load(path, parse_settings(settings or []), defaults=defaults)
    except ConfigError as error:
        typer.echo(f"trunkline: the configuration is wrong\n{error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from error


def _run(config: Config, source: Callable[[], Config] | None = None) -> None:
    configure(level=config.log.level, format_=config.log.format, node=config.node.name)
    try:
        uvloop.run(_serve(config, source))
    except TrunklineError as error:
        get_logger(__name__).error("node_failed", code=error.code, detail=str(error))
        typer.echo(f"trunkline: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error


async def _serve(config: Config, source: Callable[[], Config] | None) -> None:
    """Start the app, do what signals ask, stop the app.

    The first signal to stop lets calls end by themselves (`calls.drain_s`), one more hangs them up, and one that comes
    while they are hung up ends the process at once.
    source: reads the settings again on SIGHUP; None leaves that its usual meaning, the terminal has gone.
    """
    # Not at the top: `check-config` works without the compiled module.
    from trunkline.app import App, calm_collector

    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[signal.Signals] = asyncio.Queue()

    for number in _STOPS:
        loop.add_signal_handler(number, asked.put_nowait, number)
    if source is not None:
        loop.add_signal_handler(signal.SIGHUP, asked.put_nowait, signal.SIGHUP)
    node = App(config, source=source)
    await node.start()
    calm_collector(lambda: not len(node.controller.registry))
    try:
        if config.demo.enabled:
            typer.echo(_welcome(config))
        while await asked.get() is signal.SIGHUP:
            with suppress(ConfigError):  # it has told of it, and goes on as before
                await node.reload()
        draining = loop.create_task(node.drain())
        hurry = loop.create_task(_next_stop(asked))
        await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, hurry):
            task.cancel()
    finally:
        for number in _STOPS:
            loop.remove_signal_handler(number)
        await node.stop()


async def _next_stop(asked: asyncio.Queue[signal.Signals]) -> None:
    while await asked.get() is signal.SIGHUP:
        pass


def _welcome(config: Config) -> str:
    from trunkline.demo.numbers import NUMBERS

    lines = [
        "",
        f"  Open  http://localhost:{config.http.port}/phone/  and choose the demo account. Numbers to dial:",
        "",
        *(f"    {entry.number}  {entry.title}" for entry in NUMBERS),
        "",
        "  Ctrl-C ends it.",
        "",
    ]
    return "\n".join(lines)
