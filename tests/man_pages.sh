#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Every exported symbol of libnorma.so, and every name that libnorma_pthread.a gives its program, has a manual page and every page a symbol; functions of the C library that
# libnorma stands in front of are named in norma(7). Every page is sound roff, if groff is here to say so.
# Usage: BUILD_DIR=... tests/man_pages.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
failed=0
complain() {
    echo "man_pages: $*"
    failed=1
}

{
    nm -D --defined-only "$BUILD_DIR/lib/libnorma.so" | awk '$2 ~ /[TWBD]/ {print $3}' | grep -v '^norma_probe_'
    nm --defined-only "$BUILD_DIR/lib/libnorma_pthread.a" | awk '$2 == "T" && $3 ~ /^norma_/ {print $3}'
} | sort -u >"$place/exported" # norma_probe_ is for norma perf alone
python3 docs/man/make_pages.py --list include/norma/*.h >"$place/list"
cut -d' ' -f2 "$place/list" | sort -u >"$place/described"
[[ -s $place/exported && -s $place/described ]] || complain "nothing to compare"

while read -r symbol; do
    grep -qE "(^|[^A-Za-z_])$symbol([^A-Za-z_]|\$)" docs/man/norma.7 || complain "$symbol is exported and has no page"
done < <(comm -23 "$place/exported" "$place/described")
while read -r symbol; do
    complain "$symbol has a page and is not exported"
done < <(comm -13 "$place/exported" "$place/described")

python3 docs/man/make_pages.py "$place" include/norma/*.h
cp -r docs/man/norma.7 "$place"
while read -r page _; do
    [[ -s $place/man3/$page.3 ]] || complain "no page was made for $page"
done <"$place/list"
if command -v groff >/dev/null; then
    for page in "$place"/man3/*.3 "$place/norma.7"; do
        said=$(cd "$place" && groff -man -ww -z -rLL=120n "$page" 2>&1 | grep -vE 'cannot (adjust|break) line' || true)
        [[ -z $said ]] || complain "$said"
    done
fi
# What a page refers to is there.
while read -r name; do
    [[ -f $place/man3/$name.3 ]] || complain "norma.7 refers to $name(3), which is not there"
done < <(grep -oE '^\.BR (vm|norma|task|thread)_[a-z_]+ \(3\)' docs/man/norma.7 | cut -d' ' -f2 | sort -u)
exit $failed
