#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Installs the build, moves the installed tree elsewhere, and builds and runs a small program against it, found once
# with find_package and once with pkg-config.
# Usage: BUILD_DIR=... tests/install_tree.sh
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/consumer" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
unset CMAKE_PREFIX_PATH LD_LIBRARY_PATH PKG_CONFIG_PATH

cmake --install "$BUILD_DIR" --prefix "$place/first" >/dev/null
mv "$place/first" "$place/moved"
prefix=$place/moved
libdir=$(dirname "$(find "$prefix" -name 'libnorma.so')")

cmake -G Ninja -S "$source" -B "$place/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$place/build" >/dev/null

export PKG_CONFIG_PATH=$libdir/pkgconfig
read -ra flags <<<"$(pkg-config --cflags --libs norma)"
cc -std=c11 -Wall -Wextra -Werror "$source/consumer.c" -o "$place/consumer_pc" "${flags[@]}" -Wl,-rpath,"$libdir"
[[ $(pkg-config --modversion norma) == "$("$prefix/bin/norma" version | cut -d' ' -f2)" ]]

expect() {
    local wanted=$1 got
    shift
    got=$("$@")
    [[ $got == "$wanted" ]] || { echo "install_tree: '$*' printed '$got', expected '$wanted'"; exit 1; }
}
[[ -s $prefix/share/man/man3/vm_inherit.3 && -s $prefix/share/man/man7/norma.7 ]] ||
    { echo "install_tree: there are no manual pages"; exit 1; }
expect "not in a job" "$place/build/consumer_c"
expect "not in a job" "$place/build/consumer_cpp"
expect "not in a job" "$place/consumer_pc"
expect "2 nodes, 42" "$prefix/bin/norma" run -N 2 "$place/consumer_pc"
expect "the child left 42 in a variable, and 43 in the heap" "$prefix/bin/norma" run -N 2 "$place/build/consumer_program"
expect "6 threads" "$prefix/bin/norma" run -N 2 "$place/build/consumer_parmacs"
