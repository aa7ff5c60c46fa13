#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# bench/compare, one round of few repetitions: the table has a line for everything, with numbers where there is
# something to compare with, and what was left out is said. Nothing is said about times.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
compare=$SOURCE_DIR/bench/compare
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

timeout 200 "$compare" --bin "$BUILD_DIR/bin" -x tcp,shm -s 4K,512K -r 1 -n 3 --json "$work/all.json" >"$work/table" ||
    fail "compare ended with $?"
lines=$(grep -vc '^#' "$work/table")
# Six tests with two sizes, of which messages cannot have the largest; two without; over two transports.
[ "$lines" -eq $(((6 * 2 - 2 + 2) * 2)) ] || fail "$lines lines: $(cat "$work/table")"
number='[0-9]+\.?[0-9]*'
for transport in tcp shm; do
    for test in get_lat get_bw put_lat put_bw; do
        for size in 4096 524288; do
            grep -Eq "^$test +$transport +$size +$number +$number +$number " "$work/table" ||
                fail "no comparison of $test over $transport, $size bytes, with bare UCX"
        done
    done
    grep -Eq "^am_bw +$transport +4096 +$number +- +- " "$work/table" || fail "am_bw over $transport"
    grep -Eq "^barrier +$transport +0 +$number +- +- " "$work/table" || fail "barrier over $transport"
done
columns=$(grep -v '^#' "$work/table" | awk '{ print NF }' | sort -u)
[ "$columns" = 14 ] || fail "the lines have $columns columns"

# What is installed is in the table; of what is not, the reason is.
has() {
    local name=$1 line=$2
    shift 2
    if "$@" >/dev/null 2>&1; then
        grep -Eq "^$line" "$work/table" || fail "$name is installed, but there is no '$line'"
    else
        grep -q "^# NOT MEASURED: $name: " "$work/table" || fail "nothing is said about $name, which is not there"
    fi
}
has ucx_perftest "put_bw +shm +4096( +$number){5}" command -v ucx_perftest
has mpi "barrier +tcp +0 +$number( +-){4}( +$number){4}" test -x "$BUILD_DIR/bin/norma-mpi-rma"
[ -d /sys/class/infiniband ] || grep -q "^# NOT MEASURED: perftest: there is no RDMA device" "$work/table" ||
    fail "nothing is said about perftest"

python3 - "$work/all.json" <<'EOF' || fail "the JSON file is not as it should be"
import json, sys
rows = json.load(open(sys.argv[1]))
assert len(rows) == 24, len(rows)
for row in rows:
    assert set(row) == {"test", "transport", "size", "us"}, row
    assert set(row["us"]) == {"norma", "bare_ucx", "ucx_perftest", "mpi", "mpi_ucx", "perftest"}, row
    assert all(len(rounds) == 1 for rounds in row["us"].values()), row
    assert all(time > 0 for time in row["us"]["norma"]), row
EOF

# Somebody's tool that fails is named with what it said, and the rest goes on.
mkdir "$work/path"
printf '#!/bin/sh\necho "no such luck" >&2\nexit 3\n' >"$work/path/ucx_perftest"
chmod +x "$work/path/ucx_perftest"
PATH=$work/path:$PATH timeout 100 "$compare" --bin "$BUILD_DIR/bin" -x shm -t put_bw -s 4K -r 2 -n 5 >"$work/broken" ||
    fail "a tool that fails fails the run"
grep -q '^# NOT MEASURED: ucx_perftest: ucx_perftest ended with 3 and said: no such luck' "$work/broken" ||
    fail "the failed tool is not named: $(cat "$work/broken")"
grep -Eq "^put_bw +shm +4096 +$number +$number +$number +- +- " "$work/broken" || fail "the rest did not go on"

refused "'pigeon'" "$compare" --bin "$BUILD_DIR/bin" -x pigeon
refused "'get_lta'" "$compare" --bin "$BUILD_DIR/bin" -t get_lta
refused "'3'" "$compare" --bin "$BUILD_DIR/bin" -s 3
refused "'128M'" "$compare" --bin "$BUILD_DIR/bin" -s 8,128M
refused "'0'" "$compare" --bin "$BUILD_DIR/bin" -r 0
refused "--bin /nonexistent" "$compare" --bin /nonexistent

finish
