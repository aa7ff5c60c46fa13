#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# bench/heap, one small round: every test has its three times. Nothing is said about them.
set -u
heap=$SOURCE_DIR/bench/heap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

refused() {
    local text=$1 said
    shift
    said=$("$heap" "$@" 2>&1) && fail "heap $* is not refused"
    [[ $said == *"$text"* ]] || fail "heap $* does not say '$text' but: $said"
}

timeout 120 "$heap" --bin "$BUILD_DIR/bin" -r 1 -p 20000 --wait block --json "$work/all.json" >"$work/table" ||
    fail "heap ended with $?"
time='[0-9]+\.[0-9]'
range="\($time - $time\)"
for test in alone each freed used; do
    grep -Eq "^$test +$time +$range( +$time +$time[0-9] +$range){2}$" "$work/table" ||
        fail "no line of $test: $(cat "$work/table")"
done
python3 - "$work/all.json" <<'END_OF_CHECK' || fail "the JSON file is not as it should be"
import json, sys
runs = json.load(open(sys.argv[1]))
assert list(runs) == ["glibc", "one node", "two nodes"], runs
for times in runs.values():
    assert len(times) == 1 and all(time > 0 for time in times[0].values()), runs
END_OF_CHECK

# Programs that fail, and that tell something else.
for name in norma normad norma-heap; do
    ln -s "$BUILD_DIR/bin/$name" "$work/$name"
done
printf '#!/bin/sh\necho "no such luck" >&2\nexit 3\n' >"$work/norma-heap-plain"
chmod +x "$work/norma-heap-plain"
refused "ended with 3: no such luck" --bin "$work" -r 1 -p 1
printf '#!/bin/sh\necho "alone: 1.0 ns"\n' >"$work/norma-heap-plain"
refused "does not tell of alone, each" --bin "$work" -r 1 -p 1
refused "'0'" --bin "$BUILD_DIR/bin" -p 0
refused "norma is not there" --bin /nonexistent

[ "$failures" -eq 0 ] && echo passed
exit $((failures > 0))
