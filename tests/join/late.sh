#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Nodes that join a job while it runs: `norma join` on the launcher's machine and `norma node --join` from "another
# host". What was there before is there for them, tasks move to them, they die like any node; one that dies while it
# joins leaves the job as it was, and who may not join hears why.
# Usage: BUILD_DIR=... tests/join/late.sh
set -u
source "$(dirname "${BASH_SOURCE[0]}")/jobs.sh"
app=$bin/late_app
plain=$bin/late_app_plain # not a whole program: the end of a node does not cost it its heap

# start OPTIONS... PROGRAM...: a job on this machine alone.
start() {
    setsid "$bin/norma" run "$@" >"$work/said.launcher" 2>&1 &
    pid[launcher]=$!
}
# norma join, in the background, as WHO.
add() {
    "$bin/norma" join --job "${pid[launcher]}" >"$work/said.$1" 2>&1 &
    pid[$1]=$!
}
# adds NUMBER: one more node, which gets that number.
adds() {
    add join
    ends join 0
    [[ $(<"$work/said.join") == "$1" ]] || fail "norma join says $(<"$work/said.join") instead of $1"
}
migrates() {
    "$bin/norma" migrate --job "${pid[launcher]}" "$@" >"$work/said.migrate" 2>&1 || fail "norma migrate $*"
}
# The numbers of the nodes that answer.
nodes_seen() {
    "$bin/norma" top "${pid[launcher]}" -n 1 -d 0.1 --json 2>/dev/null |
        python3 -c 'import json, sys; print(*[n["node"] for n in json.load(sys.stdin)["nodes"]])'
}

for transport in tcp shm; do
    begin "tasks that go to nodes that were not there at first, over $transport"
    start -N 1 -x $transport "$app" together "$work/stop"
    wait_until launcher ready
    adds 1
    adds 2
    [[ $(nodes_seen) == "0 1 2" ]] || fail "norma top shows nodes $(nodes_seen)"
    migrates 0.2 1
    migrates 0.3 2
    migrates 0.1 2
    touch "$work/stop"
    ends launcher 0
    says launcher "the same bits"
    rm "$work/stop"
    nothing_left

    begin "names, heap and tasks of a job that grows, over $transport"
    start -N 2 -x $transport "$app" grow 3
    wait_until launcher ready
    adds 2
    ends launcher 0
    says launcher grown
    nothing_left
done

begin "a node that has joined dies"
start -N 1 -x tcp "$plain" survive
wait_until launcher ready
adds 1
wait_until launcher "at work"
kill -KILL "$(node_server 1)"
wait_until launcher alone
adds 2
ends launcher 0
says launcher survived
says launcher "node 1 is gone (killed by signal 9)"
nothing_left

begin "memory whose home has moved, and whose first home is dead"
start -N 2 -x tcp "$app" follow "$work/stop"
wait_until launcher ready
migrates 0.1 1
kill -KILL "$(node_server 0)"
wait_until launcher "node 0 is gone"
adds 2
migrates 1.1 2
touch "$work/stop"
ends launcher 0
says launcher "the same on node 2 of 3"
rm "$work/stop"
nothing_left

begin "a node that dies while another has still to meet it"
NORMA_LOG=info start -N 2 -x tcp "$app" grow 4
wait_until launcher ready
stopped=$(node_server 1)
kill -STOP "$stopped"
add join
wait_until launcher "node 2 joins" # says node 0
kill -KILL "$(node_server 2)"
ends join 1
says join "killed by signal 9"
kill -CONT "$stopped"
[[ $(nodes_seen) == "0 1" ]] || fail "norma top shows nodes $(nodes_seen)"
adds 3 # nobody knows how much of the job had heard of number 2
ends launcher 0
says launcher grown
says launcher "node 2 has not joined (killed by signal 9)"
nothing_left

begin "a node dies that another one waits for while it joins, and the next one waits for that"
NORMA_LOG=info start -N 3 -x tcp "$app" follow "$work/stop"
wait_until launcher ready
kill -STOP "$(node_server 1)"
add first
wait_until launcher "node 3 joins"
add second
kill -KILL "$(node_server 1)"
ends first 0
ends second 0
[[ $(sort "$work"/said.{first,second} | xargs) == "3 4" ]] || fail "the new nodes are not 3 and 4"
touch "$work/stop"
ends launcher 0
says launcher "the same on node 0 of 5"
rm "$work/stop"
nothing_left

begin "nodes that are killed at any moment of joining"
start -N 2 -x tcp "$app" follow "$work/stop"
wait_until launcher ready
for ((round = 0; round < 6; ++round)); do
    before=$(processes)
    add join
    for tries in {1..400}; do
        new=$(comm -13 <(sort <<<"$before") <(processes | sort) | while read -r one; do
            grep -qs -- normad "/proc/$one/cmdline" && echo "$one"
        done)
        [[ -n $new ]] && break
    done
    sleep "0.0$((round * 2 % 10))"
    xargs -r kill -KILL <<<"$new"
    timeout 60 tail -s 0.05 --pid="${pid[join]}" -f /dev/null || fail "norma join hangs"
done
add join
ends join 0
last=$(<"$work/said.join")
migrates 0.1 "$last"
touch "$work/stop"
ends launcher 0
says launcher "the same on node $last of $((last + 1))"
rm "$work/stop"
nothing_left

begin "from another host"
launch -N 1 --max-nodes 3 -x tcp "$app" follow "$work/stop"
wait_until launcher ready
says launcher "nodes may join: norma node --join 127.0.0.1:$port"
setsid "$bin/norma" node --join "127.0.0.1:$port" --key-file "$work/wrong" >"$work/said.wrong" 2>&1 &
pid[wrong]=$!
ends wrong 1
says wrong "wrong job key"
join other -x ucx
ends other 1
says other "NORMA_TRANSPORT=ucx there, but NORMA_TRANSPORT=tcp in this job"
join one
wait_until one "this is node 1 of 2"
join two
wait_until two "this is node 2 of 3"
join three
ends three 1
says three "the job has all its 3 nodes"
migrates 0.1 2
touch "$work/stop"
ends launcher 0
ends one 0
ends two 0
says two "the same on node 2 of 3"
rm "$work/stop"
nothing_left

begin "from another host, which goes again"
launch -N 1 --max-nodes 3 -x tcp "$plain" survive
wait_until launcher ready
join one
wait_until launcher "at work"
kill -KILL "${pid[one]}"
wait_until launcher alone
join two
ends launcher 0
ends two 0
says launcher survived
nothing_left

begin "who may not join"
launch -N 1 -x tcp "$app" grow 2
wait_until launcher ready
join one
ends one 1
says one "the job has all its 1 nodes"
if [[ $(id -u) == 0 ]]; then
    cp "$bin/norma" "$work/norma" && chmod 755 "$work" "$work/norma"
    setpriv --reuid 65534 --clear-groups "$work/norma" join --job "${pid[launcher]}" >"$work/said.other" 2>&1
    says other "there is no job ${pid[launcher]} of yours"
fi
adds 1
ends launcher 0
nothing_left

begin "no room"
start -N 1 --max-nodes 1 -x tcp "$app" follow "$work/stop"
wait_until launcher ready
add join
ends join 1
says join "the job has room for 1 nodes (norma run --max-nodes)"
touch "$work/stop"
ends launcher 0
nothing_left
"$bin/norma" run -N 2 --max-nodes 1 "$bin/hello" >"$work/said.launcher" 2>&1
says launcher "--max-nodes 1 is less than the 2 nodes that the job begins with"
"$bin/norma" join --job 1 >"$work/said.join" 2>&1
says join "there is no job 1 of yours"

report
