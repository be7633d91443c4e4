"""The table of SIP's RFCs names modules and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| [0-9, ]+ \|(?P<subject>[^|]*)\|(?P<where>[^|]*)\|(?P<shown>[^|]*)\|$", re.M)
_QUOTED = re.compile(r"`([^`]+)`")


def test_every_module_and_test_that_the_table_names_is_there() -> None:
    rows = list(_ROW.finditer((ROOT / "docs/sip-rfcs.md").read_text()))
    assert len(rows) > 30
    missing = []
    for row in rows:
        missing += [path for path in _QUOTED.findall(row["where"]) if not (ROOT / "python/trunkline" / path).exists()]
        named = _QUOTED.findall(row["shown"])
        assert named, row[0]
        for each in named:
            path, _, test = each.partition("::")
            file = ROOT / "tests" / path
            if not file.exists() or (test and f"def {test}(" not in file.read_text()):
                missing.append(each)
    assert missing == []
