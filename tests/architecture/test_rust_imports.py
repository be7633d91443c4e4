"""R1 for the crate: modules import downwards only, and neighbours on one level do not know each other."""

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "rust" / "src"

# Highest first; the names within one row are neighbours.
LEVELS = (
    {"py"},
    {"engine"},
    {"io", "bridge"},
    {"endpoint", "pipeline", "files"},
    {"rtp", "rtcp", "srtp", "sip", "ice", "dtls", "quality", "codecs", "dsp", "jitter", "dtmf"},
    {"outbox"},
    {"net", "error", "mac"},
)
# Where one level is crossed all the same, with the reason.
ALLOWED_NEIGHBOURS = {
    ("net", "error"): "an address that does not parse is an error",
    ("error", "net"): "an error may name a path",
    ("codecs", "dsp"): "samples are rounded in one place, and the tests measure levels",
    ("dtmf", "dsp"): "one table of the digits' frequencies",
    ("jitter", "codecs"): "playout decodes by way of the decoder trait",
    ("jitter", "dsp"): "playout stretches and shrinks frames",
}

_USE = re.compile(r"\buse\s+crate::(\{[^;]*\}|\w+)|\bcrate::(\w+)")
_COMMENT = re.compile(r"//[^\n]*")


def _level(module: str) -> int:
    return next(index for index, names in enumerate(LEVELS) if module in names)


def _module_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".rs")


def _imports(text: str) -> set[str]:
    """Names of the crate's modules that the source text mentions as `crate::NAME`."""
    found: set[str] = set()
    for match in _USE.finditer(_COMMENT.sub("", text)):
        group = match[1] or match[2]
        if not group.startswith("{"):
            found.add(group)
            continue
        depth = 0
        for token in re.findall(r"[{}]|\w+|::|,", group):
            if token == "{":
                depth += 1
            elif token == "}":
                depth -= 1
            elif depth == 1 and token.isidentifier():
                found.add(token)
    names = set.union(*LEVELS)
    return found & names


def _violations(path: Path) -> list[str]:
    module = _module_of(path)
    if module == "lib":
        return []
    return [
        f"{path.relative_to(SOURCE)}: {module} imports {imported}"
        for imported in sorted(_imports(path.read_text()))
        if imported != module and _level(imported) <= _level(module) and (module, imported) not in ALLOWED_NEIGHBOURS
    ]


def test_every_module_of_the_crate_has_a_level() -> None:
    modules = {_module_of(path) for path in SOURCE.rglob("*.rs")} - {"lib"}
    assert modules - set.union(*LEVELS) == set()


def test_rust_imports_point_down() -> None:
    assert [line for path in sorted(SOURCE.rglob("*.rs")) for line in _violations(path)] == []


def test_only_py_knows_pyo3() -> None:
    knowing = [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.rs")
        if _module_of(path) not in {"py", "lib"} and "pyo3" in _COMMENT.sub("", path.read_text())
    ]
    assert knowing == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("use crate::srtp::Context;", {"srtp"}),
        ("use crate::{\n    error::DropReason,\n    rtp::{self, Header},\n};", {"error", "rtp"}),
        ("let reason = crate::error::DropReason::Replayed;", {"error"}),
        ("// use crate::engine;", set()),
    ],
)
def test_import_scanner_reads_every_form(text: str, expected: set[str]) -> None:
    assert _imports(text) == expected
