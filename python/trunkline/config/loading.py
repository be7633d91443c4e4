"""All settings of a node, and where they come from.

Owns the order of their sources: TOML file, then environment (`TRUNKLINE_<SECTION>__<FIELD>`), then flags; the later
wins. Unknown keys are errors. Nothing else in the package reads the environment.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from trunkline.config.recording import RecordingConfig
from trunkline.config.sections import CallsConfig, DemoConfig, HttpConfig, LogConfig, MediaConfig, NodeConfig
from trunkline.config.sip import SipConfig
from trunkline.config.trunks import DestinationConfig, RoutingConfig, TrunkConfig, TrunkName
from trunkline.errors import ConfigError

ENV_PREFIX = "TRUNKLINE_"
ENV_DELIMITER = "__"


class Config(BaseSettings):
    """All settings of a node. Made by `load`; `Config()` is the defaults and reads neither files nor environment."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    node: NodeConfig = NodeConfig()
    http: HttpConfig = HttpConfig()
    sip: SipConfig = SipConfig()
    media: MediaConfig = MediaConfig()
    calls: CallsConfig = CallsConfig()
    recording: RecordingConfig = RecordingConfig()
    log: LogConfig = LogConfig()
    demo: DemoConfig = DemoConfig()
    trunks: dict[TrunkName, TrunkConfig] = Field(default={}, max_length=10_000)
    routing: RoutingConfig = RoutingConfig()

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        """Check that routing names only trunks and groups that there are."""
        trunks, groups = set(self.trunks), set(self.routing.groups)
        if both := trunks & groups:
            msg = f"a trunk and a group have one name: {', '.join(sorted(both))}"
            raise ValueError(msg)
        if strange := {name for members in self.routing.groups.values() for name in members} - trunks:
            msg = f"routing.groups: no such trunk: {', '.join(sorted(strange))}"
            raise ValueError(msg)
        inbound = self.routing.inbound
        fallbacks = (rule.fallback for rule in inbound if rule.fallback is not None)
        destinations: list[DestinationConfig] = [*inbound, *fallbacks]
        named = {name for destination in destinations for name in destination.trunks}
        named |= {name for rule in self.routing.outbound for name in rule.trunks}
        if strange := named - trunks - groups:
            msg = f"routing: no such trunk or group: {', '.join(sorted(strange))}"
            raise ValueError(msg)
        peers = {name for rule in inbound for name in rule.peers}
        if strange := peers - trunks - set(self.routing.users):
            msg = f"routing.inbound: no such trunk or user: {', '.join(sorted(strange))}"
            raise ValueError(msg)
        if both := trunks & set(self.routing.users):
            msg = f"a trunk and an inbound user have one name: {', '.join(sorted(both))}"
            raise ValueError(msg)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take constructor arguments only; `load` gathers the other sources itself, in its own order."""
        return (init_settings,)

    def redacted(self) -> dict[str, Any]:
        """Return the settings as JSON-able values, secrets as asterisks."""
        return self.model_dump(mode="json")


def load(
    path: Path | None = None, flags: Mapping[str, Any] | None = None, *, defaults: Mapping[str, Any] | None = None
) -> Config:
    """Read the settings: the file at path if given, under the environment, under flags.

    flags, defaults: nested mappings in the shape of the file, e.g. `{"http": {"port": 0}}`. defaults: what stands in
    for the fields' own defaults, below the file.
    Raises ConfigError, one line per bad field, if a source cannot be read, a key is unknown or a value out of range.
    """
    layers = (defaults or {}, _read_toml(path) if path else {}, _read_environment(), flags or {})
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer)
    try:
        return Config(**merged)
    except ValidationError as error:
        raise ConfigError(_one_line_each(error)) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _read_environment() -> dict[str, Any]:
    for name in os.environ:
        section, delimiter, _ = name.upper().removeprefix(ENV_PREFIX).partition(ENV_DELIMITER)
        is_setting = name.upper().startswith(ENV_PREFIX) and delimiter
        if is_setting and section.lower() not in Config.model_fields:
            raise ConfigError(f"{name}: no such section")
    try:
        return EnvSettingsSource(Config, env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER)()
    except ValueError as error:
        raise ConfigError(f"environment: {error}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = _merged(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else value
    return result


def _one_line_each(error: ValidationError) -> str:
    """Name each bad field by its path; leaves the values out, which may be secrets."""
    return "\n".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )
