#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends signals to `norma run`, `norma restart` and `norma node --join` that have been told what to do then: checkpoints
are there and jobs go on or end, nodes leave, and what cannot be done is said.

Usage: on_signal.py [--runs N] [PART...]; BUILD_DIR says where norma is."""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checkpoint import BIN, QUIET, Job, app_words, check, children_of, let_end, norma, restart, run  # noqa: E402

WRITTEN_DOWN = 75  # the exit status of a job that was written down and ended
ALREADY = "SIGUSR1: the job is being written to {} already"
GOES_ON = "{}: the job has been written to {} in "


def lines_with(text, job):
    return sum(text in line for line in job.said().splitlines())


def send(job, number, said):
    """Until it says so: there are moments in which a job cannot be written down."""
    refusals = 0
    job.process.send_signal(number)
    while True:
        job.wait_until(lambda: said in job.said() or lines_with("has not been written down", job) > refusals, said)
        if said in job.said():
            return
        refusals = lines_with("has not been written down", job)
        job.process.send_signal(number)


def goes_on_or_ends(folder):
    first, second = (os.path.join(folder, name) for name in ("first", "second"))
    orders = ["--on-signal", f"USR1=checkpoint:{first}", "--on-signal", f"TERM=checkpoint-and-end:{second}",
              "--on-signal", "SIGUSR2=drain"]
    with Job("run", "-N", "2", *QUIET, *orders, *app_words(folder)) as job:
        job.wait_for("ready")
        for server in children_of(job.process.pid):  # as a batch system that signals every process does
            os.kill(server, signal.SIGUSR1)
            for task in children_of(server):
                os.kill(task, signal.SIGTERM)
        send(job, signal.SIGUSR1, GOES_ON.format("SIGUSR1", first))
        send(job, signal.SIGUSR2, "SIGUSR2: the launcher of the job cannot leave it")
        let_end(folder, job)
    app_words(folder)
    os.environ["NORMA_ON_SIGNAL"] = f"USR2=drain;TERM=checkpoint-and-end:{second}"
    with restart(2, first) as job:
        del os.environ["NORMA_ON_SIGNAL"]
        job.wait_for_tasks(5)
        send(job, signal.SIGTERM, GOES_ON.format("SIGTERM", second))
        check("and ends" in job.end(WRITTEN_DOWN), job.said())
    with restart(1, second) as job:
        job.wait_for_tasks(5)
        let_end(folder, job)


def while_one_is_carried_out(folder):
    first, second, third = (os.path.join(folder, name) for name in ("first", "second", "third"))
    orders = ["--on-signal", f"USR1=checkpoint:{first}", "--on-signal", f"USR2=checkpoint-and-end:{second}",
              "--on-signal", f"XCPU=checkpoint:{third}"]

    def stopped(job):
        job.wait_for("ready")
        server = children_of(job.process.pid)[1]
        os.kill(server, signal.SIGSTOP)
        job.process.send_signal(signal.SIGUSR1)
        job.wait_until(lambda: [name for name in os.listdir(folder) if name.startswith("first.")], "a file is begun")
        job.process.send_signal(signal.SIGUSR1)
        job.wait_for(ALREADY.format(first))
        return server

    with Job("run", "-N", "2", *QUIET, *orders, *app_words(folder)) as job:  # the other one follows
        server = stopped(job)
        job.process.send_signal(signal.SIGUSR2)
        os.kill(server, signal.SIGCONT)
        job.wait_for("SIGUSR2: the job ha")
        if "SIGUSR2: the job has not" in job.said():
            send(job, signal.SIGUSR2, GOES_ON.format("SIGUSR2", second))
        said = job.end(WRITTEN_DOWN)
        check(said.index("SIGUSR1: the job has") < said.index("SIGUSR2: the job has"), said)
    with Job("run", "-N", "2", *QUIET, *orders, *app_words(folder)) as job:  # an end has its usual effect
        server = stopped(job)
        job.process.send_signal(signal.SIGXCPU)
        job.process.send_signal(signal.SIGHUP)
        os.kill(server, signal.SIGCONT)
        job.end(128 + signal.SIGHUP)
    left = sorted(name for name in os.listdir(folder) if name.startswith(("first.", "second.", "third")))
    check(not left, f"left behind: {left}")


def joined(launcher, *orders):
    """`norma node --join` at the address that the launcher prints."""
    launcher.wait_for("waiting for 1 node to join")
    key, place = re.search(r"NORMA_JOB_KEY=(\w+) norma node --join (\S+)", launcher.said()).groups()
    os.environ["NORMA_JOB_KEY"] = key
    try:
        return Job("node", "--join", place, *orders)
    finally:
        del os.environ["NORMA_JOB_KEY"]


def a_node_leaves(folder):
    stop = os.path.join(folder, "stop")
    with Job("run", "-N", "3", "--listen", "127.0.0.1", "--local", "2", *QUIET, f"{BIN}/drain_app",
             "everything_goes_on", "2", stop, "2") as job, joined(job, "--on-signal", "USR1=drain") as node:
        job.wait_for("begun")
        node.process.send_signal(signal.SIGUSR1)
        check(re.search(r"SIGUSR1: node 2 has left the job: \d+ tasks? moved \(", node.end()), node.said())
        with open(stop, "w"):
            pass
        job.end()
    os.remove(stop)
    with Job("run", "-N", "2", "--listen", "127.0.0.1", *QUIET, f"{BIN}/drain_app", "something_stays",
             stop) as job, joined(job, "--on-signal", "USR1=drain") as node:
        job.wait_for("begun")
        for times in (1, 2):  # it may be asked again
            node.process.send_signal(signal.SIGUSR1)
            node.wait_until(lambda: lines_with("SIGUSR1: node 1 has not left the job: ", node) == times, "it stays")
        with open(stop, "w"):
            pass
        job.end()
        node.end()


def before_the_program_runs(folder):
    file = os.path.join(folder, "early")
    with Job("run", "-N", "2", "--listen", "127.0.0.1", "--on-signal", f"USR1=checkpoint:{file}", "--on-signal",
             f"USR2=checkpoint-and-end:{file}", *QUIET, f"{BIN}/hello") as job:
        job.wait_for("waiting for 1 node to join")
        while ALREADY.format(file) not in job.said():
            job.process.send_signal(signal.SIGUSR1)
            time.sleep(0.05)
        job.process.send_signal(signal.SIGUSR2)
        job.end(128 + signal.SIGUSR2)
    check(not os.path.exists(file), "there is a file")


def wrong(folder):
    """Orders that are none."""
    for order, said in {"USR1": "it must be SIGNAL=checkpoint:FILE", "KILL=drain": "'KILL' is none of the signals HUP,",
                        "10=drain": "'10' is none of", "=drain": "'' is none of", "USR1=": "'' is not checkpoint:FILE",
                        "USR1=checkpointed:x": "'checkpointed:x' is not", "USR1=checkpoint": "it names no file",
                        "USR1=checkpoint-and-end:": "it names no file",
                        f"USR1=checkpoint:{folder}": "is a folder",
                        f"USR1=checkpoint:{folder}/missing/x": "cannot be made: No such file"}.items():
        for given, environment in ((("--on-signal", order), {}), ((), {"NORMA_ON_SIGNAL": order})):
            done = norma("run", *given, f"{BIN}/hello", env={**os.environ, **environment})
            check(done.returncode == 2 and said in done.stderr, f"{order}: {done.stderr}")
    done = norma("run", "--on-signal", "TERM=drain", "--on-signal", "SIGTERM=drain", f"{BIN}/hello")
    check(done.returncode == 2 and "SIGTERM has been named before" in done.stderr, done.stderr)
    done = norma("node", "--join", "127.0.0.1:1", "--on-signal", "TERM=checkpoint:x",
                 env={**os.environ, "NORMA_JOB_KEY": "x"})
    check(done.returncode == 2 and "written by the launcher" in done.stderr, done.stderr)
    done = norma("restart", "--on-signal", "TERM=nothing", os.path.join(folder, "missing"))
    check(done.returncode == 1, done.stderr)


PARTS = {"ends": goes_on_or_ends, "meanwhile": while_one_is_carried_out, "leaves": a_node_leaves,
         "early": before_the_program_runs, "wrong": wrong}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    line = parser.parse_args()
    for _ in range(line.runs):
        for part in line.parts or PARTS:
            with tempfile.TemporaryDirectory() as folder:
                PARTS[part](folder)
            print(f"{part}: fine", flush=True)
    print("passed")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"FAILED: {failure}")
