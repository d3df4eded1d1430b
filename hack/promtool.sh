#!/bin/sh
# Prints the path of promtool, which checks the alert rules: the one of this machine, or else the one of the Debian package
# `prometheus`, unpacked into the cache and not installed (that would start a server). Exit status 1, and what to do, where
# there is neither.
set -u
cd "$(dirname "$0")/.." || exit 1

if command -v promtool; then
    exit 0
fi
cache=${MULTIREGION_CACHE:-$PWD/.cache}/promtool
if [ -x "$cache/promtool" ]; then
    echo "$cache/promtool"
    exit 0
fi
fail() {
    echo "promtool is missing ($1): on Debian and Ubuntu run apt-get update, and it is fetched by itself; elsewhere install Prometheus from your distribution or https://prometheus.io/download" >&2
    exit 1
}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "and this machine has no apt-get"

mkdir -p "$cache" || fail "and $cache cannot be made"
work=$(mktemp -d "$cache/new.XXXXXX") || fail "and $cache cannot be written"
trap 'rm -rf "$work"' EXIT
# The package lists of an image may have been removed; only root may fetch them again.
fetch() { (cd "$work" && apt-get download -qq prometheus >apt.log 2>&1); }
fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1 && fetch; } || fail "$(tail -n 1 "$work/apt.log")"
dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool || fail "and the package could not be unpacked"
# Several may do this at once: each moves a whole file.
mv "$work/usr/bin/promtool" "$cache/promtool"
echo "$cache/promtool"
