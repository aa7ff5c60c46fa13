#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# `norma perf` as a user runs it: every test comes out with numbers, wrong options are named, nothing is left behind.
set -u
norma=$BUILD_DIR/bin/norma
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS TEXT COMMAND...: the exit status, and a text in what it says
expect() {
    local status=$1 text=$2 said result
    shift 2
    said=$(timeout 120 "$@" 2>&1)
    result=$?
    [ "$result" -eq "$status" ] || fail "$* ended with $result instead of $status: $said"
    [[ $said == *"$text"* ]] || fail "$* does not say '$text' but: $said"
}

every_test="am_lat am_bw fault_local fault_read fault_write fault_upgrade page_pingpong stream_read stream_write
    barrier lock clone clone_run teleport teleport_run get_lat put_lat get_bw put_bw atomic_lat"
for transport in tcp shm; do
    json=$work/$transport.json
    expect 0 "# norma perf: transport $transport" \
        "$norma" perf all -N 2 -x $transport -n 5 -w 1 --json "$json"
    for name in $every_test; do
        [ "$(grep -c "\"test\": \"$name\", \"transport\": \"$transport\"" "$json")" -eq 1 ] ||
            fail "no result of $name over $transport"
    done
    grep -q '"median_us": 0.000' "$json" && fail "a time of nothing over $transport"
    for name in fault_local fault_read fault_write fault_upgrade page_pingpong stream_read stream_write barrier lock \
        get_lat put_lat get_bw put_bw atomic_lat; do
        grep "\"test\": \"$name\"" "$json" | grep -q '"ratio_to_floor": [0-9]' || fail "$name has no ratio"
    done
done
for wait in spin block; do
    expect 0 "wait $wait" "$norma" perf fault_read -N 2 -x tcp --wait $wait -n 50 -w 5
done
expect 0 "kernel_floor" "$norma" perf --kernel-floor -n 100

expect 2 "'fault_raed'" "$norma" perf fault_raed -N 2
expect 2 "no test" "$norma" perf -N 2
expect 2 "-s 3" "$norma" perf clone -N 2 -s 3
expect 2 "pigeon" "$norma" perf am_lat -N 2 -x pigeon
expect 2 "dozing" "$norma" perf am_lat -N 2 --wait dozing
expect 2 "0" "$norma" perf am_lat -N 0
expect 2 "-N 1: at least 2 nodes" "$norma" perf am_lat -N 1
expect 2 "--frobnicate" "$norma" perf am_lat --frobnicate
expect 2 "/nonexistent/x.json" "$norma" perf fault_local -N 2 --json /nonexistent/x.json
expect 2 "norma perf" "$BUILD_DIR/bin/norma-perf" am_lat

for program in normad norma-perf norma-kernel-floor norma-rma-floor; do
    left=$(pgrep -f "^$BUILD_DIR/bin/$program" | tr '\n' ' ')
    [ -z "$left" ] || fail "$program is left behind: $left"
done
[ "$failures" -eq 0 ] && echo passed
exit $((failures > 0))
