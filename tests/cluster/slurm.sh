#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Jobs whose nodes a real Slurm starts: munged, slurmctld and two slurmd of the test's own, on this machine, with all they
# have in a temporary folder. Nothing of a Slurm that the machine may have is used.
# Usage: BUILD_DIR=... tests/cluster/slurm.sh
set -u
name=slurm
PATH=$PATH:/usr/sbin:/sbin
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
for program in munged slurmctld slurmd srun; do
    command -v $program >/dev/null || skip "$program is not installed"
done

daemon() {
    local log=$1
    shift
    env "$mark" "$@" >"$work/$log.out" 2>&1 </dev/null &
}
give_up() {
    echo "slurm: FAILED: $*"
    tail -n 20 "$work"/*.out
    exit 1
}
# Three ports that nobody has now, of those that the kernel gives nobody by itself.
mapfile -t ports < <(python3 -c '
import random, socket
held = []
while len(held) < 3:
    one = socket.socket()
    try:
        one.bind(("", random.randrange(20000, 32000)))
        held.append(one)
    except OSError:
        one.close()
print(*(one.getsockname()[1] for one in held), sep="\n")')

mkdir "$work/munge" "$work/state" "$work"/{spool,tmp}.n{0,1}
(umask 077 && head -c 128 /dev/urandom >"$work/munge/key")

user=$(id -un)
export SLURM_CONF=$work/slurm.conf
cat >"$SLURM_CONF" <<CONF
ClusterName=norma
SlurmctldHost=localhost
SlurmctldPort=${ports[0]}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool.%n
TmpFS=$work/tmp.%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MailProg=/bin/true
ReturnToService=2
NodeName=n0 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=$(nproc)
NodeName=n1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=$(nproc)
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
: >"$work/cgroup.conf"
srun --mpi=list 2>&1 | grep -qw pmix || give_up "this Slurm has no plugin for PMIx"

daemon munged munged --foreground --num-threads=1 --key-file="$work/munge/key" --socket="$work/munge/socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed"
for ((tries = 0; tries < 300; ++tries)); do
    [[ ! -S $work/munge/socket ]] || break
    sleep 0.1
done
[[ -S $work/munge/socket ]] || give_up "munged has made no socket"
daemon slurmctld slurmctld -D -c
for node in n0 n1; do
    daemon $node slurmd -D -N $node
done
for ((tries = 0; tries < 600; ++tries)); do
    [[ $(sinfo -h -N -o %T 2>/dev/null | sort | uniq -c | xargs) != "2 idle" ]] || break
    sleep 0.1
done
[[ $(sinfo -h -N -o %T | sort | uniq -c | xargs) == "2 idle" ]] || give_up "the nodes are not idle: $(sinfo -h -N 2>&1)"
srun=(srun -N 2 --mpi=pmix)

run "two nodes, the same bits as on one" 0 "${srun[@]}" "$norma" run -v "${heat[@]}" --teleport-at 20:0:1
says_times 1 "$hash"
says "this is node 1 of 2"

run "four ranks on two nodes" 0 "${srun[@]}" -n 4 -O "$norma" run -N 4 "$bin/hello"
for node in 0 1 2 3; do
    says_times 1 "hello from node $node"
done

"$norma" run "${heat[@]}" --bogus >/dev/null 2>&1
status=$?
run "the program's exit status" $status "${srun[@]}" "$norma" run "${heat[@]}" --bogus

run "-N that does not agree" 2 "${srun[@]}" "$norma" run -N 3 "$bin/hello"
says_times 1 "norma: rank 0 on n0: -N 3, but the launcher has started 2 ranks"

# ranks COMMAND0 COMMAND1: two ranks that are not the same.
ranks() {
    printf '0 %s\n1 %s\n' "$1" "$2" >"$work/ranks"
    different=("${srun[@]}" -n 2 --multi-prog "$work/ranks")
}
hello="$norma run $bin/hello"

ranks "$hello" "$norma run -N 1 $bin/hello"
run "-N of one rank only" 2 "${different[@]}"
says_times 1 "norma: rank 1 on n1: -N 1, but the launcher has started 2 ranks"

ranks "$norma run $work/nothing" "$hello"
run "a program that is not there" 2 "${different[@]}"
says_times 1 "norma: rank 0 on n0: program '$work/nothing' does not exist"

ranks "$hello" "$bin/odd_rank garbage"
run "a rank that says garbage" 2 "${different[@]}"
says_times 1 "norma: rank 1 on n1 does not say what norma says"

ranks "$bin/odd_rank silent" "$hello"
run "a rank that says nothing" 2 "${different[@]}"
says_times 1 "norma: rank 0 on n0 does not say what norma says"

ranks "$hello" "$bin/odd_rank other-version"
run "a rank of another version" 2 "${different[@]}"
says_times 1 "norma: the norma of rank 1 on n1 speaks version 77 of joining"

ranks "$norma run --join-timeout 1 $bin/hello" "sleep 100"
run "a rank that does not come" failed "${different[@]}"
says_times 1 "norma: rank 1 on n1 has not come within 1 s"

ranks "$hello" "env NORMA_STACK_SIZE=9M $hello"
run "a rank that is refused ends the job, though Slurm would not" failed "${different[@]}"
says "refused node 1 on $(hostname)"
says "NORMA_STACK_SIZE=9M there, but NORMA_STACK_SIZE=8M in this job"
says "the job could not be started"

case="a node dies"
begin "${srun[@]}" "$norma" run "${long[@]}"
wait_until iter
kill_one "normad --node 1 "
ends failed
says "node 1 is gone"

case="the job is cancelled"
begin "${srun[@]}" "$norma" run "${long[@]}"
wait_until iter
scancel --state=running --user="$user"
ends failed

# All processes of the step get the signal, node servers and tasks, too.
signal() {
    scancel --signal="$1" --state=running --user="$user"
}
on_signals "${srun[@]}"

report
