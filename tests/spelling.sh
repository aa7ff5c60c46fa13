#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# No common misspelling anywhere. A word that codespell is wrong about goes into the list below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
allowed=inout,fro
tests/files.sh | grep -vE '\.(png|pgm|mtx)$|^tests/fuzz/corpus/' | xargs codespell --ignore-words-list "$allowed"
