#!/bin/sh
# Installs what tests need and this machine lacks. Each line of packages.txt,
# and each pair of arguments, is a program or file and the Debian package it is
# in. Nothing is downloaded if nothing is missing.
set -eu
PATH=$PATH:/usr/sbin:/sbin

missing=
need() { # PROGRAM-OR-FILE PACKAGE
	[ -e "$1" ] || command -v "$1" >/dev/null || missing="$missing $2"
}
while read -r program package; do
	need "$program" "$package"
done <"$(dirname "$0")/packages.txt"
while [ $# -ge 2 ]; do
	need "$1" "$2"
	shift 2
done

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing:$missing; as root on Debian: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # a list
apt-get install -q -y --no-install-recommends $missing
