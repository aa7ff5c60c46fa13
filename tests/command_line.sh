#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The command `norma` itself: help, version, info, and what it says to wrong input.
# Usage: BUILD_DIR=... tests/command_line.sh
set -euo pipefail

norma=$BUILD_DIR/bin/norma
failed=0

# expect STATUS TEXT COMMAND...: the command ends with STATUS and prints TEXT somewhere.
expect() {
    local status=$1 text=$2 got=0 output
    shift 2
    output=$("$@" 2>&1) || got=$?
    if [[ $got != "$status" || $output != *"$text"* ]]; then
        printf 'FAILED: %s\n  exit status %s, expected %s; expected the text: %s\n  got: %s\n' \
            "$*" "$got" "$status" "$text" "$output"
        failed=1
    fi
}

expect 0 "norma run -N 2" "$norma" --help
expect 0 "norma run -N 2" "$norma" help
expect 2 "Commands:" "$norma"
expect 0 "norma 0." "$norma" version
expect 0 "commit" "$norma" --version
expect 2 "takes no arguments" "$norma" version please
expect 2 "no command 'rnu'; did you mean 'run'?" "$norma" rnu
expect 2 "no command 'xyzzy'" "$norma" xyzzy
expect 0 "--check" "$norma" help info
expect 2 "--bogus" "$norma" info --bogus

expect 0 "UCX transports" "$norma" info
expect 0 "NORMA_SPIN=50us" "$norma" info
expect 0 "* NORMA_SPIN=70us" env NORMA_SPIN=70us "$norma" info
expect 0 "norma can run here" "$norma" info --check
expect 0 "because NORMA_UFFD=user asks for it" env NORMA_UFFD=user "$norma" info --check
expect 1 "did you mean NORMA_WAIT?" env NORMA_WIAT=spin "$norma" info --check
expect 1 "NORMA_WAIT=nap: it must be one of: adaptive spin block" env NORMA_WAIT=nap "$norma" info --check
expect 1 "NORMA_WINDOW_SIZE" bash -c 'ulimit -v 8000000; exec "$0" info --check' "$norma"
expect 0 '"can_run": true' "$norma" info --json
"$norma" info --json | python3 -m json.tool >/dev/null || failed=1

exit $failed
