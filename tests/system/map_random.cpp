// SPDX-License-Identifier: BSD-3-Clause
// Calls on address maps, drawn at random, by tasks on all nodes that come and go; after every few calls each task is
// compared with the model, its attributes and all its bytes. The same seed draws the same calls.
#include "tests/system/app.hpp"
#include "tests/system/map_model.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace {

using systest::ByteRange;
using systest::MapModel;

constexpr std::size_t kPage = systest::kModelPage;
constexpr vm_address_t kPlace = 0x200000000000 + (vm_size_t{16} << 40) - (vm_size_t{1} << 30); // near the window's end
constexpr std::size_t kPages = 16, kMostPages = 4, kMostTasks = 6;

// What a thread is to do with a byte of its task: its place 48 | whether to write it 8 | the value that is there, or is
// to be there 8.
void poke(void *order) {
    const auto bits = reinterpret_cast<std::uintptr_t>(order);
    auto *byte = reinterpret_cast<volatile std::uint8_t *>(kPlace + (bits >> 16));
    if ((bits >> 8 & 1) != 0) {
        *byte = static_cast<std::uint8_t>(bits);
    } else {
        CHECK_EQ(bits & 0xff, std::uintptr_t{*byte});
    }
}

class Game {
  public:
    Game(std::uint64_t seed, bool trace) : seed_(seed), trace_(trace), random_(seed) {
        players_.push_back({mach_task_self(), {}});
    }

    void play(long steps) {
        for (step_ = 1; step_ <= steps; ++step_) {
            calls_.at(below(calls_.size()))();
            if (step_ % 5 == 0 || step_ == steps) {
                for (const auto &player : players_) {
                    check_attributes(player);
                    check_bytes(player);
                }
            }
        }
        while (players_.size() > 1) {
            end(players_.size() - 1);
        }
    }

  private:
    struct Player {
        task_t port;
        MapModel model;
    };

    std::size_t below(std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_); }
    bool one_in(std::size_t chances) { return below(chances) == 0; }
    Player &someone() { return players_[below(players_.size())]; }
    int some_node() { return static_cast<int>(below(static_cast<std::size_t>(norma::node_count()))); }
    vm_inherit_t some_inheritance() { return static_cast<vm_inherit_t>(below(3)); }

    ByteRange some_bytes() {
        const auto start = below(kPages * kPage);
        const auto most = std::min(kMostPages * kPage, kPages * kPage - start);
        return {.start = start, .bytes = 1 + below(one_in(3) ? std::min<std::size_t>(most, 16) : most)};
    }
    // Of what a task has, as a rule.
    ByteRange some_bytes(const MapModel &model) {
        auto range = some_bytes();
        for (int tries = 0; tries < 8 && !model.covers(range); ++tries) {
            range = some_bytes();
        }
        return range;
    }
    // From the beginning of a page on.
    ByteRange some_pages() {
        const auto first = below(kPages);
        return {.start = first * kPage, .bytes = 1 + below(std::min(kMostPages, kPages - first) * kPage)};
    }
    std::vector<std::byte> some_content(std::size_t bytes) {
        std::vector<std::byte> content(bytes);
        std::generate(content.begin(), content.end(), [this] { return static_cast<std::byte>(below(256)); });
        return content;
    }
    static vm_address_t address_of(ByteRange range) { return kPlace + range.start; }

    [[noreturn]] void wrong(const std::string &what) {
        systest::fail(__FILE__, __LINE__, fmt::format("seed {}, step {}: {}", seed_, step_, what));
    }
    void expect(kern_return_t expected, kern_return_t got, const std::string &call) {
        if (trace_) {
            fmt::print(stderr, "{}: {}: {}\n", step_, call, norma_strerror(got));
        }
        if (expected != got) {
            wrong(fmt::format("{} returned {}, not {}", call, norma_strerror(got), norma_strerror(expected)));
        }
    }
    static std::string text(const char *call, const Player &player, ByteRange range) {
        return fmt::format("{} of task {:#x}, {:#x} bytes from {:#x} on,", call, player.port, range.bytes, range.start);
    }

    void allocate() {
        auto &player = someone();
        const auto range = some_pages();
        auto address = address_of(range);
        expect(player.model.allocate(range), vm_allocate(player.port, &address, range.bytes, FALSE),
               text("vm_allocate", player, range));
    }

    void deallocate() {
        auto &player = someone();
        const auto range = some_bytes();
        expect(player.model.deallocate(range), vm_deallocate(player.port, address_of(range), range.bytes),
               text("vm_deallocate", player, range));
    }

    void protect() {
        auto &player = someone();
        const auto range = some_bytes(player.model);
        const bool maximum = one_in(8);
        const auto protection = maximum || one_in(3) ? VM_PROT_READ : one_in(4) ? VM_PROT_NONE : VM_PROT_DEFAULT;
        expect(player.model.protect(range, maximum, protection),
               vm_protect(player.port, address_of(range), range.bytes, maximum ? TRUE : FALSE, protection),
               text("vm_protect", player, range) + fmt::format(" {} {}", maximum ? "maximum" : "current", protection));
    }

    void inherit() {
        auto &player = someone();
        const auto range = some_bytes(player.model);
        const auto inheritance = some_inheritance();
        expect(player.model.inherit(range, inheritance),
               vm_inherit(player.port, address_of(range), range.bytes, inheritance), text("vm_inherit", player, range));
    }

    void write() {
        auto &player = someone();
        const auto range = some_bytes(player.model);
        if (player.model.repeats(range)) { // which of two writes to one byte comes last is not said
            return;
        }
        const auto content = some_content(range.bytes);
        expect(player.model.write(range.start, content),
               vm_write(player.port, address_of(range), systest::address_of(content.data()),
                        static_cast<mach_msg_type_number_t>(content.size())),
               text("vm_write", player, range));
    }

    void read() {
        auto &player = someone();
        const auto range = some_bytes(player.model);
        std::vector<std::byte> content;
        const auto expected = player.model.read(range, content);
        compare(player, range, expected, content);
    }

    void copy() {
        auto &player = someone();
        const auto from = some_bytes(player.model);
        auto to = below(kPages * kPage - from.bytes + 1);
        for (int tries = 0; tries < 8 && !player.model.covers({to, from.bytes}); ++tries) {
            to = below(kPages * kPage - from.bytes + 1);
        }
        if (player.model.repeats({to, from.bytes})) {
            return;
        }
        expect(player.model.copy(from, to), vm_copy(player.port, address_of(from), from.bytes, kPlace + to),
               text("vm_copy", player, from) + fmt::format(" to {:#x}", to));
    }

    void remap() {
        auto &target = someone();
        auto &source = one_in(2) ? target : someone();
        const auto range = some_bytes(source.model);
        auto first = below(kPages - (range.last() - range.first()));
        for (int tries = 0; tries < 8 && target.model.at(first) != nullptr; ++tries) {
            first = below(kPages - (range.last() - range.first()));
        }
        const auto inheritance = some_inheritance();
        const bool copied = one_in(2);
        const auto before = source.model; // it may be the target, too
        auto address = kPlace + first * kPage;
        vm_prot_t protection = 0, maximum = 0;
        expect(target.model.remap(first, before, range, copied, inheritance),
               vm_remap(target.port, &address, range.bytes, 0, FALSE, source.port, address_of(range),
                        copied ? TRUE : FALSE, &protection, &maximum, inheritance),
               text("vm_remap", source, range) +
                   fmt::format(" {} page {} of task {:#x}", copied ? "copied to" : "to", first, target.port));
    }

    // By a thread of the task itself.
    void touch() {
        auto &player = someone();
        const auto place = some_bytes(player.model).start;
        const bool writes = one_in(2);
        std::vector<std::byte> byte{static_cast<std::byte>(below(256))};
        const auto can = writes ? player.model.write(place, byte) : player.model.read({place, 1}, byte);
        // Hardware has no pages that can be written and not read.
        const auto *region = player.model.at(place / kPage);
        if (can != KERN_SUCCESS || region->protection == VM_PROT_NONE) {
            return;
        }
        auto *const order = reinterpret_cast<void *>(place << 16 | std::uintptr_t{writes} << 8 |
                                                     std::to_integer<std::uintptr_t>(byte[0]));
        if (trace_) {
            fmt::print(stderr, "{}: {} {:#x} at {:#x} of task {:#x}\n", step_, writes ? "write" : "read", byte[0],
                       place, player.port);
        }
        if (player.port == mach_task_self()) {
            poke(order);
            return;
        }
        thread_act_t thread = THREAD_NULL;
        expect(KERN_SUCCESS, norma_thread_start(player.port, poke, order, 0, &thread), "norma_thread_start");
        expect(KERN_SUCCESS, norma_thread_wait(thread, -1), "norma_thread_wait");
    }

    void make_child() {
        if (players_.size() == kMostTasks) {
            end(1 + below(kMostTasks - 1));
        }
        auto &parent = someone();
        const bool cloned = one_in(3);
        const auto node = some_node();
        Player child{TASK_NULL, cloned ? parent.model : parent.model.created()};
        const auto status = cloned ? norma_task_clone(parent.port, TRUE, node, &child.port)
                                   : norma_task_create(parent.port, TRUE, node, &child.port);
        expect(
            KERN_SUCCESS, status,
            fmt::format("a {} of {:#x} on node {}, {:#x},", cloned ? "clone" : "child", parent.port, node, child.port));
        players_.push_back(child);
    }

    void move() {
        if (players_.size() > 1) {
            auto &player = players_[1 + below(players_.size() - 1)];
            const auto node = some_node();
            expect(KERN_SUCCESS, norma_task_teleport(player.port, TRUE, node, &player.port),
                   fmt::format("norma_task_teleport of {:#x} to node {}", player.port, node));
        }
    }

    void end(std::size_t index) {
        expect(KERN_SUCCESS, task_terminate(players_[index].port), "task_terminate");
        players_.erase(players_.begin() + static_cast<std::ptrdiff_t>(index));
    }

    void compare(const Player &player, ByteRange range, kern_return_t expected, const std::vector<std::byte> &content) {
        vm_offset_t data = 0;
        mach_msg_type_number_t count = 0;
        expect(expected, vm_read(player.port, address_of(range), range.bytes, &data, &count),
               text("vm_read", player, range));
        if (expected != KERN_SUCCESS) {
            return;
        }
        const auto *bytes = reinterpret_cast<const std::byte *>(data);
        const auto differ = std::mismatch(content.begin(), content.end(), bytes);
        if (differ.first != content.end()) {
            wrong(fmt::format("task {:#x} has {:#x} at {:#x}, not {:#x}", player.port, *differ.second,
                              range.start + static_cast<std::size_t>(differ.second - bytes), *differ.first));
        }
        expect(KERN_SUCCESS, vm_deallocate(mach_task_self(), data, count), "vm_deallocate");
    }

    void check_bytes(const Player &player) {
        for (std::size_t first = 0; first < kPages; ++first) {
            auto last = first;
            std::vector<std::byte> content, longer;
            while (last < kPages &&
                   player.model.read({first * kPage, (last + 1 - first) * kPage}, longer) == KERN_SUCCESS) {
                content = longer;
                ++last;
            }
            if (last > first) {
                compare(player, {first * kPage, content.size()}, KERN_SUCCESS, content);
                first = last;
            }
        }
    }

    void check_attributes(const Player &player) {
        std::size_t page = 0;
        while (page < kPages) {
            auto address = kPlace + page * kPage;
            vm_size_t size = 0;
            vm_region_basic_info_data_t info{};
            auto count = VM_REGION_BASIC_INFO_COUNT;
            const auto status = vm_region(player.port, &address, &size, VM_REGION_BASIC_INFO,
                                          reinterpret_cast<vm_region_info_t>(&info), &count, nullptr);
            const auto first = status == KERN_SUCCESS ? std::min(kPages, (address - kPlace) / kPage) : kPages;
            for (; page < first; ++page) {
                if (player.model.at(page) != nullptr) {
                    wrong(fmt::format("task {:#x} has no page {}", player.port, page));
                }
            }
            for (; page < std::min(kPages, first + size / kPage); ++page) {
                const auto *region = player.model.at(page);
                if (region == nullptr || region->protection != info.protection ||
                    region->maximum != info.max_protection || region->inheritance != info.inheritance) {
                    wrong(fmt::format("task {:#x} has page {} with protection {}, maximum {} and inheritance {}",
                                      player.port, page, info.protection, info.max_protection, info.inheritance));
                }
            }
        }
    }

    const std::uint64_t seed_;
    const bool trace_;
    std::mt19937_64 random_;
    long step_ = 0;
    std::vector<Player> players_; // the first is the task that plays
    // As often as they are here.
    const std::vector<std::function<void()>> calls_{
        [this] { allocate(); },   [this] { allocate(); },   [this] { allocate(); }, [this] { allocate(); },
        [this] { deallocate(); }, [this] { protect(); },    [this] { inherit(); },  [this] { inherit(); },
        [this] { write(); },      [this] { write(); },      [this] { write(); },    [this] { write(); },
        [this] { read(); },       [this] { copy(); },       [this] { copy(); },     [this] { remap(); },
        [this] { remap(); },      [this] { remap(); },      [this] { touch(); },    [this] { touch(); },
        [this] { make_child(); }, [this] { make_child(); }, [this] { move(); }};
};

} // namespace

// map_random SEED STEPS; with a third number other than 0 it says what it does
SYSTEM_CASE(map_random) {
    Game(static_cast<std::uint64_t>(systest::number(args, 0, 1)), systest::number(args, 2, 0) != 0)
        .play(systest::number(args, 1, 300));
    return 0;
}
