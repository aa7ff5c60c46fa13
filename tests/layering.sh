#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Who may include whom: runtime -> dsm -> rpc, the coherence core nothing but small standard headers, programs only the
# public headers. And the core and the wire formats name no clock, no thread, no errno and no network library.
# Usage: tests/layering.sh     checks the tree, and that a tree with planted faults is caught
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

core_headers='algorithm|array|bit|bitset|cassert|compare|cstddef|cstdint|functional|iterator|limits|map|optional|set'
core_headers+='|span|string|string_view|tuple|type_traits|unordered_map|unordered_set|utility|variant|vector'
core_headers+='|cstdio|cstdlib' # to say which invariant broke before abort()
banned='\berrno\b|std::chrono|_clock\b|std::thread\b|std::this_thread|\bpthread_|\bibv_|\bucp_|\buct_|\bucs_'

# The folders whose files a file may include, as an expression.
may_include() {
    case $1 in
    include/*) echo 'norma' ;;
    rpc/*) echo 'rpc' ;;
    dsm/core/*) echo 'dsm/core' ;;
    dsm/*) echo 'dsm|rpc' ;;
    runtime/*) echo 'runtime|dsm|rpc|norma' ;;
    apps/*) echo 'apps|norma' ;;
    bench/*) echo 'bench|apps/common|runtime|dsm|rpc|norma' ;;
    *) echo 'tests|bench|apps|runtime|dsm|rpc|norma' ;;
    esac
}

sources() {
    find include rpc dsm runtime apps bench tests -type f \( -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.cpp' \)
}

# Includes of our own files: "layer/file", or <norma/file>.
own_includes() {
    sed -nE 's/^ *# *include *("([^"]*)"|<(norma\/[^>]*)>).*/\2\3/p' "$1"
}

# Prints one line per fault.
faults() {
    local file included allowed
    while IFS= read -r file; do
        allowed=$(may_include "$file")
        while IFS= read -r included; do
            if [[ $included != */* && -f ${file%/*}/$included ]]; then
                continue # a neighbour in the same folder
            fi
            [[ $included =~ ^($allowed)/ ]] || echo "$file includes $included; it may include only: $allowed"
        done < <(own_includes "$file")
    done < <(sources)
    find dsm/core -type f -name '*.[hc]pp' | while IFS= read -r file; do
        sed -nE 's/^ *# *include *<([^>]*)>.*/\1/p' "$file" | { grep -vxE "$core_headers" || true; } |
            sed "s|^|$file is of the core and may not include |"
    done
    find dsm/core rpc -maxdepth 1 -type f \( -path 'dsm/core/*' -o -name 'wire*' -o -name 'record*' \) |
        { grep -E '\.[hc]pp$' || true; } | while IFS= read -r file; do
        # Comments may speak of what the code may not use.
        sed 's|//.*||' "$file" | { grep -nE -- "$banned" || true; } | sed "s|^|$file names what it may not: line |"
    done
}

plant() {
    mkdir -p include/norma rpc dsm/core runtime apps bench tests
    echo '#include "dsm/pager.hpp"' >rpc/a.cpp
    echo '#include "runtime/config.hpp"' >dsm/b.cpp
    echo '#include <norma/mach.h>' >dsm/c.cpp
    echo '#include <mutex>' >dsm/core/d.hpp
    echo 'int f() { return errno; }' >dsm/core/e.cpp
    echo 'auto t = std::chrono::steady_clock::now();' >rpc/wire.hpp
    echo '#include "runtime/log.hpp"' >apps/f.cpp
    echo '#include "rpc/wire.hpp"' >include/norma/g.h
    printf '#include "dsm/core/d.hpp"\n#include <vector>\n// not errno\n' >dsm/core/fine.cpp
    printf '#include "rpc/wire.hpp"\n#include "dsm/core/d.hpp"\n#include <mutex>\n' >dsm/fine.cpp
}

planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
caught=$(cd "$planted" && plant && faults)
for file in rpc/a.cpp dsm/b.cpp dsm/c.cpp dsm/core/d.hpp dsm/core/e.cpp rpc/wire.hpp apps/f.cpp include/norma/g.h; do
    grep -q "^$file " <<<"$caught" || { echo "layering: the planted fault in $file was not seen"; exit 1; }
done
if grep fine <<<"$caught"; then
    echo "layering: the line above is about a file without fault"
    exit 1
fi

cd "$top"
found=$(faults)
if [[ -n $found ]]; then
    echo "$found"
    exit 1
fi
