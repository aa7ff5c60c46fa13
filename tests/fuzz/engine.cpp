// SPDX-License-Identifier: BSD-3-Clause
// The way in for libFuzzer, which brings main(). The environment variable FUZZ_TARGET says which target it is to run.
#include "tests/fuzz/target.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

const fuzz::Target *chosen = nullptr;

} // namespace

extern "C" int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *name = std::getenv("FUZZ_TARGET");
    chosen = name == nullptr ? nullptr : fuzz::find_target(name);
    if (chosen == nullptr) {
        std::fprintf(stderr, "FUZZ_TARGET=%s: there is no such target; there are:", name == nullptr ? "" : name);
        for (const auto &target : fuzz::targets()) {
            std::fprintf(stderr, " %s", target.name);
        }
        std::fputs("\n", stderr);
        std::exit(2);
    }
    // libFuzzer reads its options behind this call, and keeps pointers to them.
    static std::string longest = "-max_len=" + std::to_string(chosen->longest);
    static std::vector<char *> arguments(*argv, *argv + *argc);
    arguments.insert(arguments.begin() + 1, longest.data());
    *argc = static_cast<int>(arguments.size());
    arguments.push_back(nullptr);
    *argv = arguments.data();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    chosen->run(std::as_bytes(std::span(data, size)));
    return 0;
}
