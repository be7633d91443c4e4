"""Files and folders stay small enough to be read: no source above 1,000 lines, no folder above twenty files."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 1000
MAX_FILES = 20


def _sources() -> list[Path]:
    return [
        path
        for folder in ("rust/src", "python/trunkline")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".rs", ".py", ".pyi", ".js", ".css", ".html"} and "node_modules" not in path.parts
    ]


def test_no_source_file_passes_a_thousand_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _sources()}
    assert lengths, "no sources found: is the layout of the checkout as expected?"
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_folder_becomes_a_drawer() -> None:
    counts: dict[str, int] = {}
    for path in _sources():
        folder = str(path.parent.relative_to(ROOT))
        counts[folder] = counts.get(folder, 0) + 1
    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}
