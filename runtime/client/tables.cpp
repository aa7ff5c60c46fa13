// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/tables.hpp"

#include "runtime/client/channel.hpp"
#include "runtime/client/errors.hpp"
#include "runtime/client/shared_actions.hpp"
#include "runtime/client/shared_directories.hpp"

#include <cstring>
#include <memory>
#include <pthread.h>

namespace norma::rt {

namespace {

std::array<std::atomic<bool>, kTables> shared;
std::array<std::atomic<unsigned>, kTables> alone; // threads that are changing it by themselves

constexpr std::size_t index_of(Table table) {
    return static_cast<std::size_t>(table);
}

// What is done with a table in this process.
struct Functions {
    int (*prepare)(std::span<const std::byte> change);
    int (*commit)(std::vector<std::byte> &before);
    void (*drop)();
    int (*collect)(Inheritance &content);
    int (*apply)(const Inheritance &content);
};

int collect_all_actions(Inheritance &content) {
    collect_actions(content);
    return 0;
}

constexpr std::array<Functions, kTables> kFunctions{{
    {prepare_action, commit_action, drop_action, collect_all_actions, apply_actions},
    {prepare_directory, commit_directory, drop_directory, collect_directories, apply_directories},
}};

const Functions &functions_of(Table table) {
    return kFunctions.at(index_of(table));
}

} // namespace

bool is_shared(Table table) noexcept {
    return shared.at(index_of(table));
}

void share(Table table) noexcept {
    shared.at(index_of(table)) = true;
    while (alone.at(index_of(table)) != 0) {
        sched_yield();
    }
}

ChangeAlone::ChangeAlone(Table table) noexcept : table_(table) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &blocked_before_);
    ++alone.at(index_of(table));
    allowed_ = !is_shared(table);
}

ChangeAlone::~ChangeAlone() {
    --alone.at(index_of(table_));
    pthread_sigmask(SIG_SETMASK, &blocked_before_, nullptr);
}

int change_for_all(Table table, std::span<const std::byte> change, std::span<std::byte> before) noexcept {
    return errno_of(call(Op::table_change, kNameNull, {index_of(table)}, change, -1, before));
}

int read_table(Table table, Inheritance &content) {
    content = {};
    return functions_of(table).collect(content);
}

int join_table(Table table, std::span<const std::byte> content) {
    if (content.size() != sizeof(Inheritance)) {
        return EINVAL;
    }
    const auto taken = std::make_unique<Inheritance>();
    std::memcpy(taken.get(), content.data(), sizeof(Inheritance));
    share(table);
    return functions_of(table).apply(*taken);
}

int step_table(Table table, TableStep step, std::span<const std::byte> change, std::vector<std::byte> &before) {
    const auto &functions = functions_of(table);
    switch (step) {
    case TableStep::prepare:
        return functions.prepare(change);
    case TableStep::commit:
        return functions.commit(before);
    case TableStep::drop:
        functions.drop();
        return 0;
    case TableStep::make: {
        const int error = functions.prepare(change);
        return error != 0 ? error : functions.commit(before);
    }
    }
    return EINVAL;
}

} // namespace norma::rt
