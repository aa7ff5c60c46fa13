#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Lists the files of the source tree, one a line, relative to its root: what git has or would take, or in a tree
# without git everything outside build folders.
# Usage: tests/files.sh [EXTENDED-REGULAR-EXPRESSION]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
{
    git ls-files --cached --others --exclude-standard 2>/dev/null ||
        find . \( -path ./build -o -path ./.git -o -path ./heat-out \) -prune -o -type f -printf '%P\n'
} | sort -u | while IFS= read -r file; do
    # Git also names files that have been removed but not yet committed.
    [[ ! -f $file ]] || printf '%s\n' "$file"
done | grep -E -- "${1-}" || true
