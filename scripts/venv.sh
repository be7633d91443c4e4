#!/usr/bin/env bash
# Install groups of requirements (build, runtime, check, test) into .venv, at the versions of requirements/constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "$*" >&2
  exit 1
}

if [ ! -x .venv/bin/python ]; then
  python=${PYTHON:-$(command -v python3 || true)}
  [ -n "$python" ] || fail "Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)."
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed; $python is older. PYTHON=... names another."
  "$python" -m venv .venv || fail "venv is missing (Debian: apt-get install python3-venv)."
fi
mkdir -p .venv/stamps
for group in "$@"; do
  if [ "$group" = build ]; then
    command -v cargo >/dev/null || fail "Rust is needed, with cargo on PATH (see rust-version in Cargo.toml)."
    command -v cc >/dev/null || fail "A C compiler is needed (Debian: apt-get install build-essential)."
  fi
done

mapfile -t wanted < <(.venv/bin/python scripts/requirements.py "$@")
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt "${wanted[@]}"
