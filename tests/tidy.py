#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs clang-tidy over every source of the tree, two at a time.

Usage: tests/tidy.py BUILD_FOLDER [PATH_PART]

A source that was clean is not looked at again until it, a header it includes, its compile command or .clang-tidy
changes: a stamp in BUILD_FOLDER/tidy names what was looked at.
"""
import concurrent.futures
import hashlib
import json
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
JOBS = 2
GCC_ONLY = "-mno-direct-extern-access" # whole programs; clang-tidy refuses options that clang does not know


def read_commands(build):
    """The compile commands, also written down for clang-tidy."""
    text = (build / "compile_commands.json").read_text().replace(f" {GCC_ONLY}", "")
    (build / "tidy" / "compile_commands.json").write_text(text)
    return json.loads(text)


def sources(build, part):
    """The compile commands of our own sources, one each."""
    found = {}
    for entry in read_commands(build):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(ROOT) and not path.is_relative_to(build) and part in str(path):
            found.setdefault(path, entry)
    return sorted(found.items())


def fingerprint(entry):
    """Of all that clang-tidy would see, comments included."""
    command = shlex.split(entry["command"])
    if pathlib.Path(command[0]).name == "ccache":
        command = command[1:]
    output = command.index("-o")
    seen = subprocess.run(command[:output] + command[output + 2:] + ["-E", "-C"], cwd=entry["directory"],
                          capture_output=True, check=False).stdout
    return hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + entry["command"].encode() + seen).hexdigest()


def look_at(build, path, entry):
    """Returns what clang-tidy has to say, or nothing."""
    stamp = build / "tidy" / fingerprint(entry)
    if stamp.exists():
        return ""
    result = subprocess.run(["clang-tidy", "-p", str(build / "tidy"), "--quiet", str(path)], capture_output=True, text=True,
                            check=False)
    if result.returncode == 0:
        stamp.touch()
        return ""
    return result.stdout + result.stderr


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    (build / "tidy").mkdir(exist_ok=True)
    work = sources(build, sys.argv[2] if len(sys.argv) > 2 else "")
    if not work:
        sys.exit("tidy: no sources found")
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        complaints = list(pool.map(lambda item: look_at(build, *item), work))
    print("".join(complaints))
    bad = sum(1 for complaint in complaints if complaint)
    print(f"tidy: {len(work)} sources, {bad} with complaints")
    sys.exit(1 if bad else 0)


main()
