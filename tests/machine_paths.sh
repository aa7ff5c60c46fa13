#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Nothing in the tree names a folder of one particular machine. The brackets keep this file from finding itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pattern='(^|[^A-Za-z0-9_./-])(/wor[k]/|/hom[e]/[a-z]|/roo[t]/|/User[s]/|/tm[p]/build)'
if tests/files.sh | xargs grep -nEI -- "$pattern"; then
    echo "machine_paths: the lines above name folders of one machine"
    exit 1
fi
