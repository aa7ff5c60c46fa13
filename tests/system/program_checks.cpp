// SPDX-License-Identifier: BSD-3-Clause
// What the tasks of a random program read and write, and whether all is as the reference says.
#include "tests/system/program.hpp"

#include <algorithm>

namespace systest {

void Program::add(Batch &batch, vm_address_t page, std::size_t word, bool write) {
    Access order{.address = ReferenceMemory::word_address(page, word), .value = 0, .write = write, .fault = false};
    if (write) {
        order.value = ++last_value_;
    }
    batch.orders.push_back(order);
    actors_.at(batch.who)->memory.access(page, word, order);
    batch.expected.push_back(order);
    log(batch.who, fmt::format("{} {:#x}: {}", write ? "writes" : "reads", order.address,
                               order.fault ? "fault" : std::to_string(order.value)));
}

Batch Program::some_accesses(std::size_t who, std::size_t count) {
    Batch batch{.who = who, .orders = {}, .expected = {}};
    for (; count > 0 && !actors_.at(who)->mute; --count) {
        add(batch, any_range().first, below(ReferenceMemory::kWords), chance(60));
    }
    return batch;
}

// What another task does while the one that is busy is subject to a call: it writes only what the two do not share.
// Empty if there is no such task.
Batch Program::aside(std::size_t busy) {
    const auto who = (busy + 1 + below(kActors - 1)) % kActors;
    Batch batch{.who = who, .orders = {}, .expected = {}};
    if (who == 0 || !actors_.at(who) || actors_.at(who)->mute || !chance(asides_)) {
        return batch;
    }
    for (auto count = 1 + below(8); count > 0; --count) {
        const auto page = any_range().first;
        const bool may_write = !actors_.at(who)->memory.shares(page, actors_.at(busy)->memory);
        add(batch, page, below(ReferenceMemory::kWords), may_write && chance(60));
    }
    start(batch);
    return batch;
}

void Program::start(const Batch &batch) {
    if (batch.who != 0 && !batch.orders.empty()) {
        systest::begin(stage_.seat(batch.who), batch.orders);
    }
}

void Program::finish(const Batch &batch) {
    if (batch.orders.empty()) {
        return;
    }
    auto answers = batch.orders;
    if (batch.who == 0) {
        std::for_each(answers.begin(), answers.end(), do_access);
    } else {
        auto &seat = stage_.seat(batch.who);
        if (!finished(seat)) {
            complain(fmt::format("task {} does not answer", batch.who));
        }
        std::copy_n(seat.accesses.begin(), answers.size(), answers.begin());
    }
    const auto text = [](const Access &access) {
        return access.fault ? std::string("a fault") : std::to_string(access.value);
    };
    for (std::size_t i = 0; i < answers.size(); ++i) {
        if (text(answers[i]) != text(batch.expected[i])) {
            complain(fmt::format("task {} {} {:#x}: {}, not {}", batch.who, answers[i].write ? "writes" : "reads",
                                 answers[i].address, text(answers[i]), text(batch.expected[i])));
        }
    }
}

void Program::check_everything() {
    check_contents();
    for (std::size_t who = 0; who < kActors; ++who) {
        if (actors_.at(who)) {
            check_regions(who);
        }
    }
}

// Everybody reads everything, at the same time.
void Program::check_contents() {
    const auto logged = trace_.size();
    for (const auto &place : places_) {
        std::vector<Batch> all;
        for (std::size_t who = 0; who < kActors; ++who) {
            if (actors_.at(who) && !actors_.at(who)->mute) {
                Batch batch{.who = who, .orders = {}, .expected = {}};
                for (std::size_t i = 0; i < place.pages * ReferenceMemory::kWords; ++i) {
                    add(batch, place.page(i / ReferenceMemory::kWords), i % ReferenceMemory::kWords, false);
                }
                start(batch);
                all.push_back(std::move(batch));
            }
        }
        trace_.resize(logged);
        for (const auto &batch : all) {
            finish(batch);
        }
    }
}

void Program::check_regions(std::size_t who) {
    const auto &actor = *actors_.at(who);
    for (const auto &place : places_) {
        vm_address_t start = 0;
        vm_size_t size = 0;
        vm_region_basic_info_data_t info{};
        for (std::size_t i = 0; i < place.pages; ++i) {
            const auto page = place.page(i);
            if (page >= start + size) {
                auto count = VM_REGION_BASIC_INFO_COUNT;
                mach_port_t name = 0;
                start = page;
                const auto status = vm_region(actor.task, &start, &size, VM_REGION_BASIC_INFO,
                                              reinterpret_cast<vm_region_info_t>(&info), &count, &name);
                CHECK(status == KERN_SUCCESS || status == KERN_NO_SPACE);
                if (status == KERN_NO_SPACE) {
                    start = kWindow + kWindowSize;
                }
            }
            const auto *const expected = actor.memory.at(page);
            if ((page >= start) != (expected != nullptr)) {
                complain(fmt::format("task {} {} page {:#x}", who, page >= start ? "has" : "does not have", page));
            }
            if (expected != nullptr &&
                (info.inheritance != expected->inheritance || info.protection != expected->protection ||
                 info.max_protection != expected->maximum)) {
                complain(fmt::format("task {} has page {:#x} with inheritance {}, protection {}, maximum {}, not {}, "
                                     "{}, {}",
                                     who, page, info.inheritance, info.protection, info.max_protection,
                                     expected->inheritance, expected->protection, expected->maximum));
            }
        }
    }
}

void Program::expect(kern_return_t expected, kern_return_t got) {
    if (got != expected) {
        complain(fmt::format("the call returns {} ({}), not {}", got, norma_strerror(got), expected));
    }
}

} // namespace systest
