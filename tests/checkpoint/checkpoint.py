#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes running jobs down by `norma checkpoint`, kills them or lets them go on, and has `norma restart` let them go on
from there on other numbers of nodes: results must be what they are when nobody interferes. And what cannot be, and
files that are none, each with its reason.

Usage: checkpoint.py [--runs N] [--seed N] [PART...]; BUILD_DIR says where norma is."""
import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BIN = os.path.join(os.environ["BUILD_DIR"], "bin")
NORMA = os.path.join(BIN, "norma")
PATIENCE = 120  # seconds, of anything
# Why a job may not be written down at this moment.
PASSING = ("it has an open file", "cannot be stopped", "is being made", "do not stop", "there is no job",
           "has not been started yet")
QUIET = ["-x", "tcp", "--wait", "block"]


def check(true, what):
    if not true:
        raise RuntimeError(what)


def norma(*words, **options):
    return subprocess.run([NORMA, *words], capture_output=True, text=True, timeout=PATIENCE, **options)


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


class Job:
    """`norma run` or `norma restart` with these words."""

    def __init__(self, *words):
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([NORMA, *words], stdout=self.output, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.output.close()

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def wait_until(self, true, what):
        deadline = time.monotonic() + PATIENCE
        while not true():
            check(self.process.poll() is None, f"the job has ended with {self.process.poll()}: {self.said()}")
            check(time.monotonic() < deadline, f"it does not come to this: {what}")
            time.sleep(0.02)

    def tasks(self):
        shown = norma("ps", str(self.process.pid), "--json")
        return json.loads(shown.stdout) if shown.returncode == 0 else []

    def wait_for_tasks(self, count):
        self.wait_until(lambda: sum(task["state"] == "running" for task in self.tasks()) == count, f"{count} tasks")

    def wait_for(self, text):
        self.wait_until(lambda: text in self.said(), text)

    def write_down(self, file):
        """What it says; None if the job has ended before it could be."""
        while True:
            done = norma("checkpoint", file, "--job", str(self.process.pid), "--json")
            if done.returncode == 0:
                return json.loads(done.stdout)
            if self.process.poll() is not None or "has ended" in done.stderr:
                return None
            check(any(reason in done.stderr for reason in PASSING), done.stderr)

    def kill_everything(self):
        """As when the machine loses its power: nobody gets to say anything."""
        for server in children_of(self.process.pid):
            os.kill(server, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def end(self, status=0):
        try:
            got = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the job does not end: {self.said()}") from None
        check(got == status, f"the job has ended with {got}: {self.said()}")
        return self.said()


def run(nodes, *words):
    return Job("run", "-N", str(nodes), *QUIET, *words)


def restart(nodes, file):
    return Job("restart", "-N", str(nodes), *QUIET, file)


def hash_in(said):
    return next(line for line in said.splitlines() if line.startswith("hash:"))


# ---- whole applications ----

class Heat:
    workers = 3

    def __init__(self, folder):
        self.folder, self.steps = folder, 1000

    def words(self):
        return [f"{BIN}/heat", "--frames", "0", "--width", "256", "--height", "256", "--output", self.folder, "--steps",
                str(self.steps), "--workers", str(self.workers)]

    def longer(self):
        self.steps *= 2


class Cg:
    workers = 2

    def __init__(self, folder):
        self.matrix, self.side = os.path.join(folder, "grid.mtx"), 80
        self.make()

    def make(self):
        subprocess.run([f"{BIN}/cg", "--generate", f"laplace2d:{self.side}", self.matrix], check=True)

    def words(self):
        return [f"{BIN}/cg", self.matrix, "--rhs", "random", "--tol", "1e-12", "--workers", str(self.workers)]

    def longer(self):
        self.side += self.side // 2
        self.make()


def application(program, file, draw, killed):
    """Long enough to be written down in mid-run; killed or not, the result is that of a run in peace."""
    while True:
        with run(2, *program.words()) as job:
            expected = hash_in(job.end())
        with run(2, *program.words()) as job:
            try:
                job.wait_for_tasks(program.workers + 1)
            except RuntimeError:
                check(job.process.poll() == 0, job.said())
            time.sleep(draw.random() * 0.2)
            taken = job.write_down(file) if job.process.poll() is None else None
            if taken is None:
                program.longer()
                continue
            if killed:
                job.kill_everything()
            else:
                check(hash_in(job.end()) == expected, "the job that went on has another result")
        for nodes in (1, 2, 3):
            with restart(nodes, file) as job:
                check(hash_in(job.end()) == expected, f"on {nodes} nodes the result is another one")
        print(f"{type(program).__name__}: {taken['bytes']} bytes, the job paused for {taken['pause_us']} us", flush=True)
        return


def heat(folder, draw):
    application(Heat(folder), os.path.join(folder, "heat.checkpoint"), draw, killed=False)


def cg(folder, draw):
    application(Cg(folder), os.path.join(folder, "cg.checkpoint"), draw, killed=True)


# ---- a program that looks at everything it has (app.cpp) ----

def app_words(folder, *reason):
    stop = os.path.join(folder, "stop")
    if os.path.exists(stop):
        os.remove(stop)
    return [f"{BIN}/checkpoint_app", *reason, stop]


def let_end(folder, job):
    with open(os.path.join(folder, "stop"), "w"):
        pass
    check("fine" in job.end(), "the program has not said that all is fine")


def everything(folder, draw):
    first, second = (os.path.join(folder, name) for name in ("first", "second"))
    with run(2, *app_words(folder)) as job:
        job.wait_for("ready")
        job.wait_for_tasks(5)
        moved = draw.choice(job.tasks())  # others go on calling it what it was
        norma("migrate", moved["task"], str(1 - moved["node"]), "--job", str(job.process.pid))
        for _ in range(2):
            time.sleep(draw.random() * 0.1)
            taken = job.write_down(first)
            check(taken["nodes"] == 2 and taken["file"] == first and taken["bytes"] == os.path.getsize(first),
                  f"it says {taken}")
        job.kill_everything()
    for nodes in (1, 2, 3):
        app_words(folder)
        with restart(nodes, first) as job:
            job.wait_for_tasks(5)
            time.sleep(draw.random() * 0.1)
            if nodes == 3:
                job.write_down(second)
            let_end(folder, job)
    app_words(folder)
    with restart(2, second) as job:  # of a job that was restarted itself
        job.wait_for_tasks(5)
        let_end(folder, job)
    print("everything: fine", flush=True)


# ---- what cannot be written down ----

REFUSALS = {
    "file": "it has an open file besides the standard streams",
    "port": "it has rights to ports",
    "timer": "it has timers made by timer_create",
    "suspended": "it is suspended",
    "wired": "it has wired memory",
    "thread": "a thread that norma has not made",
}


def refused(folder, _draw):
    file = os.path.join(folder, "refused.checkpoint")
    with open(file, "w") as old:
        old.write("old")
    for reason, said in REFUSALS.items():
        with run(1, *app_words(folder, reason)) as job:
            job.wait_for("ready")
            done = norma("checkpoint", file, "--job", str(job.process.pid))
            check(done.returncode == 1 and said in done.stderr and "goes on" in done.stderr, f"{reason}: {done.stderr}")
            let_end(folder, job)
    with run(2, *app_words(folder)) as job:
        job.wait_for("ready")
        server = children_of(job.process.pid)[1]
        os.kill(server, signal.SIGSTOP)
        asking = [subprocess.Popen([NORMA, "checkpoint", file, "--job", str(job.process.pid)], stderr=subprocess.PIPE,
                                   text=True) for _ in range(2)]
        job.wait_until(lambda: any(one.poll() is not None for one in asking), "one of two is refused")
        asking.sort(key=lambda one: one.poll() is None)
        _, said = asking[0].communicate(timeout=PATIENCE)
        check(asking[0].returncode == 1 and "another checkpoint" in said, said)
        os.kill(server, signal.SIGKILL)
        _, said = asking[1].communicate(timeout=PATIENCE)
        check(asking[1].returncode == 1 and ("node 1 has died" in said or "has ended" in said), said)
    with open(file) as old:
        check(old.read() == "old", "a checkpoint that failed has changed the file")
    left = [name for name in os.listdir(folder) if "refused" in name]
    check(left == ["refused.checkpoint"], f"left behind: {left}")
    print("refused: each with its reason", flush=True)


def given_up(folder, draw):
    """Whoever makes a checkpoint may be killed at any moment."""
    file = os.path.join(folder, "given-up.checkpoint")
    with run(2, *app_words(folder)) as job:
        job.wait_for("ready")
        for kind in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
            asking = subprocess.Popen([NORMA, "checkpoint", file, "--job", str(job.process.pid)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(draw.random() * 0.1)
            asking.send_signal(kind)
            asking.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while True:
            done = norma("checkpoint", file, "--job", str(job.process.pid))
            if done.returncode == 0:
                break
            check("another checkpoint" in done.stderr or any(reason in done.stderr for reason in PASSING), done.stderr)
            check(time.monotonic() < deadline, "no further checkpoint can be made")
        let_end(folder, job)
    print("given up: the job goes on", flush=True)


# ---- files ----

def no_file(folder, draw):
    whole = os.path.join(folder, "whole")
    shutil.copy(f"{BIN}/checkpoint_app", os.path.join(folder, "program"))
    with run(1, os.path.join(folder, "program"), *app_words(folder)[1:]) as job:
        job.wait_for("ready")
        for path, reason in ((os.path.join(folder, "missing", "file"), "No such file"), (folder, "is not a file")):
            done = norma("checkpoint", path, "--job", str(job.process.pid))
            check(done.returncode == 1 and reason in done.stderr, done.stderr)
        full = norma("checkpoint", os.path.join(folder, "full"), "--job", str(job.process.pid),
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
        check(full.returncode == 1 and "cannot be written: File too large" in full.stderr, full.stderr)
        check(not [name for name in os.listdir(folder) if name.startswith("full")], "a part of a file is left behind")
        job.write_down(whole)
        let_end(folder, job)
    with open(whole, "rb") as file:
        good = file.read()
    bad = os.path.join(folder, "bad")

    def refuses(content, *reasons):
        with open(bad, "wb") as file:
            file.write(content)
        done = norma("restart", bad)
        check(done.returncode == 1 and any(reason in done.stderr for reason in reasons), f"{reasons}: {done.stderr}")

    refuses(b"", "is empty")
    refuses(b"norma", "is cut off")
    refuses(random.Random(1).randbytes(5000), "is not a checkpoint")
    refuses(good[:16] + b"\x07" + good[17:], "another version of norma")
    refuses(good[:21] + b"\x40" + good[22:], "pages of another size")
    refuses(good + b"x", "goes on behind its end")
    for _ in range(5):
        refuses(good[:draw.randrange(24, len(good))], "is cut off", "is damaged")
    for _ in range(10):
        place = draw.randrange(24, len(good))
        refuses(good[:place] + bytes([good[place] ^ 1 << draw.randrange(8)]) + good[place + 1:], "is cut off",
                "is damaged")
    check(norma("restart", os.path.join(folder, "none")).returncode == 1, "a file that is not there is refused")
    shutil.copy(f"{BIN}/heat", os.path.join(folder, "program"))
    done = norma("restart", whole)
    check(done.returncode == 1 and "no process of" in done.stderr, done.stderr)
    os.remove(os.path.join(folder, "program"))
    done = norma("restart", whole)
    check(done.returncode != 0 and "program" in done.stderr, done.stderr)
    print("no file: each with its reason", flush=True)


PARTS = {part.__name__: part for part in (heat, cg, everything, refused, given_up, no_file)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("part", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    line = parser.parse_args()
    print(f"seed {line.seed}", flush=True)
    draw = random.Random(line.seed)
    for _ in range(line.runs):
        for part in line.part or PARTS:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                PARTS[part](folder, draw)
            print(f"  {time.monotonic() - begun:.1f} s", flush=True)
    print("passed")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"FAILED: {error}")
