#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Every C and C++ file is as clang-format would write it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tests/files.sh '\.(c|h|cpp|hpp)$' | xargs clang-format --dry-run --Werror
