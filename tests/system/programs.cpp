// SPDX-License-Identifier: BSD-3-Clause
// Random programs on all nodes, step by step against a simple reference: what is allocated, inherited, protected,
// created, cloned, teleported, written, read and ended there gives the same results and the same contents. One number
// reproduces a program; what it did is printed if it fails.
#include "tests/system/program.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace systest {

namespace {

constexpr std::size_t kArenaPages = 12;
constexpr std::array kAttributes{VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_NONE};
constexpr std::array kProtections{VM_PROT_NONE, VM_PROT_READ, VM_PROT_DEFAULT, VM_PROT_DEFAULT, VM_PROT_ALL};

std::string text_of(const PageRange &range) {
    return fmt::format("{:#x} + {} pages", range.first, range.pages);
}

} // namespace

// Programs differ in character: the steps they take, their length, how many tasks and pages there are.
Program::Program(Stage &stage, std::uint64_t seed) : stage_(stage), seed_(seed), random_(seed) {
    constexpr std::array kSteps{&Program::allocate, &Program::deallocate, &Program::inherit,       &Program::protect,
                                &Program::create,   &Program::clone,      &Program::teleport,      &Program::terminate,
                                &Program::access,   &Program::access,     &Program::access_by_all, &Program::create};
    for (const auto step : kSteps) {
        steps_.insert(steps_.end(), below(5), step);
    }
    steps_.push_back(&Program::create);
    steps_.push_back(&Program::access);
    length_ = 5 + below(25);
    most_actors_ = 2 + below(kActors - 1);
    asides_ = chance(50) ? 50 : 0;
    const auto nodes = static_cast<vm_size_t>(norma::node_count());
    const vm_size_t slice = kWindowSize / 16 / kPageBytes * kPageBytes; // there is room for so many nodes
    const std::size_t pages = 1 + below(kArenaPages);
    places_.push_back({kWindow + slice * (1 + below(nodes)) - 2 * kArenaPages * kPageBytes, pages});
    actors_[0] = Actor{.task = mach_task_self(), .node = norma::this_node(), .mute = false, .memory = {}};
}

PageRange Program::any_range() {
    const auto &place = places_[below(places_.size())];
    const auto first = below(place.pages);
    return {place.page(first), 1 + below(place.pages - first)};
}

std::size_t Program::any_actor() {
    auto who = below(kActors);
    while (!actors_.at(who)) {
        who = (who + 1) % kActors;
    }
    return who;
}

void Program::play() {
    const PageRange all = places_[0];
    log(0, "vm_allocate " + text_of(all));
    auto address = all.first;
    expect(actors_[0]->memory.allocate(all), vm_allocate(mach_task_self(), &address, all.bytes(), FALSE));
    for (step_ = 1; step_ <= length_; ++step_) {
        const auto who = any_actor();
        (this->*steps_[below(steps_.size())])(who);
    }
    check_everything();
    while (true) {
        const auto last = any_actor();
        if (last != 0) {
            end(last);
        } else if (std::count_if(actors_.begin(), actors_.end(), [](const auto &actor) { return actor.has_value(); }) ==
                   1) {
            break;
        } else if (chance(20)) {
            check_contents();
        }
    }
    check_everything();
    for (const auto &place : places_) {
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(mach_task_self(), place.first, place.bytes()));
    }
}

void Program::allocate(std::size_t who) {
    auto &actor = *actors_.at(who);
    // By the first task only, which keeps such memory: so the addresses are nobody else's for as long as it lasts.
    const bool anywhere = who == 0 && chance(25) && places_.size() < 3;
    PageRange range = anywhere ? PageRange{0, 1 + below(4)} : any_range();
    const auto others = aside(who);
    log(who, fmt::format("vm_allocate {}", anywhere ? fmt::format("{} pages", range.pages) : text_of(range)));
    const auto status = vm_allocate(actor.task, &range.first, range.bytes(), anywhere);
    expect(actor.memory.allocate(range), status);
    finish(others);
    if (anywhere) {
        places_.push_back(range);
    }
}

void Program::deallocate(std::size_t who) {
    auto &actor = *actors_.at(who);
    const auto range = any_range();
    if (who == 0 && range.first - places_[0].first >= places_[0].bytes()) {
        return; // allocated anywhere
    }
    const auto others = aside(who);
    log(who, "vm_deallocate " + text_of(range));
    expect(actor.memory.deallocate(range), vm_deallocate(actor.task, range.first, range.bytes()));
    finish(others);
}

void Program::inherit(std::size_t who) {
    auto &actor = *actors_.at(who);
    const auto range = any_range();
    const auto attribute = one_of(kAttributes);
    log(who, fmt::format("vm_inherit {}, {}", text_of(range), attribute));
    expect(actor.memory.inherit(range, attribute), vm_inherit(actor.task, range.first, range.bytes(), attribute));
}

void Program::protect(std::size_t who) {
    auto &actor = *actors_.at(who);
    const auto range = any_range();
    const auto protection = one_of(kProtections);
    const bool maximum = chance(15);
    const auto others = aside(who);
    log(who, fmt::format("vm_protect {}, {}{}", text_of(range), protection, maximum ? ", maximum" : ""));
    expect(actor.memory.protect(range, maximum, protection),
           vm_protect(actor.task, range.first, range.bytes(), maximum, protection));
    finish(others);
}

void Program::create(std::size_t who) {
    auto &actor = *actors_.at(who);
    const bool local = chance(30), inherit = !chance(4);
    const int node = local ? actor.node : any_node();
    const auto others = aside(who);
    log(who,
        fmt::format("{} on {}{}", local ? "task_create" : "norma_task_create", node, inherit ? "" : ", no memory"));
    task_t child = TASK_NULL;
    const auto memory = inherit ? actor.memory.inherited() : ReferenceMemory{};
    expect(KERN_SUCCESS, local ? task_create(actor.task, nullptr, 0, inherit, &child)
                               : norma_task_create(actor.task, inherit, node, &child));
    finish(others);
    adopt(child, node, actor.mute || !inherit, memory);
}

void Program::clone(std::size_t who) {
    auto &actor = *actors_.at(who);
    const bool inherit = !chance(4);
    const int node = any_node();
    const auto others = aside(who);
    log(who, fmt::format("norma_task_clone to {}{}", node, inherit ? "" : ", no memory"));
    task_t child = TASK_NULL;
    expect(KERN_SUCCESS, norma_task_clone(actor.task, inherit, node, &child));
    finish(others);
    adopt(child, node, actor.mute || !inherit, inherit ? actor.memory : ReferenceMemory{});
}

void Program::teleport(std::size_t who) {
    auto &actor = *actors_.at(who);
    if (who == 0) {
        return;
    }
    const int node = any_node();
    const auto others = aside(who);
    log(who, fmt::format("norma_task_teleport to {}", node));
    const auto old = actor.task;
    expect(KERN_SUCCESS, norma_task_teleport(old, TRUE, node, &actor.task));
    finish(others);
    if (node != actor.node) {
        expect(KERN_INVALID_TASK, task_suspend(old));
        actor.node = node;
        if (!actor.mute) {
            put_into(actor.task, stage_.seat(who));
        }
    }
}

void Program::terminate(std::size_t who) {
    if (who != 0) {
        const auto others = aside(who);
        end(who);
        finish(others);
    }
}

void Program::end(std::size_t who) {
    log(who, "task_terminate");
    expect(KERN_SUCCESS, task_terminate(actors_.at(who)->task));
    actors_.at(who).reset();
}

// It has the first free place. If there is none it ends at once.
void Program::adopt(task_t task, int node, bool mute, ReferenceMemory memory) {
    const auto free = std::find_if(actors_.begin(), actors_.begin() + static_cast<std::ptrdiff_t>(most_actors_),
                                   [](const auto &actor) { return !actor; });
    const auto index = static_cast<std::size_t>(free - actors_.begin());
    if (index == most_actors_) {
        expect(KERN_SUCCESS, task_terminate(task));
        return;
    }
    *free = Actor{.task = task, .node = node, .mute = mute, .memory = std::move(memory)};
    if (!mute) {
        put_into(task, stage_.seat(index));
    }
    trace_ += fmt::format(" -> task {}", index);
}

void Program::access(std::size_t who) {
    const auto batch = some_accesses(who, 1 + below(12));
    start(batch);
    finish(batch);
}

// All at once; each has a word of its own in every page.
void Program::access_by_all(std::size_t) {
    std::vector<Batch> all;
    for (std::size_t who = 0; who < kActors; ++who) {
        if (actors_.at(who) && !actors_.at(who)->mute) {
            Batch batch{.who = who, .orders = {}, .expected = {}};
            for (auto count = 1 + below(8); count > 0; --count) {
                const auto range = any_range();
                add(batch, range.first, who, chance(70));
            }
            start(batch);
            all.push_back(std::move(batch));
        }
    }
    for (const auto &batch : all) {
        finish(batch);
    }
}

} // namespace systest

// programs [--seeds HOW_MANY] [--first SEED]
SYSTEM_CASE(programs) {
    long seeds = 100, first = 1;
    for (std::size_t i = 0; i < args.size(); i += 2) {
        const std::string_view option = args[i];
        CHECK(i + 1 < args.size() && (option == "--seeds" || option == "--first"));
        (option == "--seeds" ? seeds : first) = systest::number(args, i + 1, 0);
    }
    systest::catch_faults();
    systest::Stage stage(systest::kActors);
    for (long seed = first; seed < first + seeds; ++seed) {
        systest::Program(stage, static_cast<std::uint64_t>(seed)).play();
    }
    fmt::print("{} programs\n", seeds);
    return 0;
}
