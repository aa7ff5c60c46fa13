#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Jobs on two "hosts" with a wire between them: two network namespaces of this machine. Then nothing gets through the wire
# any more, without a word to anybody, and each side has to miss the other by itself.
# Usage: BUILD_DIR=... tests/join/vanish.sh
# Ends with 77, and the reason, where this user may have no namespaces.
set -u
if [[ ${1-} != inside ]]; then
    for options in "-nm" "-Urnm"; do
        if unshare $options mount -t sysfs sysfs /sys 2>/dev/null; then
            exec unshare $options "$0" inside
        fi
    done
    echo "SKIPPED: no job ran over a wire: this user may not make a network namespace"
    exit 77
fi
# UCX looks there for the network devices.
mount -t sysfs sysfs /sys || exit
source "$(dirname "${BASH_SOURCE[0]}")/jobs.sh"
host=192.0.2.1
there=192.0.2.2
nowhere=02:00:00:00:00:99

unshare -nm sh -c 'mount -t sysfs sysfs /sys && exec sleep 200' &
holder=$!
trap 'kill $holder; rm -rf "$work"' EXIT
elsewhere=(nsenter -t $holder -n -m --)
ip link set lo up

# until_true COMMAND...: within five seconds.
until_true() {
    local tries
    for tries in {1..100}; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    echo "not true within 5 s: $*"
    exit 1
}

up() { [[ $("$@" cat /sys/class/net/wire/operstate) == up ]]; }

until_true ip link add name wire type veth peer name wire netns $holder
ip address add $host/24 dev wire
ip link set wire up
"${elsewhere[@]}" ip address add $there/24 dev wire
"${elsewhere[@]}" ip link set lo up
"${elsewhere[@]}" ip link set wire up
until_true up
until_true up "${elsewhere[@]}"

cut() {
    ip neighbour replace $there lladdr $nowhere dev wire nud permanent
    "${elsewhere[@]}" ip neighbour replace $host lladdr $nowhere dev wire nud permanent
}

begin "two hosts over tcp"
launch -N 2 -x tcp "$bin/hello"
join one
ends launcher 0
ends one 0
says launcher "hello from node 1"
nothing_left

begin "a host that vanishes"
# From a job that is at work,
long_job
# from one that can do without it,
first_port=$port
port=$((first_port + 1))
launcher=patient launch -N 2 -x tcp sh -c "until [ -e $work/go ]; do sleep 0.1; done; echo still here"
join two
wait_until patient "node 1 is on"
# and from one that waits for more.
port=$((first_port + 2))
launcher=waiting launch -N 3 -x tcp "$bin/hello"
join three
wait_until waiting "node 1 is on"
sleep 2 # the second one's program runs
cut
gone="node 1 is gone (the connection to its host has ended)"
ends launcher 1
says launcher "$gone"
for joiner in one two three; do
    ends $joiner 1
    says $joiner "the connection to the launcher has ended, and this node with it"
done
wait_until patient "$gone"
touch "$work/go"
ends patient 0
says patient "still here"
wait_until waiting "is gone (the connection to its host has ended); its place is free again"
kill -TERM "${pid[waiting]}"
ends waiting 143
nothing_left

report
