// SPDX-License-Identifier: BSD-3-Clause
// A rank that is not as `norma run` expects the others to be. Usage: odd_rank garbage|other-version|silent|absent
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>

#include <pmix.h>

#include "runtime/bootstrap.hpp"

namespace {

using namespace norma::rt;

// What it says under the name of a card; empty: nothing.
std::string card(std::string_view how) {
    if (how == "garbage") {
        return "\xff\xff\xff\xff garbage";
    }
    if (how == "other-version") {
        Card other;
        other.join = 77;
        const auto bytes = encode_card(other);
        return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
    }
    return {};
}

void put(std::string said) {
    pmix_value_t value;
    PMIX_VALUE_CONSTRUCT(&value);
    value.type = PMIX_BYTE_OBJECT;
    value.data.bo = {.bytes = said.data(), .size = said.size()};
    PMIx_Put(PMIX_GLOBAL, kCardKey, &value);
}

} // namespace

int main(int argc, char **argv) {
    const std::string_view how = argc > 1 ? argv[1] : "";
    pmix_proc_t self;
    if (PMIx_Init(&self, nullptr, 0) != PMIX_SUCCESS) {
        std::fprintf(stderr, "odd_rank: start it with a launcher that has PMIx\n");
        return 2;
    }
    if (how == "absent") {
        std::this_thread::sleep_for(std::chrono::minutes(2));
    } else {
        if (const auto said = card(how); !said.empty()) {
            put(said);
        }
        PMIx_Commit();
        pmix_proc_t all;
        PMIX_LOAD_PROCID(&all, self.nspace, PMIX_RANK_WILDCARD);
        bool yes = true;
        pmix_info_t collect;
        PMIX_INFO_LOAD(&collect, PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
        PMIx_Fence(&all, 1, &collect, 1);
    }
    PMIx_Finalize(nullptr, 0);
}
