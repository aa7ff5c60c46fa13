# SPDX-License-Identifier: BSD-3-Clause
# What checks that are shell scripts have in common; to be sourced. Each ends with `finish`.
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS TEXT COMMAND...: the command ends with STATUS and prints TEXT somewhere.
expect() {
    local status=$1 text=$2 said result
    shift 2
    said=$(timeout 120 "$@" 2>&1)
    result=$?
    [ "$result" -eq "$status" ] || fail "$* ended with $result instead of $status: $said"
    [[ $said == *"$text"* ]] || fail "$* does not say '$text' but: $said"
}

# refused TEXT COMMAND...: the command does not end well and prints TEXT somewhere.
refused() {
    local text=$1 said
    shift
    said=$("$@" 2>&1) && fail "$* is not refused"
    [[ $said == *"$text"* ]] || fail "$* does not say '$text' but: $said"
}

finish() {
    [ "$failures" -eq 0 ] && echo passed
    exit $((failures > 0))
}
