#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Kills a node server while node 1 leaves the job: its own, that of the node which is to have what was made there, or a
third one's, at a moment drawn at random. `norma drain` must end, and say what has become of the node; if it has left,
its death changes nothing; and in any case the job ends, and nothing stays behind. Every second time a file is open on
node 1, which a task on another one writes: it is lost with the node that it is with, and nothing else is.

Usage: deaths.py [--rounds N] [--seed N]; BUILD_DIR says where norma is. Prints the seed, which repeats the draws."""
import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "migration"))
from kills import BIN, PATIENCE, Job, Wrong, until  # noqa: E402

LEAVES, SUCCESSOR, THIRD = 1, 2, 3
LONGEST = 0.15  # seconds from the order to the death; a node leaves in a tenth
LONGEST_WITH_A_FILE = 0.06  # no task has to move


class DrainedJob(Job):
    """drain_app with what was made on node 1, which other tasks use as well."""

    def __init__(self, words):
        self.errors = tempfile.TemporaryFile("w+")
        self.launcher = subprocess.Popen(
            [f"{BIN}/norma", "run", "-N", "4", "-x", "tcp", "--wait", "block", f"{BIN}/drain_app", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True)
        self.servers, self.first = {}, None
        self.expect("begun")
        self.servers = {int(words[words.index("--node") + 1]): pid
                        for pid, words in self.processes() if "--node" in words}

    def drain(self):
        return subprocess.Popen([f"{BIN}/norma", "drain", str(LEAVES), "--job", str(self.launcher.pid)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def one_round(victim, later, folder, with_a_file):
    file = os.path.join(folder, "enough")
    words = ["file_survives_or_is_lost", folder] if with_a_file else ["everything_goes_on", str(LEAVES), file]
    job = DrainedJob(words)
    try:
        drain = job.drain()
        time.sleep(later)
        try:
            os.kill(job.servers[victim], signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has left
        said = drain.communicate(timeout=PATIENCE)[0].strip()
        with open(file, "w"):
            pass
        status = job.launcher.wait(PATIENCE)
        until("an end of all processes", lambda: not job.processes())
        if drain.returncode not in (0, 1) or (drain.returncode == 0) != said.startswith(f"node {LEAVES} has left"):
            raise Wrong(f"norma drain ends with {drain.returncode} and says: {said}")
        has_left = drain.returncode == 0
        if victim == LEAVES and has_left and status != 0:
            raise Wrong(f"the node had left, and the job ended with {status}")
        if with_a_file:
            end = job.launcher.stdout.read().strip()
            may_be_lost = (victim == LEAVES and not has_left) or (victim == SUCCESSOR and has_left)
            if status != 0 or end not in ("whole", "lost") or (end == "lost" and not may_be_lost):
                raise Wrong(f"{said}; the job ends with {status}, and says of its file: {end}")
            return f"{said}; the file is {end}"
        return f"{said}; the job ends with {status}"
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
    for index in range(line.rounds):
        victim = (LEAVES, SUCCESSOR, THIRD)[index % 3]
        with_a_file = index % 2 == 1
        later = draw.random() * (LONGEST_WITH_A_FILE if with_a_file else LONGEST)
        print(f"node {victim} dies after {later * 1000:.0f} ms: ", end="", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            print(one_round(victim, later, folder, with_a_file), flush=True)
    print("passed")


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"FAILED: {wrong}")
