#!/usr/bin/env bash
# Install the npm packages that the lock file of the given folder names.
set -euo pipefail
cd "$(dirname "$0")/../$1"
command -v npm >/dev/null || {
  echo "npm is needed (Debian: apt-get install nodejs npm)." >&2
  exit 1
}
npm ci --silent --no-audit --no-fund </dev/null
