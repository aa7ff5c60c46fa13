# SPDX-License-Identifier: BSD-3-Clause
# What the tests of clusters' launchers have in common: to run a job and look at what it said, how it ended and what it
# has left. Sourced, by a script that has set $name.
bin=$BUILD_DIR/bin

skip() {
    echo "$name: SKIPPED, no job was started by a cluster's launcher: $*"
    exit 77
}
[[ -f $BUILD_DIR/lib/libnorma_pmix.so ]] || skip "norma was built without PMIx (libpmix-dev)"

work=$(mktemp -d)
chmod 755 "$work" # munge wants to know its socket within reach of all
mark=CLUSTER_TEST=$work # in the environment of what has to end with this test
failures=0
export NORMA_WAIT=block TMPDIR=$work
unset NORMA_JOB_KEY NORMA_BOOTSTRAP NORMA_ON_SIGNAL PMIX_RANK PMIX_NAMESPACE
cd "$work" || exit

# All that this test has started and that has not ended.
processes() {
    grep -lszxF -- "$mark" /proc/[0-9]*/environ | cut -d/ -f3
}
# Those of jobs.
job_processes() {
    local process
    for process in $(processes); do
        if [[ $(readlink "/proc/$process/exe") == "$BUILD_DIR"/* ]]; then
            echo "$process"
        fi
    done
}

clean_up() {
    local left tries
    for tries in {1..100}; do
        mapfile -t left < <(processes)
        ((${#left[@]})) || break
        kill -KILL "${left[@]}" 2>/dev/null
        sleep 0.1
    done
    rm -rf "$work"
}
# If this shell is killed, somebody else has to do it.
setsid bash -c "$(declare -p mark work && declare -f processes clean_up)
    tail --pid=$$ -f /dev/null; clean_up" </dev/null >/dev/null 2>&1 &
guard=$!
trap '{ kill -- -$guard; clean_up; wait; } 2>/dev/null' EXIT
trap 'exit 1' INT TERM HUP

fail() {
    printf 'FAILED: %s: %s\n' "$case" "$*"
    head -n 40 "$work/said" | sed 's/^/    /'
    failures=$((failures + 1))
}

nothing_left() {
    local tries
    for tries in {1..300}; do
        [[ -z $(job_processes) ]] && return
        sleep 0.1
    done
    fail "left behind: $(job_processes | xargs -r ps -o pid,args -p)"
    job_processes | xargs -r kill -KILL
}

# begin COMMAND...: starts a job. ends STATUS|failed: waits for it.
limit=90
begin() {
    started=$SECONDS
    : >"$work/said" # before somebody waits for words that the last job has said
    env "$mark" timeout -k 5 $limit "$@" >"$work/said" 2>&1 </dev/null &
    job=$!
}
ends() {
    local status
    wait "$job" 2>/dev/null
    status=$?
    if ((SECONDS - started >= limit)); then
        fail "it hangs"
    elif [[ $1 == failed ]]; then
        ((status != 0)) || fail "exit status 0 instead of a failure"
    else
        [[ $status == "$1" ]] || fail "exit status $status instead of $1"
    fi
    nothing_left
}
# run CASE STATUS COMMAND...
run() {
    case=$1
    local status=$2
    shift 2
    begin "$@"
    ends "$status"
}

wait_until() {
    local tries
    for tries in {1..600}; do
        grep -qsF -- "$1" "$work/said" && return
        sleep 0.1
    done
    fail "it does not say '$1'"
}
says() { grep -qF -- "$1" "$work/said" || fail "it does not say '$1'"; }
says_times() {
    local times
    times=$(grep -cF -- "$2" "$work/said")
    [[ $times == "$1" ]] || fail "it says '$2' $times times instead of $1"
}

# The process of a job whose command line has these words.
job_process() {
    local process
    for process in $(job_processes); do
        if tr '\0' ' ' <"/proc/$process/cmdline" | grep -q -- "$1"; then
            echo "$process"
        fi
    done
}
kill_one() {
    local process
    process=$(job_process "$1")
    if [[ -n $process ]]; then
        kill -KILL "$process"
    else
        fail "there is no process '$1'"
    fi
}

kill_parent_of() {
    local process
    process=$(job_process "$1")
    if [[ -n $process ]]; then
        kill -KILL "$(ps -o ppid= -p "$process" | tr -d ' ')"
    else
        fail "there is no process '$1'"
    fi
}

norma=$bin/norma
heat=("$bin/heat" --quiet --width 200 --height 150 --steps 60 --workers 2 --output "$work/out")
long=("$bin/norma-perf" barrier -n 1000000) # says "iter" when it is at work
hash=$(env "$mark" "$norma" run "${heat[@]}" | grep '^hash: ')
[[ -n $hash ]] || { echo "$name: FAILED: one node computes nothing"; exit 1; }

# A job whose ranks get USR1 and USR2, by `signal NAME`: node 1 leaves it, then it is written down, ends, and goes on
# from there. The program is at work for some seconds.
orders=(--on-signal USR1=drain --on-signal "USR2=checkpoint-and-end:$work/checkpoint")
at_work=("$bin/heat" --frames 0 --width 256 --height 256 --steps 4000 --workers 3 --output "$work/out")
# signal_until NAME DONE REFUSED: there are moments in which a task cannot be moved or written down.
signal_until() {
    local tries
    for ((tries = 1; tries <= 50; ++tries)); do
        signal "$1"
        until grep -q "$2" "$work/said" || (($(grep -c "$3" "$work/said") >= tries)) || ! kill -0 "$job" 2>/dev/null; do
            sleep 0.1
        done
        ! grep -q "$2" "$work/said" || return
    done
}
on_signals() {
    local long_hash
    long_hash=$(env "$mark" "$norma" run "${at_work[@]}" | grep '^hash: ')

    case="a node leaves when a signal comes"
    begin "$@" "$norma" run "${orders[@]}" "${at_work[@]}"
    wait_until plate:
    signal_until USR1 "SIGUSR1: node 1 has left the job" "SIGUSR1: node 1 has not left"
    ends 0
    says_times 1 "norma: SIGUSR1: node 1 has left the job: "
    says "norma: SIGUSR1: the launcher of the job cannot leave it: its node stays"
    says_times 1 "$long_hash"

    case="a job is written down when a signal comes, and goes on"
    begin "$@" "$norma" run "${orders[@]}" "${at_work[@]}"
    wait_until plate:
    signal_until USR2 "SIGUSR2: the job has been written" "SIGUSR2: the job has not been written"
    ends 75
    says "norma: SIGUSR2: the job has been written to $work/checkpoint in "
    run "$case" 0 "$norma" restart -N 2 "$work/checkpoint"
    says_times 1 "$long_hash"
}

report() {
    [[ $failures == 0 ]] && echo passed
    exit $((failures > 0))
}
