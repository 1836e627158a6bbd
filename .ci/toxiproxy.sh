#!/usr/bin/env bash
# Put Toxiproxy 2.12.0 as `toxiproxy-server` into a directory: `bash .ci/toxiproxy.sh DIR`. Does nothing where it is on PATH
# or in DIR already. Builds it with Go, which comes from Debian when it is missing.
set -euo pipefail
version=2.12.0
dir=${1:?usage: toxiproxy.sh DIR}
for found in "$(command -v toxiproxy-server || true)" "$dir/toxiproxy-server"; do
  if [ -n "$found" ] && [ -x "$found" ] && "$found" -version | grep -qF "$version"; then
    echo "Toxiproxy $version is there: $found"
    mkdir -p "$dir"
    [ "$found" -ef "$dir/toxiproxy-server" ] || ln -sf "$found" "$dir/toxiproxy-server"
    exit 0
  fi
done
if ! command -v go >/dev/null; then
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -q
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy --no-install-recommends golang-go
fi
mkdir -p "$dir"
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
# `go install` names the program after its directory, and its version "git" unless it is told.
GOBIN=$built go install -ldflags "-X github.com/Shopify/toxiproxy/v2.Version=$version" "github.com/Shopify/toxiproxy/v2/cmd/server@v$version"
mv "$built/server" "$dir/toxiproxy-server"
"$dir/toxiproxy-server" -version | grep -qF "$version"
