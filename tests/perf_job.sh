#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `norma perf` as a user runs it: every test comes out with numbers, wrong options are named, nothing is left behind.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
norma=$BUILD_DIR/bin/norma
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

every_test="am_lat am_bw bibw am_rate fault_local fault_read fault_write fault_upgrade fault_fanout_1 page_pingpong
    false_sharing stream_read stream_write barrier lock clone clone_run teleport teleport_run snapshot
    cow_write get_lat put_lat get_bw
    put_bw atomic_lat numa_same_core"
for transport in tcp shm; do
    json=$work/$transport.json
    expect 0 "# norma perf: transport $transport" \
        "$norma" perf all -N 2 -x $transport -n 5 -w 1 --json "$json"
    for name in $every_test; do
        [ "$(grep -c "\"test\": \"$name\", \"transport\": \"$transport\"" "$json")" -eq 1 ] ||
            fail "no result of $name over $transport"
    done
    grep -q '"median_us": 0.000' "$json" && fail "a time of nothing over $transport"
    grep -v '"ratio_to_floor": [0-9]' "$json" | grep '"test"' && fail "a test has no ratio over $transport"
done
# A whole program's, in a job of its own.
expect 0 "migrate_pause " "$norma" perf migrate -N 2 -x tcp -s 1M -n 3 -w 1 --json "$work/migrate.json"
for name in migrate migrate_pause migrate_all migrate_lazy lazy_pause lazy_all migrate_precopy precopy_pause \
    precopy_all; do
    [ "$(grep -c "\"test\": \"$name\".*\"ratio_to_floor\": [0-9]" "$work/migrate.json")" -eq 1 ] ||
        fail "no result of $name: $(cat "$work/migrate.json")"
done
for wait in spin block; do
    expect 0 "wait $wait" "$norma" perf fault_read -N 2 -x tcp --wait $wait -n 50 -w 5
done
# On every machine there is something that `numa` cannot measure, or there are several NUMA nodes.
expect 0 "NUMA node(s); the node server is on processor" "$norma" perf numa -N 2 -n 5 -w 1

# More nodes than cores: nothing spins, nothing hangs, and every number of sharers is there.
expect 0 "wait adaptive, 16 nodes" "$norma" perf fault_fanout -N 16 -x tcp -n 2 -w 1 --csv "$work/fanout.csv"
for sharers in {1..15}; do
    [ "$(grep -c "^fault_fanout_$sharers,tcp,adaptive,16,4096,2," "$work/fanout.csv")" -eq 1 ] ||
        fail "no result for $sharers sharers"
done
for name in barrier bibw am_rate false_sharing page_pingpong get_lat; do
    expect 0 "$name " "$norma" perf $name -N 16 -x tcp -n 3 -w 1
done
expect 0 "wait spin, 16 nodes" "$norma" perf fault_read -N 16 -x tcp --wait spin -n 3 -w 1

# Sweeps: every power of two once, in order, as a table, as CSV and as a picture.
expect 0 "get_bw" "$norma" perf get_bw -a -x shm -n 2 -w 0 --csv "$work/get.csv" --json "$work/get.json"
sizes=$(for ((size = 8; size <= 64 << 20; size *= 2)); do echo "$size"; done)
[ "$(tail -n +2 "$work/get.csv" | cut -d, -f5)" = "$sizes" ] || fail "the sizes are: $(cut -d, -f5 "$work/get.csv")"
[ "$(grep -c '"test": "get_bw"' "$work/get.json")" -eq "$(wc -w <<<"$sizes")" ] || fail "JSON has not every size"
head -1 "$work/get.csv" | grep -q '^test,transport,wait,nodes,size,.*,median_us,.*,ratio_to_floor,' || fail "head of CSV"
expect 0 "am_lat" "$norma" perf am_lat -a -x tcp -n 2 -w 0 --plot "$work/it's a plot.png"
[ "$(head -c 4 "$work/it's a plot.png" | tr -d '\211')" = PNG ] || fail "the plot is no PNG picture"
expect 2 "/nonexistent/x.png" "$norma" perf am_lat -a --plot /nonexistent/x.png
expect 2 "gnuplot is not installed" env PATH=/nonexistent "$norma" perf am_lat -a --plot "$work/x.png"

expect 0 "kernel_floor" "$norma" perf --kernel-floor -n 100

expect 2 "'fault_raed'" "$norma" perf fault_raed -N 2
expect 2 "no test" "$norma" perf -N 2
expect 2 "-s 3" "$norma" perf clone -N 2 -s 3
expect 2 "-a: the size of barrier is fixed" "$norma" perf barrier -a
expect 2 "-s 4K: with -a" "$norma" perf clone -a -s 4K
expect 2 "--plot x.gif" "$norma" perf am_lat -a --plot x.gif
expect 2 "--plot x.png: what is drawn" "$norma" perf am_lat --plot x.png
expect 2 "pigeon" "$norma" perf am_lat -N 2 -x pigeon
expect 2 "dozing" "$norma" perf am_lat -N 2 --wait dozing
expect 2 "0" "$norma" perf am_lat -N 0
expect 2 "-N 1: at least 2 nodes" "$norma" perf am_lat -N 1
expect 2 "--frobnicate" "$norma" perf am_lat --frobnicate
expect 2 "/nonexistent/x.json" "$norma" perf fault_local -N 2 --json /nonexistent/x.json
expect 2 "/nonexistent/x.csv" "$norma" perf fault_local -N 2 --csv /nonexistent/x.csv
expect 2 "norma perf" "$BUILD_DIR/bin/norma-perf" am_lat
expect 2 "norma perf" "$BUILD_DIR/bin/norma-perf-whole" migrate

for program in normad norma-perf norma-perf-whole norma-kernel-floor norma-rma-floor norma-rpc-pingpong; do
    left=$(pgrep -f "^$BUILD_DIR/bin/$program" | tr '\n' ' ')
    [ -z "$left" ] || fail "$program is left behind: $left"
done
finish
