#!/bin/sh
# Runs each fuzz target of this module for TIME, such as 5s. Where the time ends
# in the middle of an input, Go's fuzzer may report "context deadline exceeded" as
# a failure, without an input that failed: that is no finding, and is said.
set -eu
time=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
grep -rEo '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . >"$log.targets"
trap 'rm -f "$log" "$log.targets"' EXIT
while IFS=: read -r file target; do
	if go test -run '^$' -fuzzminimizetime 10x -fuzz "^${target#func }\$" -fuzztime "$time" "$(dirname "$file")" </dev/null >"$log" 2>&1; then
		cat "$log"
		continue
	fi
	cat "$log"
	if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log"; then
		echo "${target#func }: the time was over in the middle of an input"
		continue
	fi
	exit 1
done <"$log.targets"
