# SPDX-License-Identifier: BSD-3-Clause
# Jobs of attach_host; to be sourced. What they say gets into $said.
source "$SOURCE_DIR/tests/checks.sh"
bin=$BUILD_DIR/bin
norma=$bin/norma
work=$(mktemp -d)
jobs=()
trap 'kill "${jobs[@]}" 2>/dev/null; rm -rf "$work"' EXIT

# job TRANSPORT WORD...: starts one of two nodes; its launcher is `launcher`, and said, what it says.
job() {
    local transport=$1 tries
    shift
    said=$work/said.${#jobs[@]}
    "$norma" run -N 2 -x "$transport" "$bin/attach_host" "$@" >"$said" 2>&1 &
    launcher=$!
    jobs+=("$launcher")
    wait_for ready "$said"
}

# wait_for TEXT FILE
wait_for() {
    local tries
    for tries in {1..600}; do
        grep -qs -- "$1" "$2" && return
        sleep 0.1
    done
    fail "nobody says '$1' but: $(cat "$2")"
}

# ends STATUS PROCESS: it ends within a minute, so.
ends() {
    local result
    timeout 60 tail --pid="$2" -f /dev/null || fail "process $2 does not end"
    wait "$2"
    result=$?
    [ "$result" -eq "$1" ] || fail "process $2 ended with $result instead of $1"
}

# The job ends as it should, once somebody has told it to.
job_ends() {
    ends 0 "$launcher"
    grep -q "$1" "$said" || fail "the job says: $(cat "$said")"
}
