#!/usr/bin/env bash
# Resolve every group of requirements in a scratch environment and write the pins to requirements/constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch"
mapfile -t wanted < <("$scratch/bin/python" scripts/requirements.py build runtime check test bench)
"$scratch/bin/python" -m pip install --quiet --disable-pip-version-check "${wanted[@]}"
{
  echo "# Pins of everything that a checkout installs. Written by \`make lock\`; wheels for users are bound by pyproject.toml alone."
  "$scratch/bin/python" -m pip freeze
} >requirements/constraints.txt
