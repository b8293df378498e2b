#!/bin/bash
# Runs the tests of packages as nobody, who cannot build them. For root; anybody
# else is who the tests want already.
#
#	tests/nobody.sh PACKAGE ...
set -euo pipefail
if [ "$(id -u)" != 0 ]; then
	exec go test "$@"
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
install -d -m 1777 "$dir/tmp"
for package; do
	go test -c -o "$dir/test" "$package"
	echo "as nobody: $package"
	(cd "$package" && setpriv --reuid=65534 --regid=65534 --clear-groups \
		env -i PATH="$PATH" TMPDIR="$dir/tmp" "$dir/test" -test.timeout=10m)
done
