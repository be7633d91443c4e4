#!/usr/bin/env bash
# Install the Debian packages of peers that are missing, if we may: `peers.sh e2e` those that the end-to-end tests run,
# `peers.sh rust` those of the media plane's own tests, `peers.sh bench` those that the benches measure. Where we may
# not, it says what to install; the tests that need a missing peer are then skipped, and the benches end.
set -euo pipefail

case "${1:-}" in
  e2e)
    packages=(baresip-core chromium iproute2 kamailio kamailio-tls-modules kamailio-websocket-modules libbcg729-0)
    packages+=(libspeex1 linphone-cli nodejs npm sip-tester)
    ;;
  rust) packages=(libsrtp2-1 libbcg729-0 libspeex1 libspeexdsp1) ;;
  bench) packages=(janus rtpengine-daemon) ;;
  *)
    echo "usage: peers.sh e2e|rust|bench" >&2
    exit 2
    ;;
esac

# The benches measure nothing without their peers, and say so by themselves.
command -v dpkg-query >/dev/null || {
  echo "Not a Debian system: install these yourself: ${packages[*]}" >&2
  exit 0
}
# A program may also come from elsewhere than a Debian package (Node often does); libraries and modules do not.
declare -A program=(
  [baresip-core]=baresip [chromium]=chromium [iproute2]=ip [janus]=janus [kamailio]=kamailio
  [linphone-cli]=linphonec [nodejs]=node [npm]=npm [rtpengine-daemon]=rtpengine [sip-tester]=sipp
)
missing=()
for package in "${packages[@]}"; do
  if [ -z "${program[$package]:-}" ]; then
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  else
    PATH="$PATH:/usr/sbin:/sbin" command -v "${program[$package]}" >/dev/null || missing+=("$package")
  fi
done
[ "${#missing[@]}" -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "Missing: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 0
  fi
  as_root=(sudo -n)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null
# Some packages start a service. The benches start their own, on ports of their own.
if [ "$1" = bench ] && [ -d /run/systemd/system ]; then
  "${as_root[@]}" systemctl disable --now --quiet "${missing[@]}"
fi
