"""A test may be missing its peer on somebody's machine, never in CI: a run that skipped is no green run."""

import re
from pathlib import Path

import pytest

from peers import require

TESTS = Path(__file__).resolve().parents[1]
WAYS_TO_SKIP = re.compile(r"pytest\.(skip|importorskip|mark\.skip|mark\.skipif)\b")
ALLOWED = {"peers.py", "architecture/test_skips.py"}


def test_a_missing_peer_fails_where_ci_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install horn"):
        require(None, "horn is not installed: apt-get install horn")


def test_a_missing_peer_skips_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install horn"):
        require(None, "horn is not installed: apt-get install horn")


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_peer_that_is_there_runs_the_test(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    monkeypatch.setenv("CI", ci)
    require("/usr/bin/horn", "horn is not installed: apt-get install horn")


def test_nothing_skips_in_another_way() -> None:
    found = {
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("*.py")
        if "node_modules" not in path.parts and WAYS_TO_SKIP.search(path.read_text())
    }
    assert found - ALLOWED == set()
