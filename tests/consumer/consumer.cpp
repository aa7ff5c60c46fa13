// SPDX-License-Identifier: BSD-3-Clause
// The same, through the C++ layer.
#include <norma/norma.hpp>

#include <cstdio>

int main() {
    std::puts(norma_in_job() != 0 ? "in a job" : "not in a job");
    return 0;
}
