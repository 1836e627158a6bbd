#!/usr/bin/env bash
# Install Debian packages whose programs are missing: `.ci/packages.sh PROGRAM=PACKAGE …`. Starts no service.
set -euo pipefail
missing=()
for pair in "$@"; do
  command -v "${pair%%=*}" >/dev/null || [ -x "/usr/sbin/${pair%%=*}" ] || missing+=("${pair#*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Packages start their services once installed; the tests start their own, on their own ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
  $sudo chmod +x "$policy"
  trap 'rm -f "$log"; $sudo rm -f "$policy"' EXIT
fi
$sudo apt-get update -q >"$log" 2>&1 &&
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >>"$log" 2>&1 ||
  { tail "$log"; echo "could not install: ${missing[*]}"; exit 1; }
