#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# bench/apps, small inputs once: every program beside itself with plain pthreads, a line for each node, sums that are
# right, and a result that differs is noticed. Nothing is said about times.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
apps=$SOURCE_DIR/bench/apps
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

timeout 250 "$apps" --bin "$BUILD_DIR/bin" --quick -r 1 -N 1,2 -t 2 --wait block --json "$work/all.json" >"$work/table" ||
    fail "apps ended with $?"
number='[0-9]+\.?[0-9]*'
for program in radix barnes lu; do
    grep -Eq "^$program +plain +$number +1\.00$" "$work/table" || fail "no line of $program with plain pthreads"
    for nodes in 1 2; do
        grep -Eq "^$program +$nodes +$number +$number +0( +$number){10}$" "$work/table" ||
            fail "no line of $program on $nodes nodes"
    done
done
[ "$(grep -Ec "^ +1( +$number){10}$" "$work/table")" -eq 3 ] || fail "node 1 is not in the table: $(cat "$work/table")"

python3 - "$work/all.json" <<'END' || fail "the JSON file is not as it should be"
import json, sys
rows = json.load(open(sys.argv[1]))
assert len(rows) == 9, len(rows)
for row in rows:
    assert row["hash"] == next(other["hash"] for other in rows if other["program"] == row["program"]), row
    assert 0 <= row["time_ms"] < row["whole_ms"], row
    for account in row.get("nodes", []):
        assert account["threads_us"] == account["compute_us"] + account["fault_us"] + account["wait_us"] > 0, row
        # A thread on a node, and on one node both; all of it within the program's life.
        threads = 2 if row["on"] == 1 else 1
        assert account["threads_us"] <= threads * 1000 * row["whole_ms"], row
    if row["on"] == 2:
        assert sum(account["pages_in"] for account in row["nodes"]) > 0, row
        assert all(account["fault_us"] > 0 and account["wait_us"] > 0 for account in row["nodes"]), row
END

# A program whose result is another one with norma.
for name in norma normad lu; do
    ln -s "$BUILD_DIR/bin/$name" "$work/$name"
done
printf '#!/bin/sh\necho "hash: 0123"\necho "time: 1 us"\n' >"$work/lu_plain"
chmod +x "$work/lu_plain"
refused "with plain pthreads 0123" "$apps" --bin "$work" -p lu --quick -r 1 -N 1 --wait block
printf '#!/bin/sh\necho "no such luck" >&2\nexit 3\n' >"$work/lu_plain"
refused "ended with 3: no such luck" "$apps" --bin "$work" -p lu --quick -r 1 -N 1
refused "'raddix'" "$apps" --bin "$BUILD_DIR/bin" -p raddix
refused "'0'" "$apps" --bin "$BUILD_DIR/bin" -N 1,0
refused "norma is not there" "$apps" --bin /nonexistent

finish
