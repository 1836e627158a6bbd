#!/usr/bin/env bash
# Install Debian packages whose programs are missing: `.ci/packages.sh PROGRAM=PACKAGE …`; a program may be a pattern of paths.
set -euo pipefail
missing=()
for pair in "$@"; do
  program=${pair%%=*}
  command -v "$program" >/dev/null || compgen -G "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing+=("${pair#*=}")
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
