#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Jobs on "several hosts": a launcher and joiners that are process trees of their own on this machine. They come
# together over 127.0.0.1, compute, and end in every way; each time what they say and their exit status are right, and
# nothing is left.
# Usage: BUILD_DIR=... tests/join/join.sh
set -u
source "$(dirname "${BASH_SOURCE[0]}")/jobs.sh"

# ---- they come together ----
for transport in tcp ucx; do
    begin "two hosts over $transport"
    launch -N 2 -x $transport "$bin/hello"
    join one
    ends launcher 0
    ends one 0
    says launcher "hello from node 0"
    says launcher "hello from node 1"
    says one "this is node 1 of 2"
    nothing_left
done

begin "the same bits as on one node, with a task that moves"
heat=("$bin/heat" --quiet --width 200 --height 150 --steps 60 --workers 2 --output "$work/out")
alone=$("$bin/norma" run -N 1 "${heat[@]}")
launch -N 2 -x tcp "${heat[@]}" --teleport-at 20:0:1 --teleport-at 40:0:0
join one -x tcp
ends launcher 0
ends one 0
[[ -n $alone ]] || fail "no hash"
says launcher "$alone"
nothing_left

begin "three hosts, two nodes on the first"
launch -N 4 --local 2 -x tcp "$bin/hello"
join one
join two
ends launcher 0
ends one 0
ends two 0
for node in 0 1 2 3; do
    says launcher "hello from node $node"
done
nothing_left

begin "a joiner that is there first"
join one
sleep 0.5
launch -N 2 -x tcp "$bin/hello"
ends launcher 0
ends one 0
nothing_left

begin "a key and a port of the launcher's choice"
setsid "$bin/norma" run --listen 127.0.0.1 -N 2 -x tcp "$bin/hello" >"$work/said.launcher" 2>&1 &
pid[launcher]=$!
wait_until launcher NORMA_JOB_KEY=
read -r key where < <(sed -nE 's/.*NORMA_JOB_KEY=(\w+) norma node --join (\S+)$/\1 \2/p' "$work/said.launcher")
NORMA_JOB_KEY=$key setsid "$bin/norma" node --join "$where" >"$work/said.one" 2>&1 &
pid[one]=$!
ends launcher 0
ends one 0
[[ ! -s $work/said.one ]] || fail "one says something"
nothing_left

# ---- who may not join ----
begin "wrong key, wrong transport, nobody's business: the job goes on waiting"
launch -N 2 -x tcp "$bin/hello"
wait_until launcher "norma node --join 127.0.0.1:$port"
setsid "$bin/norma" node --join "127.0.0.1:$port" --key-file "$work/wrong" >"$work/said.wrong" 2>&1 &
pid[wrong]=$!
ends wrong 1
says wrong "cannot join at 127.0.0.1:$port: wrong job key"
says launcher ": wrong job key"
join ucx -x ucx
ends ucx 1
says ucx "NORMA_TRANSPORT=ucx there, but NORMA_TRANSPORT=tcp in this job"
says launcher "NORMA_TRANSPORT=ucx there, but NORMA_TRANSPORT=tcp in this job"
for ((i = 0; i < 3; ++i)); do
    { printf 'GET / HTTP/1.0\r\n\r\n' >&3; } 3<>"/dev/tcp/127.0.0.1/$port"
done
head -c 100000 /dev/urandom 2>/dev/null >"/dev/tcp/127.0.0.1/$port"
wait_until launcher "did not say what a joiner says"
exec 4<>"/dev/tcp/127.0.0.1/$port" # and one that says nothing
join one
ends launcher 0
exec 4>&-
ends one 0
says launcher "hello from node 1"
says_times launcher 1 "did not say what a joiner says"
nothing_left

begin "what answers at the launcher's address is none"
python3 - "$port" >"$work/said.fake" 2>&1 <<'END' &
import socket, struct, sys

def read(connection):
    size, = struct.unpack("<I", connection.recv(4, socket.MSG_WAITALL))
    return connection.recv(size, socket.MSG_WAITALL)

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
connection, _ = listener.accept()
join = read(connection)
challenge, welcome = bytes([0x24]) + bytes(32), bytes([0x21]) + bytes(32) + struct.pack("<HHHHI", 1, 2, 2, 2, 0)
for text in b"/bin/true", b"/":
    welcome += struct.pack("<I", len(text)) + text
connection.sendall(struct.pack("<I", len(challenge)) + challenge)
proof = read(connection)
connection.sendall(struct.pack("<I", len(welcome)) + welcome)
print("open sesame" if b"open sesame" in join + proof else "heard no key", len(proof))
connection.recv(1)
END
pid[fake]=$!
join one
ends one 1
says one "what answers there does not know the job's key"
ends fake 0
says fake "heard no key 33"
nothing_left

begin "a late joiner"
long_job
join late
ends late 1
says late "the job has all its 2 nodes"
says launcher "the job has all its 2 nodes"
kill -TERM "${pid[launcher]}"
ends launcher 143
ends one 0
nothing_left

begin "a program that is not on the other host"
cp "$bin/hello" "$work/hello"
launch -N 2 -x tcp "$work/hello"
wait_until launcher "norma node --join"
mv "$work/hello" "$work/gone"
join one
ends one 1
says one "the program '$work/hello' is not there"
wait_until launcher "its place is free again"
says launcher "node 1: the program '$work/hello' is not there"
mv "$work/gone" "$work/hello"
join two
sleep 0.5
kill -TERM "${pid[launcher]}" # the library is not beside the copy, so it may have ended by itself
wait "${pid[launcher]}"
timeout 20 tail --pid="${pid[two]}" -f /dev/null || fail "two hangs"
says two "this is node 1 of 2"
nothing_left

begin "nobody comes"
launch -N 3 --join-timeout 1 -x tcp "$bin/hello"
join one
ends launcher 1
says launcher "node 2 has not joined within 1 s"
timeout 20 tail --pid="${pid[one]}" -f /dev/null || fail "one hangs"
nothing_left

begin "no launcher"
join one --join-timeout 1
ends one 1
says one "cannot join at 127.0.0.1:$port: Connection refused"

# ---- ends ----
begin "a joiner that is killed before the job begins"
launch -N 3 -x tcp "$bin/hello" # its third node holds it up
join one
wait_until launcher "node 1 is on"
kill -KILL "${pid[one]}"
wait_until launcher "its place is free again"
join two
join three
ends launcher 0
ends two 0
ends three 0
says launcher "hello from node 1"
says launcher "hello from node 2"
nothing_left

for transport in tcp ucx; do
    begin "a joiner that is killed over $transport"
    long_job $transport
    kill -KILL "${pid[one]}"
    ends launcher 1
    says launcher "norma: node 1 is gone (the connection to its host has ended)"
    nothing_left

    begin "a launcher that is killed over $transport"
    long_job $transport
    kill -KILL "${pid[launcher]}"
    ends one 1
    says one "the connection to the launcher has ended, and this node with it"
    nothing_left
done

begin "a node server that is killed on the other host"
long_job
kill -KILL "$(node_server 1)"
ends launcher 1
ends one 1
says launcher "norma: node 1 is gone (killed by signal 9)"
says one "the node server has ended (killed by signal 9)"
nothing_left

begin "SIGTERM for a joiner"
long_job
kill -TERM "${pid[one]}"
ends launcher 1
ends one 143
says launcher "norma: node 1 is gone (killed by signal 9)"
nothing_left

begin "a node server on the other host that does not end"
long_job
kill -STOP "$(node_server 1)"
kill -TERM "${pid[launcher]}"
ends launcher 143
says launcher "node 1 did not end within 3 s: killed"
timeout 20 tail --pid="${pid[one]}" -f /dev/null || fail "one hangs"
nothing_left

begin "a joiner that is stopped"
long_job
kill -STOP "${pid[one]}"
kill -TERM "${pid[launcher]}"
ends launcher 143
says launcher "node 1 did not end within 3 s: killed"
kill -CONT "${pid[one]}"
timeout 20 tail --pid="${pid[one]}" -f /dev/null || fail "one hangs"
nothing_left

export NORMA_LEASE=3s
begin "a node server that does not answer on the other host"
long_job
kill -STOP "$(node_server 1)"
ends launcher 1
ends one 1
says launcher "node 1 has not answered for NORMA_LEASE (3 s): it is ended"
says one "the connection to the launcher has ended, and this node with it"
nothing_left

begin "another host that is stopped, and goes on when it is thought dead"
launch -N 2 -x tcp sh -c "until [ -e $work/go ]; do sleep 0.1; done; echo still here"
join one
wait_until launcher "node 1 is on"
sleep 1 # the program runs
stopped=$(node_server 1)
kill -STOP "${pid[one]}" "$stopped"
wait_until launcher "node 1 has not answered for NORMA_LEASE (3 s): it is ended"
touch "$work/go"
ends launcher 0
says launcher "still here"
kill -CONT "$stopped" "${pid[one]}"
ends one 1
says one "the connection to the launcher has ended, and this node with it"
nothing_left
rm "$work/go"
unset NORMA_LEASE

begin "a program that fails"
launch -N 2 -x tcp /bin/sh -c 'exit 7'
join one
ends launcher 7
ends one 0
nothing_left

# ---- wrong input ----
begin "wrong input"
expect() {
    local text=$1 output
    shift
    output=$("$bin/norma" "$@" 2>&1)
    [[ $? == 2 && $output == *"$text"* ]] || fail "norma $*: no status 2 with '$text', but: $output"
}
: >"$work/said.none"
expect "--local 3 is more than -N 2" run -N 2 --listen 127.0.0.1 --local 3 /bin/true
expect "--listen" run -N 2 --local 1 /bin/true
expect "-x shm is for one machine" run -N 2 --listen 127.0.0.1 -x shm /bin/true
expect "'127.0.0.1:0' is not ADDRESS:PORT" run -N 2 --listen 127.0.0.1:0 /bin/true
expect "'$work/nokey': No such file" run -N 2 --listen 127.0.0.1 --key-file "$work/nokey" /bin/true
expect "no job key is given" node --join 127.0.0.1:1
expect "has no port" node --join 127.0.0.1 --key-file "$work/key"
expect "--join is required" node

report
