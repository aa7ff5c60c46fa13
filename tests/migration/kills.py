#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Kills a node server while a task moves from node 1 to node 2: the source's, the target's or a third one's, at each
step that can be seen from outside, and a moment drawn at random later. The task must go on exactly once, or be lost with
the node that was killed, and nobody who waits for something may wait for ever.

Usage: kills.py [--rounds N] [--seed N]; BUILD_DIR says where norma is. Prints the seed, which repeats the draws."""
import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

BIN = os.path.join(os.environ["BUILD_DIR"], "bin")
PROGRAM = f"{BIN}/migration_app"
THREADS = 4  # of the task, that compute
PATIENCE = 60  # seconds, for anything; nothing here takes more than a few
LATER = 0.004  # seconds after the step, at most
SOURCE, TARGET, THIRD = 1, 2, 3
SUCCESS, INVALID_TASK, NODE_DOWN = 0, 16, 47  # KERN_...
LOST_PAGE = int(signal.SIGBUS)  # the only copy of it was on the node


class Wrong(Exception):
    pass


def until(what, found):
    """Waits for a true value and returns it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
    raise Wrong(f"in {PATIENCE} s there is not: {what}")


def read(path):
    """Of a process that may have ended."""
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def words_of(pid):
    """None of a zombie."""
    return read(f"/proc/{pid}/cmdline").split("\0")[:-1]


class Stat:
    def __init__(self, pid):
        words = read(f"/proc/{pid}/stat").rsplit(")", 1)[-1].split() or ["0"] * 20
        self.parent, self.session, self.ticks, self.threads = (int(words[i]) for i in (1, 3, 11, 17))


class Job:
    """migration_app with a task on node 1, which is asked to move to node 2 when the first task is told to."""

    def __init__(self):
        self.errors = tempfile.TemporaryFile("w+")
        self.launcher = subprocess.Popen(
            [f"{BIN}/norma", "run", "-N", "4", "-x", "tcp", "--wait", "block", PROGRAM, "moves_when_told"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True)
        self.servers, self.first = {}, None
        self.expect("begun")
        self.servers = {int(words[words.index("--node") + 1]): pid
                        for pid, words in self.processes() if "--node" in words}
        self.first = self.tasks(0)[0]

    def processes(self):
        """All of the job that live, orphans too: each server has a session of its own, in which its tasks are."""
        found = []
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            stat, words = Stat(pid), words_of(pid)
            ours = stat.parent == self.launcher.pid or stat.session in [self.launcher.pid, *self.servers.values()]
            found += [(pid, words)] if ours and words else []
        return found

    def tasks(self, node):
        """The processes of the tasks there, found faster."""
        server = self.servers[node]
        return [int(pid) for pid in read(f"/proc/{server}/task/{server}/children").split() if words_of(pid)]

    def programs(self):
        """The processes of all tasks but the first, wherever they are."""
        return [pid for pid, words in self.processes() if words[0] == PROGRAM and pid != self.first]

    def expect(self, key):
        """The numbers that follow the word in the next line of the first task."""
        line = self.launcher.stdout.readline()
        if not line.startswith(key):
            raise Wrong(f"'{line.strip()}' instead of '{key}'")
        return [int(word) for word in line.split()[1:]]

    def tell(self):
        self.launcher.stdin.write("\n")
        self.launcher.stdin.flush()

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def computing(self):
        """Those of the tasks that get on."""
        before = {pid: Stat(pid).ticks for pid in self.programs()}
        time.sleep(0.1)
        return [pid for pid, ticks in before.items() if Stat(pid).ticks > ticks]

    def settled(self):
        """Whether no task is left, or one that gets on: of two, one has yet to be ended."""
        tasks = self.programs()
        return not tasks or (len(tasks) == 1 and self.computing() == tasks)

    def end(self):
        if self.launcher.wait(PATIENCE) != 0:
            raise Wrong(f"the job ended with {self.launcher.returncode}")
        until("an end of all processes", lambda: not self.processes())

    def kill(self):
        for pid, _ in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.launcher.wait()


# What can be seen of a move, from the moment on at which it is asked for; the kill comes after it.
STEPS = {
    "asked": lambda job: True,
    "a child": lambda job: job.tasks(TARGET),
    "its threads": lambda job: any(Stat(pid).threads > THREADS for pid in job.tasks(TARGET)),
    "the old one's end": lambda job: job.tasks(TARGET) and not job.tasks(SOURCE),
}


def judge(victim, status, runs, ended, how):
    """What may have become of the task when it has moved or not, has run on at the end or not."""
    if victim == THIRD:  # a part of the heap has its home there, so that the task may have to stay where it is
        return runs and (ended, how) == (SUCCESS, 0)
    if victim == TARGET:  # then it has not moved, or is lost
        stays = status != SUCCESS and runs and (ended, how) == (SUCCESS, 0)
        return stays or (not runs and ended == NODE_DOWN)
    # What others call the task is not good any more.
    return (ended, how) in ((SUCCESS, 0), (SUCCESS, LOST_PAGE), (NODE_DOWN, 0)) and (runs or (ended, how) != (SUCCESS, 0))


def one_round(victim, step, later):
    job = Job()
    try:
        job.tell()
        until(step, lambda: STEPS[step](job))
        time.sleep(later)
        os.kill(job.servers[victim], signal.SIGKILL)
        status, = job.expect("status")
        if status not in (SUCCESS, INVALID_TASK, NODE_DOWN):
            raise Wrong(f"the move ended with {status}")
        until("a task that gets on, or none", job.settled)
        runs = bool(job.programs())
        job.tell()
        ended, how = job.expect("ended")
        outcome = f"the move gives {status}, the task {'goes on' if runs else 'is lost'}, its end {ended}, {how}"
        if not judge(victim, status, runs, ended, how):
            raise Wrong(outcome)
        job.end()
        return outcome
    except (Wrong, subprocess.TimeoutExpired) as wrong:
        raise Wrong(f"{wrong}; on standard error: {job.said()}")
    finally:
        job.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    line = parser.parse_args()
    print(f"seed {line.seed}", flush=True)
    draw = random.Random(line.seed)
    for number in range(line.rounds):
        victim = (SOURCE, TARGET, THIRD)[number % 3]
        step = list(STEPS)[number // 3 % len(STEPS)]
        later = draw.random() * LATER
        print(f"{number}: node {victim} killed {later * 1000:.1f} ms after {step}", end=": ", flush=True)
        print(one_round(victim, step, later), flush=True)
    print("passed")


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"FAILED: {wrong}")
