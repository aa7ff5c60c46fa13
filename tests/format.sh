#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Every C and C++ file is as clang-format would write it.
# Usage: tests/format.sh [--fix]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
how=(--dry-run --Werror)
[[ ${1-} != --fix ]] || how=(-i)
tests/files.sh '\.(c|h|cpp|hpp)$' | xargs clang-format "${how[@]}"
