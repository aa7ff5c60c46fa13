// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/moved_threads.hpp"

#include <algorithm>

namespace norma::rt {

void put_threads(rpc::Writer &writer, const std::vector<MovedThread> &threads) {
    writer.put(static_cast<std::uint32_t>(threads.size()));
    for (const auto &thread : threads) {
        writer.put(thread.number).put(thread.state).put(thread.identity).put(thread.stack).put(thread.stack_bytes);
        put_key(writer, thread.key);
    }
}

bool get_threads(rpc::Reader &reader, std::uint64_t next, std::vector<MovedThread> &threads) {
    constexpr std::size_t kThreadBytes = 40 + kKeyBytes;
    threads.resize(reader.get_count(kThreadBytes));
    for (auto &thread : threads) {
        for (auto *value : {&thread.number, &thread.state, &thread.identity, &thread.stack, &thread.stack_bytes}) {
            *value = reader.get<std::uint64_t>();
        }
        thread.key = get_key(reader);
    }
    return reader.ok() && std::ranges::all_of(threads, [next](const MovedThread &thread) {
               return thread.number != 0 && thread.number < next;
           });
}

} // namespace norma::rt
