#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Looking at running jobs: norma ps, stat and top, what they say to wrong input, and who may ask the launcher at all. And
# what norma migrate says when it cannot be; that it can, tests/migration shows.
# Usage: BUILD_DIR=... tests/watching.sh
set -u
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
bin=$BUILD_DIR/bin
norma=$bin/norma
work=$(mktemp -d)
jobs=()
trap 'kill "${jobs[@]}" 2>/dev/null; rm -rf "$work"' EXIT

# job NODES: starts one that would run for minutes, waits until it has a task on each node, and puts its launcher into
# `launcher`.
job() {
    local tries said=$work/said.${#jobs[@]}
    "$norma" run -N "$1" -x tcp "$bin/heat" --steps 100000000 --workers "$1" --output "$work" >"$said" 2>&1 &
    launcher=$!
    jobs+=("$launcher")
    for tries in {1..200}; do
        "$norma" ps "$launcher" --json 2>/dev/null | nodes_with_tasks "$1" && return
        sleep 0.1
    done
    fail "the job does not start"
    cat "$said"
}

nodes_with_tasks() {
    python3 -c 'import json, sys
text = sys.stdin.read()
tasks = json.loads(text) if text else []
sys.exit({t["node"] for t in tasks if t["state"] == "running"} != set(range(int(sys.argv[1]))))' "$1"
}

# shows EXPRESSION COMMAND...: what the command prints is JSON, and the Python expression is true of it, as `it`.
shows() {
    local expression=$1
    shift
    "$@" | python3 -c 'import json, sys
it = json.load(sys.stdin)
if not eval(sys.argv[1]):
    sys.exit("not true of " + json.dumps(it, indent=1))' "$expression" || fail "$*: $expression"
}

expect 1 "there is no job 1 of yours" "$norma" ps 1
expect 2 "JOB" "$norma" ps nonsense
expect 2 "'7' is not a task" "$norma" stat 7
expect 2 "TASK" "$norma" stat
expect 2 "--delay" "$norma" top --delay 0
expect 2 "'7' is not a task" "$norma" migrate 7 1
expect 2 "NODE" "$norma" migrate 0.1
expect 2 "NODE" "$norma" migrate 0.1 -1
expect 2 "excludes" "$norma" migrate 0.1 1 --lazy --precopy
expect 1 "there is no job 1 of yours" "$norma" migrate 0.1 1 --job 1

job 2
expect 0 "heat" "$norma" ps "$launcher"
expect 0 "heat" "$norma" ps
shows "sorted(t['node'] for t in it) == [0, 0, 1]" "$norma" ps "$launcher" --json
shows "[t['task'] for t in it if t['first']] == ['0.1']" "$norma" ps "$launcher" --json
shows "all(t['state'] == 'running' and t['threads'] >= 1 and t['mapped_bytes'] > 0 and t['wired_bytes'] == 0 for t in it)" "$norma" ps "$launcher" --json
expect 0 "kernel thread" "$norma" stat 0.1 --job "$launcher"
shows "len(it['thread_list']) == it['threads'] and it['thread_list'][0]['tid'] > 0" "$norma" stat 0.1 --job "$launcher" --json
expect 1 "has no task 1.77" "$norma" stat 1.77 --job "$launcher"
expect 0 "READ/s" "$norma" top "$launcher" -n 2 -d 0.2
expect 1 "there is no such task" "$norma" migrate 0.77 1 --job "$launcher"
expect 1 "there is no such node" "$norma" migrate 0.1 2 --job "$launcher"
expect 1 "there is no node server where it was made" "$norma" migrate 2.1 0 --job "$launcher"
expect 2 "NODE" "$norma" drain
expect 2 "x" "$norma" drain x
expect 1 "node 7 of job $launcher has not left: there is no node 7" "$norma" drain 7 --job "$launcher"
expect 1 "node 9 is no other node of the job" "$norma" drain 0 --to 9 --job "$launcher"
expect 0 "task 0.1 is on node 0 already" "$norma" migrate 0.1 0 --job "$launcher"
# The rows at the border travel at every step.
shows "all(n['pages_in'] > 0 for n in it['nodes']) and len(it['nodes']) == 2" "$norma" top "$launcher" -n 1 -d 0.5 --json

# The page over which two nodes fight, each for a word of its own, before the one that a third node reads now and then.
"$norma" run -N 3 -x tcp "$bin/quarrel" >"$work/said.quarrel" 2>&1 &
quarrel=$!
jobs+=("$quarrel")
fight="it['hottest_pages'] and it['hottest_pages'][0]['name'] == 'quarrel' and it['hottest_pages'][0]['offset'] == 0x3000
    and sorted(n['node'] for n in it['hottest_pages'][0]['nodes']) == [0, 1]
    and all(n['writes'] > n['reads'] for n in it['hottest_pages'][0]['nodes'])"
fought() {
    "$norma" top "$quarrel" -n 1 -d 1 --json 2>/dev/null | python3 -c 'import json, sys
text = sys.stdin.read()
it = json.loads(text) if text else {"hottest_pages": []}
sys.exit(not eval(sys.argv[1]))' "${fight//$'\n'/ }"
}
fight_shown() {
    "$norma" top "$quarrel" -n 1 -d 1 2>/dev/null |
        grep -A2 '^HOTTEST PAGES' | tail -n 1 |
        grep -Eq ' quarrel +0x3000 +0x[0-9a-f]+  [01] w [0-9]+/s, [01] w [0-9]+/s$'
}
for what in fought fight_shown; do # in the second that is looked at
    tries=0
    until $what; do
        if ((++tries == 60)); then
            fail "$what: the page that is fought over is not the first: $("$norma" top "$quarrel" -n 1) $(cat "$work/said.quarrel")"
            break
        fi
    done
done
kill -TERM "$quarrel"
wait "$quarrel" 2>/dev/null

# A task is the process that ps says it is.
pid=$("$norma" ps "$launcher" --json | python3 -c "import json, sys; print([t['pid'] for t in json.load(sys.stdin) if t['node'] == 1][0])")
[[ $(readlink "/proc/$pid/exe") == "$bin/heat" ]] || fail "process $pid is not the task"

# A node server that hangs: the others are shown, it is named, and the job goes on.
stuck=$(pgrep -P "$launcher" -f -- '--node 1 ')
kill -STOP "$stuck"
expect 0 "nothing of node 1: its node server does not answer" "$norma" ps "$launcher"
kill -CONT "$stuck"
shows "sorted(t['node'] for t in it) == [0, 0, 1]" "$norma" ps "$launcher" --json

# Garbage, a record that is none of a looker's, silence, and too many: all are closed or wait; the job answers others.
python3 - "$launcher" <<'END' || fail "what strangers say"
import os, socket, struct, sys
names = [line.split()[7][1:] for line in open('/proc/net/unix')
         if f'@norma-{os.geteuid()}-{sys.argv[1]}-' in line]
name = '\0' + names[0]
def talk(data):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(name)
    s.send(data)
    return s.recv(1)
assert talk(b'\xff' * 64) == b''                            # a length that cannot be
assert talk(struct.pack('<I', 3) + b'abc') == b''           # no record
assert talk(struct.pack('<IB', 1, 68)) == b''               # the order to shut down
crowd = []
for _ in range(100):                                        # who is one too many is closed again
    s = socket.socket(socket.AF_UNIX)
    s.connect(name)
    crowd.append(s)
for s in crowd:
    s.close()
END
expect 0 "heat" "$norma" ps "$launcher"

# Two jobs: one has to be named.
first=$launcher
job 1
expect 1 "there are 2 jobs: name one with --job" "$norma" top -n 1
expect 0 "heat" "$norma" stat 0.1 --job "$launcher"

# Other users see nothing of it and may not talk to it.
if [[ $(id -u) == 0 ]]; then
    cp "$norma" "$work/norma" && chmod 755 "$work" "$work/norma"
    expect 1 "there is no job $first of yours" setpriv --reuid 65534 --clear-groups "$work/norma" ps "$first"
    setpriv --reuid 65534 --clear-groups /usr/bin/python3 - "$first" <<'END' || fail "another user may talk to the launcher"
import socket, struct, sys
name = [line.split()[7][1:] for line in open('/proc/net/unix') if f'@norma-0-{sys.argv[1]}-' in line][0]
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect('\0' + name)
try:
    s.send(struct.pack('<IBQQ', 17, 69, 1, 0))
    assert s.recv(1) == b''
except (BrokenPipeError, ConnectionResetError):
    pass
END
fi

# The socket goes with the launcher, also if it is killed.
kill -KILL "$launcher"
wait "$launcher" 2>/dev/null
sleep 0.3
expect 1 "there is no job $launcher of yours" "$norma" ps "$launcher"
expect 0 "$first" "$norma" ps

# top ends with the job.
"$norma" top "$first" -d 0.1 >"$work/top" 2>&1 &
top=$!
sleep 0.5
kill -TERM "$first"
timeout 10 tail --pid=$top -f /dev/null || fail "top goes on after the job's end"
grep -q "norma top: job $first has ended" "$work/top" || fail "top does not say that the job has ended: $(tail -3 "$work/top")"

finish
