# SPDX-License-Identifier: BSD-3-Clause
# What the tests of jobs on several hosts have in common: to start launchers and joiners, to wait for what they say, and to
# look at what is left. Sourced; the launcher listens at $host, and a command may be put in front of a joiner's ($elsewhere).
bin=$BUILD_DIR/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
export JOIN_TEST_ID=$$ NORMA_WAIT=block
unset NORMA_JOB_KEY
host=127.0.0.1
elsewhere=()
cd "$work" || exit
echo 'open sesame' >"$work/key"
echo 'open barley' >"$work/wrong"

fail() {
    printf 'FAILED: %s: %s\n' "$case" "$*"
    head -n 30 "$work"/said.* | sed 's/^/    /'
    failures=$((failures + 1))
}

# The processes of this test's jobs: all that inherited its mark, but not its shells.
processes() {
    local environment process
    for environment in /proc/[0-9]*/environ; do
        process=${environment#/proc/}
        process=${process%/environ}
        if tr '\0' '\n' 2>/dev/null <"$environment" | grep -qx "JOIN_TEST_ID=$JOIN_TEST_ID" &&
            [[ $(readlink "/proc/$process/exe") == "$BUILD_DIR"/* ]]; then
            echo "$process"
        fi
    done
}

nothing_left() {
    local tries
    for tries in {1..60}; do
        [[ -z $(processes) ]] && return
        sleep 0.05
    done
    fail "left behind: $(processes | xargs -r ps -o pid,args -p)"
    processes | xargs -r kill -KILL
}

# begin NAME: a case. The port is free as far as anybody can know.
begin() {
    case=$1
    rm -f "$work"/said.*
    port=$((20000 + (RANDOM + $$) % 12000))
    declare -gA pid=()
}

# launch OPTIONS... PROGRAM...; join NAME OPTIONS... A second launcher of a case is called $launcher, and has a $port of its
# own.
launch() {
    local name=${launcher-launcher}
    setsid "$bin/norma" run -v --listen "$host:$port" --key-file "$work/key" "$@" >"$work/said.$name" 2>&1 &
    pid[$name]=$!
}
join() {
    local name=$1
    shift
    setsid "${elsewhere[@]}" "$bin/norma" node -v --join "$host:$port" --key-file "$work/key" "$@" \
        >"$work/said.$name" 2>&1 &
    pid[$name]=$!
}

# wait_until WHO TEXT: until it has said so.
wait_until() {
    local tries
    for tries in {1..200}; do
        grep -qsF -- "$2" "$work/said.$1" && return
        sleep 0.05
    done
    fail "$1 does not say '$2'"
}

says() { grep -qF -- "$2" "$work/said.$1" || fail "$1 does not say '$2'"; }

says_times() {
    local times
    times=$(grep -cF -- "$3" "$work/said.$1")
    [[ $times == "$2" ]] || fail "$1 says '$3' $times times instead of $2"
}

# ends WHO STATUS
ends() {
    local status
    timeout 20 tail -s 0.05 --pid="${pid[$1]}" -f /dev/null || {
        fail "$1 hangs"
        kill -KILL "${pid[$1]}"
    }
    wait "${pid[$1]}" 2>/dev/null
    status=$?
    [[ $status == "$2" ]] || fail "$1: exit status $status instead of $2"
}

# The node server of node $1.
node_server() {
    local process
    for process in $(processes); do
        if tr '\0' ' ' <"/proc/$process/cmdline" | grep -q -- "normad --node $1 "; then
            echo "$process"
        fi
    done
}

at_work=("$bin/norma-perf" barrier -n 1000000)
# A job of two nodes that would run for minutes.
long_job() {
    launch -N 2 -x "${1-tcp}" "${at_work[@]}"
    join one
    wait_until launcher iter
    sleep 0.3
}

# The end of a test.
report() {
    [[ $failures == 0 ]] && echo passed
    exit $((failures > 0))
}
