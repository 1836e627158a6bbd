#!/usr/bin/env bash
# Make the base image of the container tests, where no registry can be asked: a minimal Debian with python3.
# usage: base_image.sh [NAME]   (default coordchaos-base:trixie; does nothing when the engine has it)
set -euo pipefail
name=${1:-coordchaos-base:trixie}
docker image inspect "$name" >/dev/null 2>&1 && exit 0
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
root=$(mktemp -d)
trap '$sudo rm -rf "$root"' EXIT
$sudo debootstrap --variant=minbase --include=python3 "${name##*:}" "$root/base" ${DEBIAN_MIRROR:-} >"$root/log" 2>&1 ||
  { tail -20 "$root/log"; exit 1; }
$sudo rm -rf "$root"/base/var/cache/apt/archives/*.deb "$root"/base/var/lib/apt/lists/*
$sudo tar -C "$root/base" -c . | docker import - "$name" >/dev/null
