#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An MPI program whose ranks attach themselves to a job of two nodes.
# Usage: SOURCE_DIR=... BUILD_DIR=... tests/attach/mpi.sh
set -u
source "$SOURCE_DIR/tests/attach/job.sh"
as_root=()
[[ $(id -u) == 0 ]] && as_root=(--allow-run-as-root)
for transport in tcp shm; do
    job "$transport"
    expect 0 "ranks: 2" mpirun "${as_root[@]}" --oversubscribe -n 2 "$bin/attach_ranks" "$launcher"
    job_ends "guarded: 40"
done
finish
