// SPDX-License-Identifier: BSD-3-Clause
// Never gets as far as main().
#include <cstdio>

int main() {
    std::puts("it ran");
}
