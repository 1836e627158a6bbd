#!/usr/bin/env bash
# See to it that a container engine answers: install Debian's packages where they are missing, and start it.
set -euo pipefail
docker info >/dev/null 2>&1 && exit 0
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
log=$(mktemp)
missing=; for program in dockerd debootstrap iptables; do command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing=yes; done
if [ -n "$missing" ]; then
  $sudo apt-get update -q >"$log" 2>&1
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy --no-install-recommends docker.io debootstrap iptables >>"$log" 2>&1 ||
    { tail "$log"; exit 1; }
fi
docker info >/dev/null 2>&1 && exit 0   # the package may have started it
$sudo sh -c "dockerd >>'$log' 2>&1 &"
for _ in $(seq 150); do docker info >/dev/null 2>&1 && exit 0; sleep 0.2; done
echo "dockerd did not start:"; tail "$log"; exit 1
