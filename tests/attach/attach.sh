#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Processes that attach themselves to a running job: what they can do there, who is turned away and why, what becomes of
# the job when they end, and of them when the job does.
# Usage: SOURCE_DIR=... BUILD_DIR=... tests/attach/attach.sh
set -u
source "$SOURCE_DIR/tests/attach/job.sh"
guest=$bin/attach_guest

# background NAME JOB NODE WHAT...: a guest, as `process`, which says things into $work/NAME.
background() {
    local name=$1
    shift
    : >"$work/$name" # what the one before has said must not be taken for its words
    "$guest" "$@" >"$work/$name" 2>&1 &
    process=$!
}

for transport in tcp shm; do
    job "$transport" awaits waiter
    expect 0 "met" "$guest" "$launcher" 0 meets
    expect 0 "met" "$guest" "$launcher" 1 meets
    background waiter "$launcher" 1 waits_for waiter
    wait_for "ended with 0x700" "$said"
    ends 7 "$process"
    # The lock of a guest that is killed is free, and who gets it is told.
    background holder "$launcher" 1 holds
    wait_for held "$work/holder"
    "$norma" ps "$launcher" >"$work/ps"
    grep -q " $process .*attach_guest" "$work/ps" || fail "norma ps does not show the guest: $(cat "$work/ps")"
    kill -KILL "$process"
    ends 137 "$process"
    expect 0 "found" "$guest" "$launcher" 0 finds_lock_of_dead
    "$norma" ps "$launcher" >"$work/ps"
    grep -q attach_guest "$work/ps" && fail "norma ps shows a guest that is gone: $(cat "$work/ps")"
    expect 0 "stopped" "$guest" "$launcher" 0 stops
    job_ends "guarded: 200"
done

# A job can end a guest; that has not failed.
job shm ends victim
background victim "$launcher" 1 waits_for victim
wait_for ended "$said"
ends 137 "$process"

# What cannot be done with it.
expect 0 "refused" "$guest" "$launcher" 1 is_refused
expect 0 "no more in the way" "$guest" "$launcher" 0 in_the_way
background mover "$launcher" 0 waits_for mover
wait_for waits "$work/mover"
task=$("$norma" ps "$launcher" --json | python3 -c "import json, sys; print([t['task'] for t in json.load(sys.stdin) if t['pid'] == $process][0])")
expect 1 "it has attached itself" "$norma" migrate "$task" 1 --job "$launcher"
kill -KILL "$process"
ends 137 "$process"

# Who is turned away.
expect 1 "15: there is no job 1 of yours on this machine" "$guest" 1 0 tries
expect 1 "22: job $launcher has no node 2 on this machine, but 0, 1" "$guest" "$launcher" 2 tries
expect 1 "15: there is no job 77 of yours" env NORMA_JOB=77 "$guest" 0 0 tries
expect 1 "4: NORMA_JOB=x" env NORMA_JOB=x "$guest" 0 0 tries
expect 0 "" env NORMA_JOB="$launcher" "$guest" 0 -1 tries
# There is only one, unless somebody else runs jobs here, too.
only=$("$guest" 0 -1 tries) || [[ $only == *"jobs of yours on this machine"* ]] || fail "a guest that names no job: $only"
expect 1 "16: this process is a task that norma has started" "$norma" run -N 1 "$guest" "$launcher" 0 tries
if [[ $(id -u) == 0 ]]; then
    mkdir "$work/other"
    cp "$guest" "$BUILD_DIR"/lib/libnorma.so* "$work/other" && chmod -R 755 "$work"
    as_nobody=(setpriv --reuid 65534 --clear-groups env LD_LIBRARY_PATH="$work/other" "$work/other/attach_guest")
    expect 1 "35: job $launcher is another user's" "${as_nobody[@]}" "$launcher" 0 tries
fi

# Strangers: another user's connection, one that says nothing, one that talks nonsense, a crowd. The job goes on.
python3 - "$launcher" <<'END' || fail "what strangers are told"
import os, socket, struct, sys
name = [line.split()[7][1:] for line in open('/proc/net/unix')
        if f'@norma-node-{os.geteuid()}-{sys.argv[1]}-0-' in line][0]
def knock():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect('\0' + name)
    return s
def greeting(s):
    magic, protocol, status = struct.unpack('<QIi', s.recv(65536)[:16])
    return status
silent = knock()
assert greeting(silent) == 0
assert greeting(knock()) == 16          # a process is one task
silent.close()
babbler = knock()
assert greeting(babbler) == 0           # now it is another one
for packet in (b'x', b'\xff' * 32, b'\xff' * 5000, struct.pack('<IIQQQ', 5, 0, 4096, 4096, 0)):
    babbler.send(packet)
babbler.send(struct.pack('<IIQQQ', 1, 0, 99, 0, 0)) # hello, of another version, and with no userfaultfd
assert babbler.recv(1) == b''           # and it is alive to say so
if os.geteuid() == 0:
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setuid(65534)
        os._exit(0 if greeting(knock()) == 35 else 1)
    assert os.waitpid(pid, 0)[1] == 0
END
expect 0 "met" "$guest" "$launcher" 0 meets

# Node servers of another version, and those that end before they answer.
other=$((10000000 + $$)) ending=$((20000000 + $$)) # no process has such a number
python3 - $other $ending <<'END' >"$work/fake" &
import os, socket, struct, sys
def listen(job):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.bind(f'\0norma-node-{os.geteuid()}-{job}-0-0')
    s.listen()
    return s
other, ending = listen(sys.argv[1]), listen(sys.argv[2])
print('listens', flush=True)
s, _ = other.accept()
s.send(struct.pack('<QIi', 0x6f6f446d726f4e21, 99, 0))
ending.accept()[0].close()
END
fake=$!
wait_for listens "$work/fake"
expect 1 "46: job $other is one of another version of norma" "$guest" $other 0 tries
expect 1 "37: job $ending is ending" "$guest" $ending 0 tries
ends 0 "$fake"
# A node server that hangs.
stuck=$(pgrep -P "$launcher" -f -- '--node 1 ')
kill -STOP "$stuck"
expect 1 "49: node 1 of job $launcher does not answer" "$guest" "$launcher" 1 tries
kill -CONT "$stuck"
expect 0 "met" "$guest" "$launcher" 1 meets

# The job ends, its launcher is killed, the node server is killed: those who have come outlive it.
background first "$launcher" 0 outlives
ends_first=$process
background second "$launcher" 1 outlives
wait_for waits "$work/first"
wait_for waits "$work/second"
expect 0 "stopped" "$guest" "$launcher" 0 stops
job_ends "guests: 2, guarded: 200"
ends 5 "$ends_first"
ends 5 "$process"
for name in first second; do
    grep -q outlived "$work/$name" || fail "the guest says: $(cat "$work/$name")"
done
for victim in launcher server; do
    job tcp
    background first "$launcher" 1 outlives
    wait_for waits "$work/first"
    if [[ $victim == launcher ]]; then
        kill -KILL "$launcher"
    else
        kill -KILL "$(pgrep -P "$launcher" -f -- '--node 1 ')"
    fi
    ends 5 "$process"
    grep -q outlived "$work/first" || fail "the guest says: $(cat "$work/first")"
    kill -TERM "$launcher" 2>/dev/null
    wait "$launcher"
done

# It waits for a job that is not there yet.
said=$work/said.late
bash -c 'sleep 1; exec "$@"' - "$norma" run -N 2 -x shm "$bin/attach_host" >"$said" 2>&1 &
launcher=$!
jobs+=("$launcher")
background early "$launcher" 1 meets
wait_for met "$work/early"
ends 0 "$process"
# With two jobs one has to be named.
first=$launcher
job shm
refused "jobs of yours on this machine: name one (" "$guest" 0 0 tries
[[ $("$guest" 0 0 tries) == *"$launcher"* ]] || fail "job $launcher is not listed"
expect 0 "" "$guest" "$first" 0 tries
finish
