#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Moves tasks of apps/heat and apps/cg by `norma migrate`, at moments and to nodes drawn at random, while they
compute: their results must be what they are when nothing moves.

Usage: programs.py [--runs N] [--seed N]; BUILD_DIR says where norma is. Prints the seed, which repeats the draws."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time

BIN = os.path.join(os.environ["BUILD_DIR"], "bin")
MOVES = 10  # a run
PATIENCE = 120  # seconds, of a run
# Why a task may stay where it is, at the beginning or the end of its program.
REASONS = ("it has an open file", "cannot be stopped", "there is no such task", "has ended", "there is no job")


def norma(*words):
    return subprocess.run([os.path.join(BIN, "norma"), *words], capture_output=True, text=True, timeout=PATIENCE)


class Run:
    """A program under `norma run`, whose tasks move while it computes."""

    def __init__(self, words, nodes, draw):
        self.nodes, self.draw = nodes, draw
        self.output = tempfile.TemporaryFile("w+")
        self.job = subprocess.Popen(
            [os.path.join(BIN, "norma"), "run", "-N", str(nodes), "-x", "tcp", "--wait", "block", *words],
            stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/")

    def tasks(self):
        shown = norma("ps", str(self.job.pid), "--json")
        return json.loads(shown.stdout) if shown.returncode == 0 else []

    def move_one(self, tasks):
        task = self.draw.choice(sorted(tasks, key=lambda one: one["task"]))
        node = self.draw.choice([node for node in range(self.nodes) if node != task["node"]])
        how = self.draw.choice([[], ["--lazy"], ["--precopy"]])
        said = norma("migrate", task["task"], str(node), "--job", str(self.job.pid), *how)
        if said.returncode != 0 and not any(reason in said.stderr for reason in REASONS):
            raise RuntimeError(said.stderr)
        return said.returncode == 0

    def move_about(self, workers):
        """How often a task has moved until the program ended."""
        moves = 0
        deadline = time.monotonic() + PATIENCE
        while self.job.poll() is None and time.monotonic() < deadline:
            time.sleep(self.draw.random() * 0.05)
            tasks = [task for task in self.tasks() if task["state"] == "running"]
            if moves < MOVES and len(tasks) == workers + 1:
                moves += self.move_one(tasks)
        return moves

    def end(self):
        """The lines it has written; it must have ended well."""
        try:
            status = self.job.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.job.kill()
            raise RuntimeError("the program does not end")
        self.output.seek(0)
        said = self.output.read()
        if status != 0:
            raise RuntimeError(f"the program ended with {status}: {said}")
        return said.splitlines()


def line_of(said, key):
    return next(line for line in said if line.startswith(key))


class Heat:
    """Compares with one task's result by itself, which is under way for a part of the time."""

    def __init__(self, folder):
        self.folder, self.steps = folder, 1500

    def words(self, workers):
        return [f"{BIN}/heat", "--verify", "--frames", "0", "--width", "384", "--height", "256", "--output", self.folder,
                "--steps", str(self.steps), "--workers", str(workers)]

    def longer(self):
        self.steps *= 2

    def check(self, said):
        line_of(said, "verify: ok")


class Cg:
    def __init__(self, folder):
        self.matrix, self.side, self.hash = os.path.join(folder, "grid.mtx"), 60, None
        self.make()

    def make(self):
        subprocess.run([f"{BIN}/cg", "--generate", f"laplace2d:{self.side}", self.matrix], check=True)
        job = Run(self.words(1), 1, None)
        self.hash = line_of(job.end(), "hash:")

    def words(self, workers):
        return [f"{BIN}/cg", self.matrix, "--rhs", "random", "--tol", "1e-12", "--workers", str(workers)]

    def longer(self):
        self.side += self.side // 2
        self.make()

    def check(self, said):
        if line_of(said, "hash:") != self.hash:
            raise RuntimeError(f"{line_of(said, 'hash:')} instead of {self.hash}")


def one_run(program, draw):
    """Until one has lasted for all moves."""
    while True:
        nodes, workers = draw.randint(2, 4), draw.randint(2, 4)
        run = Run(program.words(workers), nodes, draw)
        begun = time.monotonic()
        moves = run.move_about(workers)
        program.check(run.end())
        print(f"{type(program).__name__}: {nodes} nodes, {workers} workers, {moves} moves, "
              f"{time.monotonic() - begun:.1f} s", flush=True)
        if moves == MOVES:
            return
        program.longer()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2, help="of each program")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    line = parser.parse_args()
    print(f"seed {line.seed}", flush=True)
    draw = random.Random(line.seed)
    with tempfile.TemporaryDirectory() as folder:
        for program in (Heat(folder), Cg(folder)):
            for _ in range(line.runs):
                one_run(program, draw)
    print("passed")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"FAILED: {error}")
