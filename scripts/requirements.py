"""Print the requirements of the named groups of pyproject.toml, one a line.

Groups: `build` (of [build-system]), `runtime` (of [project]), or the name of an optional extra. Keeps the Makefile from
saying again what pyproject.toml says.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def requirements(group: str) -> list[str]:
    """Return the requirement strings of `group`, or raise KeyError."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if group == "build":
        found: list[str] = settings["build-system"]["requires"]
    elif group == "runtime":
        found = settings["project"]["dependencies"]
    else:
        found = settings["project"]["optional-dependencies"][group]
    return found


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(*requirements(name), sep="\n")
