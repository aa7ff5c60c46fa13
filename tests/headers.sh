#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each public header compiles alone: the C ones as C11 and as C++20, the others as C++20.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
warnings=(-Wall -Wextra -Wshadow -Werror)
failed=0
for header in include/norma/*.h include/norma/*.hpp; do
    [[ -f $header ]] || continue
    name=norma/${header##*/}
    if [[ $header == *.h ]]; then
        echo "#include <$name>" | "${CC:-cc}" -std=c11 "${warnings[@]}" -Iinclude -fsyntax-only -x c - ||
            { echo "headers: $name does not stand alone in C11"; failed=1; }
    fi
    echo "#include <$name>" | "${CXX:-c++}" -std=c++20 "${warnings[@]}" -Iinclude -fsyntax-only -x c++ - ||
        { echo "headers: $name does not stand alone in C++20"; failed=1; }
done
exit $failed
