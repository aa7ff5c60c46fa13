#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# docs/calls.md is true as far as a script can tell: what is done or adapted, or norma's own, has a manual page and a test
# that exists, and that runs; what is not yet there is not declared; what is declared is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
declared=$(python3 docs/man/make_pages.py --list include/norma/*.h | cut -d' ' -f1)
failed=0
complain() {
    echo "calls: $*"
    failed=1
}
words() { tr -d ' `' <<<"$1" | tr ',' '\n'; }

rows=0
listed=
while IFS='|' read -r _ calls state how tests _; do
    rows=$((rows + 1))
    state=${state// /}
    for call in $(words "$calls"); do
        listed+=$call$'\n'
        there=no
        grep -qx "$call" <<<"$declared" && there=yes
        case $state in
        done | adapted | own) [[ $there == yes ]] || complain "$call is $state, and is not declared" ;;
        notyet) [[ $there == no ]] || complain "$call is declared, and the table says: not yet" ;;
        *) complain "$call has the unknown state '$state'" ;;
        esac
    done
    [[ $state != adapted || -n ${how// /} ]] || complain "$calls: adapted, and nobody says how"
    [[ $state == notyet || -n ${tests// /} ]] || complain "$calls: no test shows it"
    for test in $(words "$tests"); do
        if [[ $test == */* ]]; then
            [[ -f $test ]] || complain "$test is not there"
        else
            grep -qrE "SYSTEM_CASE\($test\)" tests/system || complain "tests/system has no case $test"
            grep -qr "\"$test\"" tests/system/*_test.cpp || complain "nobody runs the case $test"
        fi
    done
done < <(grep '^|' docs/calls.md | grep -vE '^\|---|^\| call ')
while read -r call; do
    grep -qx "$call" <<<"$listed" || complain "$call is declared, and has no row"
done < <(grep -v '^norma_pthread_' <<<"$declared")
((rows > 30)) || complain "the table has only $rows rows"
exit $failed
