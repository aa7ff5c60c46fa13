#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What a node server needs for a page does not depend on the number of nodes, and a further node costs it little:
# docs/memory.md, weighed in jobs of 2, 4 and 12 nodes.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
memory=$SOURCE_DIR/bench/memory

# A staging buffer that happens to be used for the first time meanwhile is 16 bytes a page; memory that was let go before,
# as on a busy machine the connecting leaves some, and is used again is as much less.
for transport in tcp shm; do
    most=128 # KiB for a further node
    [ $transport = shm ] && most=800 # a private lane (rpc/README.md)
    table=$(timeout 140 "$memory" --bin "$BUILD_DIR/bin" -x $transport -N 2,4,12 -p 16384) || fail "memory ended with $?"
    for nodes in 2 4 12; do
        # Nodes, KiB when started and when connected, descriptors, bytes per page: home, other; lonely: home, other.
        read -r -a line < <(grep "^$nodes " <<<"$table")
        if [ "${#line[@]}" -ne 8 ]; then
            fail "no line for $nodes nodes: $table"
            continue
        fi
        awk -v home="${line[4]}" -v other="${line[5]}" 'BEGIN { exit !(home > 30 && home < 110 && other > 1 && other < 60) }' ||
            fail "$transport, $nodes nodes: a page costs ${line[4]} bytes at its home, ${line[5]} elsewhere"
        awk -v home="${line[6]}" -v other="${line[7]}" 'BEGIN { exit !(home < 6000 && other < 2000) }' ||
            fail "$transport, $nodes nodes: a lonely page costs ${line[6]} bytes at its home, ${line[7]} elsewhere"
    done
    awk -v most=$most '/connected: .* for each further node/ { found++; if ($(NF - 5) > most) bad = 1 } END { exit found != 2 || bad }' \
        <<<"$table" || fail "$transport: a further node costs too much: $table"
done

refused "'1'" "$memory" --bin "$BUILD_DIR/bin" -N 1,2
refused "-N 4,2" "$memory" --bin "$BUILD_DIR/bin" -N 4,2
refused "'10'" "$memory" --bin "$BUILD_DIR/bin" -p 10
refused "ended with" "$memory" --bin "$BUILD_DIR/bin" -x pigeon
finish
