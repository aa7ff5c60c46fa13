#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Jobs whose nodes Open MPI's mpirun starts on this machine: they compute what one node does, end as they should in
# every way, and say what is wrong.
# Usage: BUILD_DIR=... tests/cluster/mpirun.sh
set -u
name=mpirun
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
command -v mpirun >/dev/null || skip "mpirun (openmpi-bin) is not installed"
mpirun --version | grep -q 'Open MPI' || skip "the mpirun here is not Open MPI's"
mpirun=(mpirun --oversubscribe --mca orte_tmpdir_base "$work")
((EUID)) || mpirun+=(--allow-run-as-root)

# ---- they compute ----
run "two ranks, the same bits as on one node" 0 "${mpirun[@]}" -n 2 "$norma" run -v "${heat[@]}" --teleport-at 20:0:1
says_times 1 "$hash"
says "this is node 1 of 2"

run "three ranks, over tcp, -N that agrees" 0 "${mpirun[@]}" -n 3 "$norma" run -N 3 -x tcp "$bin/hello"
for node in 0 1 2; do
    says_times 1 "hello from node $node"
done

run "one rank is a job of its own, of as many nodes as it likes" 0 \
    "${mpirun[@]}" -n 1 "$norma" run -N 2 --join-timeout 60 "$bin/hello"
says_times 1 "hello from node 1"

run "several jobs one after the other" 0 "${mpirun[@]}" -n 2 bash -c '"$@" && "$@"' - "$norma" run "${heat[@]}"
says_times 2 "$hash"

run "NORMA_BOOTSTRAP=single: as many jobs as ranks" 0 \
    env NORMA_BOOTSTRAP=single "${mpirun[@]}" -n 2 "$norma" run "$bin/hello"
says_times 2 "hello from node 0"

echo 'open sesame' >"$work/key"
run "a key of the user's, an address of the user's" 0 "${mpirun[@]}" -n 2 "$norma" run -v --key-file "$work/key" \
    --listen 127.0.0.1 "$bin/hello"
says "hello from node 1"
says ", 127.0.0.1:"

# ---- the processors that mpirun gives ----
cat >"$work/bound" <<'SCRIPT'
rank=$OMPI_COMM_WORLD_RANK
echo "rank $rank may use $(taskset -cp $$ | sed 's/.*: //')"
NORMA_LOG=info exec "$@"
SCRIPT
for how in core:overload-allowed none; do
    run "a rank keeps to what it was given, --bind-to $how" 0 \
        taskset -c "$(taskset -cp $$ | sed 's/.*[ ,-]//')" "${mpirun[@]}" --bind-to $how -n 2 bash "$work/bound" "$norma" \
        run "$bin/hello"
    for rank in 0 1; do
        given=$(sed -n "s/^rank $rank may use //p" "$work/said")
        says "[node $rank]: info: bound to processors $given"
    done
done
if (($(nproc) > 1)); then
    run "ranks that are bound apart have all that they were given" 0 \
        "${mpirun[@]}" --use-hwthread-cpus --bind-to hwthread -n 2 bash "$work/bound" "$norma" run "$bin/hello"
    for rank in 0 1; do
        given=$(sed -n "s/^rank $rank may use //p" "$work/said")
        says "[node $rank]: info: bound to processors $given"
    done
fi

# ---- they end ----
"$norma" run "${heat[@]}" --bogus >/dev/null 2>&1
status=$?
run "the program's exit status" $status "${mpirun[@]}" -n 2 "$norma" run "${heat[@]}" --bogus

case="the node server of rank 1 dies"
begin "${mpirun[@]}" -n 2 "$norma" run "${long[@]}"
wait_until iter
kill_one "normad --node 1 "
ends failed
says "node 1 is gone"

case="rank 0 dies"
begin "${mpirun[@]}" -n 2 "$norma" run "${long[@]}"
wait_until iter
kill_parent_of "normad --node 0 "
ends failed

case="mpirun is told to end"
begin "${mpirun[@]}" -n 2 "$norma" run "${long[@]}"
wait_until iter
kill -TERM "$(pgrep -P "$job")"
ends failed

# ---- signals for which something has been asked: mpirun hands them to all ranks ----
signal() {
    kill "-$1" "$(pgrep -P "$job")"
}
on_signals "${mpirun[@]}" -n 2

# ---- what is wrong is said ----
host=$(hostname)
run "-N that does not agree" 2 "${mpirun[@]}" -n 2 "$norma" run -N 3 "$bin/hello"
says_times 1 "norma: rank 0 on $host: -N 3, but the launcher has started 2 ranks"

run "a rank that says garbage" 2 "${mpirun[@]}" -n 2 "$norma" run "$bin/hello" : -n 1 "$bin/odd_rank" garbage
says_times 1 "norma: rank 2 on $host does not say what norma says"

run "ranks that do not come" failed \
    "${mpirun[@]}" -n 2 "$norma" run --join-timeout 3 "$bin/hello" : -n 2 "$bin/odd_rank" absent
says_times 1 "norma: rank 2 on $host, rank 3 on $host have not come within 3 s"

case="no launcher where there must be one"
NORMA_BOOTSTRAP=pmix run "$case" 2 "$norma" run "$bin/hello"
says "no launcher with PMIx has started this process"
PMIX_RANK=0 PMIX_NAMESPACE=gone run "a launcher that is gone" 1 "$norma" run "$bin/hello"
says "NORMA_BOOTSTRAP=single"

report
