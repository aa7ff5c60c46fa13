#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Jobs with real node servers that end in every way but the good one: each time the exit status is right, and no
# process, shared memory or listening socket is left.
# Usage: BUILD_DIR=... tests/launcher_job.sh
set -u
bin=$BUILD_DIR/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
export LAUNCHER_JOB_ID=$$

fail() {
    printf 'FAILED: %s\n' "$*"
    sed 's/^/    /' "$work/said"
    failures=$((failures + 1))
}

# The processes of this test's jobs: all that inherited its mark, but not its shells.
processes() {
    local environment process
    for environment in /proc/[0-9]*/environ; do
        process=${environment#/proc/}
        process=${process%/environ}
        if tr '\0' '\n' 2>/dev/null <"$environment" | grep -qx "LAUNCHER_JOB_ID=$LAUNCHER_JOB_ID" &&
            [[ $(readlink "/proc/$process/exe") == "$BUILD_DIR"/* ]]; then
            echo "$process"
        fi
    done
}

# The node server of node $1 of this test's job.
node_server() {
    local process
    for process in $(processes); do
        if tr '\0' ' ' <"/proc/$process/cmdline" | grep -q -- "normad --node $1 "; then
            echo "$process"
        fi
    done
}

# Shared memory that no process uses. What other programs do meanwhile does not show, unless they leave some too.
unused_shared_memory() {
    local file
    for file in /dev/shm/*; do
        [[ ! -e $file ]] || grep -qsF "$file" /proc/[0-9]*/maps || echo "$file"
    done
    ipcs -m | awk '$1 ~ /^0x/ && $6 == 0 { print "segment " $2 }'
}

nothing_left() {
    local tries
    for tries in {1..40}; do
        [[ -z $(processes) ]] && return 0
        sleep 0.05
    done
    return 1
}

# job TRANSPORT: starts a job that would run for minutes, and waits until it is at work.
job() {
    "$bin/norma" run -N 2 -x "$1" "$bin/norma-perf" barrier -n 1000000 >"$work/said" 2>&1 &
    launcher=$!
    local tries
    for tries in {1..200}; do
        grep -qs 'iter' "$work/said" && sleep 0.3 && return
        sleep 0.05
    done
    fail "the job over $1 does not start"
}

# after STATUS WHAT: the launcher ends with STATUS and leaves nothing.
after() {
    local status
    timeout 10 tail --pid=$launcher -f /dev/null || fail "$2: the launcher hangs"
    wait $launcher 2>>"$work/shell"
    status=$?
    [[ $status == "$1" ]] || fail "$2: exit status $status instead of $1"
    nothing_left || fail "$2: left behind: $(processes | xargs -r ps -o pid,args -p)"
    [[ $(unused_shared_memory) == "$memory_before" ]] || fail "$2: shared memory is left behind: $(unused_shared_memory)"
}

says() { grep -qF -- "$1" "$work/said" || fail "it does not say '$1'"; }

memory_before=$(unused_shared_memory)
for transport in tcp shm; do
    job $transport
    kill -TERM $launcher
    after 143 "SIGTERM over $transport"

    job $transport
    kill -KILL $launcher
    after 137 "launcher killed over $transport"

    job $transport
    kill -KILL "$(node_server 1)"
    after 1 "node 1 killed over $transport"
    says 'norma: node 1 is gone (killed by signal 9)'

    job $transport
    kill -KILL "$(node_server 0)"
    after 1 "node 0 killed over $transport"
    says 'norma: node 0 is gone (killed by signal 9)'
done

# A node server that is there and does not answer.
export NORMA_LEASE=3s
for node in 0 1; do
    job tcp
    kill -STOP "$(node_server $node)"
    after 1 "node $node stopped"
    says "norma: node $node has not answered for NORMA_LEASE (3 s): it is ended"
    says "norma: node $node is gone (killed by signal 9)"
done

# The launcher stops for longer, and blames nobody.
job tcp
kill -STOP $launcher
sleep 4
kill -CONT $launcher
sleep 2
kill -TERM $launcher
after 143 "a launcher that was stopped"
! grep -q 'has not answered' "$work/said" || fail "a launcher that was stopped gives nodes up"
unset NORMA_LEASE

job tcp
kill -SEGV "$(pgrep -P "$(node_server 0)")"
after 139 "the program crashes"
says 'norma: task killed by signal 11 (Segmentation fault)'

# Without job control the shell would start it with SIGINT ignored, which the launcher respects.
set -m
job tcp
kill -INT $launcher
after 130 "Ctrl-C"

[[ $failures == 0 ]] && echo passed
exit $((failures > 0))
