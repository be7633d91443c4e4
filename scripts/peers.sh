#!/usr/bin/env bash
# Install the Debian packages of the peers that the end-to-end tests run, if some are missing and we may.
# Where we may not, the tests that need a missing peer are skipped and say so.
set -euo pipefail

packages=(baresip-core chromium iproute2 kamailio nodejs npm sip-tester)

command -v dpkg-query >/dev/null || {
  echo "Not a Debian system: install these yourself for all tests: ${packages[*]}" >&2
  exit 0
}
# A program may also come from elsewhere than a Debian package (Node often does).
declare -A program=([baresip-core]=baresip [chromium]=chromium [iproute2]=ip [kamailio]=kamailio [nodejs]=node [npm]=npm [sip-tester]=sipp)
missing=()
for package in "${packages[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${program[$package]}" >/dev/null || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "For all tests: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 0
  fi
  as_root=(sudo -n)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null
