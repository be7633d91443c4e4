"""Where settings come from, what wins, and what is refused."""

from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from trunkline.config import Config, load
from trunkline.config.trunks import TrunkConfig
from trunkline.errors import ConfigError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("TRUNKLINE_"):
            monkeypatch.delenv(name)


def file(folder: Path, text: str) -> Path:
    path = folder / "trunkline.toml"
    path.write_text(text)
    return path


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, '[http]\nhost = "file"\nport = 1001\nextra_ports = [1]\n[sip]\nport = 1001\n')
    monkeypatch.setenv("TRUNKLINE_HTTP__PORT", "1002")
    monkeypatch.setenv("TRUNKLINE_SIP__PORT", "1002")
    config = load(path, {"sip": {"port": 1003}}, defaults={"http": {"host": "below"}, "log": {"level": "error"}})
    assert (config.http.host, config.http.port, config.http.extra_ports) == ("file", 1002, (1,))
    assert config.sip.port == 1003
    assert config.log.level == "error"
    assert config.media == Config().media


def test_environment_reaches_nested_and_listed_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_HTTP__TLS__NAMES", '["a.example"]')
    monkeypatch.setenv("TRUNKLINE_MEDIA__WEB_CODECS", '["PCMA"]')
    config = load()
    assert config.http.tls.names == ("a.example",)
    assert config.media.web_codecs == ("PCMA",)


def test_defaults_alone_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_HTTP__PORT", "1002")
    assert Config().http.port == 8080


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[http]\nprot = 1", "http.prot"),
        ("[htpp]\nport = 1", "htpp"),
        ("port = 1", "port"),
        ("[http]\nport = 65536", "http.port"),
        ("[http]\nport = 'x'", "http.port"),
        ("[http.tls]\ncertificate = 'x.pem'", "http.tls"),
        ("[sip]\nudp = false\ntcp = false", "sip"),
        ("[media]\nrtp_port_min = 4000\nrtp_port_max = 4000", "media"),
        ("[media]\nweb_codecs = []", "media.web_codecs"),
        ("[media]\nweb_codecs = ['G728']", "media.web_codecs"),
        ('[sip]\nuser_agent = "a\\r\\nX: 1"', "sip.user_agent"),
        ("[http", "trunkline.toml"),
    ],
)
def test_says_which_field_is_wrong(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(file(tmp_path, text))


def test_says_that_the_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", ["TRUNKLINE_HTTP__PROT", "TRUNKLINE_HTPP__PORT", "trunkline_htpp__port"])
def test_unknown_environment_variables_are_errors(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=r"(?i)ht\w\w(\.|__)pr?o"):
        load()


def test_an_error_never_shows_the_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(file(tmp_path, "[demo]\npassword = ['hunter2']\nlogin = 'hunter2 hunter2'"))
    assert "demo.password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_printed_hides_secrets(tmp_path: Path) -> None:
    config = load(file(tmp_path, "[demo]\npassword = 'hunter2'"))
    assert config.demo.password is not None
    assert config.demo.password.get_secret_value() == "hunter2"
    assert "hunter2" not in str(config.redacted()) + repr(config)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().http.port = 1  # type: ignore[misc]


def sections() -> list[tuple[str, type[BaseModel]]]:
    found = []
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type):
            found.append((name, field.annotation))
    return [*found, ("trunks", TrunkConfig)]


@pytest.mark.parametrize(("name", "section"), sections(), ids=[name for name, _ in sections()])
def test_every_field_is_explained_and_has_a_default(name: str, section: type[BaseModel]) -> None:
    for field_name, field in section.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        has_default = field.default is not PydanticUndefined or field.default_factory is not None
        assert has_default or (name, field_name) == ("trunks", "host"), f"{name}.{field_name}"
        assert is_section or (field.description or "").endswith("."), f"{name}.{field_name}"
