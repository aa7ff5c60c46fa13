# SPDX-License-Identifier: BSD-3-Clause
# Makes every guard of a model one that can be taken out at run time: guard number k is out if the new state variable
# `mutation` is k. NUMBERS is a file with one guard's name a line. README.md says what the marks mean.
BEGIN {
    while ((getline line < NUMBERS) > 0) {
        number[line] = ++count
    }
}
/^var$/ { print; print "  mutation: 0 .. 99;"; next }
/^startstate/ { starting = 1 }
starting && /^begin$/ { print; print "  mutation := 0;"; starting = 0; next }
match($0, / *-- guard [a-z_]+/) {
    code = substr($0, 1, RSTART - 1)
    name = $0
    sub(/.*-- guard /, "", name)
    other = ""
    if (match(name, /: ?/)) {
        other = substr(name, RSTART + RLENGTH)
        name = substr(name, 1, RSTART - 1)
    }
    if (!(name in number)) {
        print FILENAME ":" FNR ": guard " name " is not listed" > "/dev/stderr"
        exit 1
    }
    out = "mutation = " number[name]
    sub(/^ */, "", code)
    if (code == "") {
        print "if " out " then " other " end;"
    } else if (code ~ /^&/) {
        sub(/^& */, "", code)
        sub(/^& */, "", other)
        print "& (" out " ? (" (other == "" ? "true" : other) ") : (" code "))"
    } else if (code ~ /^[|]/) {
        sub(/^[|] */, "", code)
        sub(/^[|] */, "", other)
        print "| (" out " ? (" (other == "" ? "false" : other) ") : (" code "))"
    } else if (code ~ /^if .* then$/) {
        sub(/^if /, "", code)
        sub(/ then$/, "", code)
        sub(/^if /, "", other)
        sub(/ then$/, "", other)
        print "if (" out " ? (" other ") : (" code ")) then"
    } else {
        print "if " out " then " other " else " code " end;"
    }
    next
}
{ print }
