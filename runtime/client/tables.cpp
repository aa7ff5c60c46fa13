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

int prepare(Table table, std::span<const std::byte> change) {
    switch (table) {
    case Table::actions:
        return prepare_action(change);
    case Table::directories:
        return prepare_directory(change);
    }
    return EINVAL;
}

int commit(Table table, std::vector<std::byte> &before) {
    switch (table) {
    case Table::actions:
        return commit_action(before);
    case Table::directories:
        return commit_directory(before);
    }
    return EINVAL;
}

void drop(Table table) {
    switch (table) {
    case Table::actions:
        return drop_action();
    case Table::directories:
        return drop_directory();
    }
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
    switch (table) {
    case Table::actions:
        collect_actions(content);
        return 0;
    case Table::directories:
        return collect_directories(content);
    }
    return EINVAL;
}

int join_table(Table table, std::span<const std::byte> content) {
    if (content.size() != sizeof(Inheritance)) {
        return EINVAL;
    }
    const auto taken = std::make_unique<Inheritance>();
    std::memcpy(taken.get(), content.data(), sizeof(Inheritance));
    share(table);
    switch (table) {
    case Table::actions:
        return apply_actions(*taken);
    case Table::directories:
        return apply_directories(*taken);
    }
    return EINVAL;
}

int step_table(Table table, TableStep step, std::span<const std::byte> change, std::vector<std::byte> &before) {
    switch (step) {
    case TableStep::prepare:
        return prepare(table, change);
    case TableStep::commit:
        return commit(table, before);
    case TableStep::drop:
        drop(table);
        return 0;
    case TableStep::make: {
        const int error = prepare(table, change);
        return error != 0 ? error : commit(table, before);
    }
    }
    return EINVAL;
}

} // namespace norma::rt
