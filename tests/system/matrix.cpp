// SPDX-License-Identifier: BSD-3-Clause
// What becomes of each kind of region, in each call that makes a task of another one, on the same node and on another,
// and again in what the child makes. The table says it; the rest looks whether it is so.
#include "tests/system/puppet.hpp"

#include <array>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using systest::Access;

constexpr std::size_t kPage = systest::kPageBytes;

// What the child has at the parent's addresses.
enum class Has : std::uint8_t {
    same, // the same memory: each sees what the other writes
    copy, // memory of its own, with what was there when it was made
    hole, // nothing
};
using enum Has;

struct Row {
    const char *region; // of the parent
    vm_inherit_t attribute;
    bool touched; // before the child is made
    bool copied;  // a child that was made earlier has a copy, of which no page has been settled
    Has create, on, clone, teleport;
};

// clang-format off
constexpr std::array kTable{
    //                                                 touched copied  task_create norma_create clone teleport
    Row{"SHARE",                     VM_INHERIT_SHARE, true,   false,  same,       same,        same, same},
    Row{"COPY",                      VM_INHERIT_COPY,  true,   false,  copy,       copy,        same, same},
    Row{"NONE",                      VM_INHERIT_NONE,  true,   false,  hole,       hole,        same, same},
    Row{"SHARE, copied before",      VM_INHERIT_SHARE, true,   true,   same,       same,        same, same},
    Row{"COPY, copied before",       VM_INHERIT_COPY,  true,   true,   copy,       copy,        same, same},
    Row{"NONE, copied before",       VM_INHERIT_NONE,  true,   true,   hole,       hole,        same, same},
    Row{"SHARE, zero-fill",          VM_INHERIT_SHARE, false,  false,  same,       same,        same, same},
    Row{"COPY, zero-fill",           VM_INHERIT_COPY,  false,  false,  copy,       copy,        same, same},
    Row{"NONE, zero-fill",           VM_INHERIT_NONE,  false,  false,  hole,       hole,        same, same},
    Row{"COPY, zero-fill, copied",   VM_INHERIT_COPY,  false,  true,   copy,       copy,        same, same},
};
// clang-format on

struct Call {
    const char *name;
    kern_return_t (*make)(task_t parent, int node, task_t *child);
    Has Row::*has;
    bool to_any_node;
    bool ends_parent; // if it is to another node than the parent's; else it does nothing
};

constexpr std::array kCalls{
    Call{"task_create", [](task_t parent, int, task_t *child) { return task_create(parent, nullptr, 0, TRUE, child); },
         &Row::create, false, false},
    Call{"norma_task_create",
         [](task_t parent, int node, task_t *child) { return norma_task_create(parent, TRUE, node, child); }, &Row::on,
         true, false},
    Call{"norma_task_clone",
         [](task_t parent, int node, task_t *child) { return norma_task_clone(parent, TRUE, node, child); },
         &Row::clone, true, false},
    Call{"norma_task_teleport",
         [](task_t parent, int node, task_t *child) { return norma_task_teleport(parent, TRUE, node, child); },
         &Row::teleport, true, true},
};

// Each row has a page for each of these, one set for the child and one for the grandchild.
enum PageUse : std::uint8_t { older_first, younger_first, earlier_only, kUses };
constexpr std::array kUseNames{"older writes first", "younger writes first", "only the earlier child writes"};
constexpr std::size_t kRowPages = 2 * kUses;
constexpr std::size_t kRowBytes = kRowPages * kPage;

// A page for each attribute but NONE, with properties that are kept; and the last one wired, which is not.
constexpr std::array kKept{VM_INHERIT_SHARE, VM_INHERIT_COPY};
constexpr vm_size_t kBytes = (kTable.size() * kRowPages + kKept.size()) * kPage;

// The third party shares all memory with the parent, and outlives it; the earlier child was made by norma_task_create.
enum Role : std::uint8_t { parent, third, earlier, child, grandchild, kRoles };
constexpr std::array kRoleNames{"the parent", "the third party", "the earlier child", "the child", "the grandchild"};
constexpr int kNothing = -1;

struct Member {
    task_t task = TASK_NULL;
    int node = 0;
    bool lives = false;
    std::array<int, kTable.size()> memory{}; // for each row: whose memory it has, or kNothing
};

class Family {
  public:
    Family(systest::Stage &stage, int node, std::string title) : stage_(stage), title_(std::move(title)) {
        adopt(parent, norma_task_clone, mach_task_self(), node);
        CHECK_KERN(KERN_SUCCESS, vm_allocate(members_[parent].task, &base_, kBytes, TRUE));
        adopt(third, norma_task_clone, members_[parent].task, (node + 1) % norma::node_count());
        for (std::size_t page = 0; page < kRowPages; ++page) {
            fill(page);
        }
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            inherit(row, kTable[row].copied ? VM_INHERIT_COPY : VM_INHERIT_NONE);
            members_[earlier].memory[row] = kTable[row].copied ? int{earlier} : kNothing;
        }
        adopt(earlier, norma_task_create, members_[parent].task, (node + 2) % norma::node_count());
        values_[earlier] = values_[parent];
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            inherit(row, kTable[row].attribute);
        }
        set_kept();
    }
    Family(const Family &) = delete;
    Family &operator=(const Family &) = delete;
    ~Family() {
        for (const auto &member : members_) {
            if (member.lives) {
                CHECK_KERN(KERN_SUCCESS, task_terminate(member.task));
            }
        }
    }

    void make(Role younger, Role older, const Call &call, int node) {
        auto &from = members_[older];
        auto &made = members_[younger];
        cell_ = fmt::format("{} x {} to {} node", title_, call.name, node == from.node ? "the same" : "another");
        CHECK_KERN(KERN_SUCCESS, call.make(from.task, node, &made.task));
        moved_nowhere_ = call.ends_parent && node == from.node;
        if (call.ends_parent) {
            from.lives = false;
            CHECK_KERN(moved_nowhere_ ? KERN_SUCCESS : KERN_INVALID_TASK, task_suspend(from.task));
            CHECK_EQ(moved_nowhere_, made.task == from.task);
        }
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            const Has has = from.memory[row] == kNothing ? hole : kTable[row].*call.has;
            made.memory[row] = has == hole ? kNothing : has == copy ? int{younger} : from.memory[row];
            if (has == copy) {
                values_[younger][row] = values_[static_cast<std::size_t>(from.memory[row])][row];
            }
        }
        if (moved_nowhere_) {
            CHECK_KERN(KERN_SUCCESS, task_resume(made.task));
            made.lives = true;
            made.node = node;
            seat_of_[younger] = seat_of_[older];
        } else {
            settle_in(younger, node);
        }
        check_regions(younger);
    }

    // Writes of both, on pages that nobody has touched since the younger one was made. Of an older one that is gone
    // the third party shares the memory.
    void play(Role younger, Role older, std::size_t first_page) {
        const Role writer = members_[older].lives ? older : third;
        for (const auto &[page, first, second] :
             {std::tuple{older_first, writer, younger}, std::tuple{younger_first, younger, writer}}) {
            write(first, first_page + page);
            check(first_page + page);
            write(second, first_page + page);
            check(first_page + page);
        }
        check(first_page + earlier_only);
        write(earlier, first_page + earlier_only);
        check(first_page + earlier_only);
    }

    void check_all() {
        for (std::size_t page = 0; page < kRowPages; ++page) {
            check(page);
        }
    }

  private:
    using Maker = kern_return_t (*)(task_t, boolean_t, int, task_t *);

    void adopt(Role role, Maker maker, task_t from, int node) {
        CHECK_KERN(KERN_SUCCESS, maker(from, TRUE, node, &members_[role].task));
        settle_in(role, node);
    }
    void settle_in(Role role, int node) {
        members_[role].node = node;
        members_[role].lives = true;
        seat_of_[role] = role;
        systest::put_into(members_[role].task, stage_.seat(role));
    }

    vm_address_t address(std::size_t row, std::size_t page) const { return base_ + row * kRowBytes + page * kPage; }
    vm_address_t kept(std::size_t index) const { return address(kTable.size(), index); }

    void inherit(std::size_t row, vm_inherit_t attribute) {
        CHECK_KERN(KERN_SUCCESS, vm_inherit(members_[parent].task, address(row, 0), kRowBytes, attribute));
    }

    void set_kept() {
        const auto &owner = members_[parent];
        for (std::size_t i = 0; i < kKept.size(); ++i) {
            CHECK_KERN(KERN_SUCCESS, vm_inherit(owner.task, kept(i), kPage, kKept[i]));
            CHECK_KERN(KERN_SUCCESS, vm_behavior_set(owner.task, kept(i), kPage, VM_BEHAVIOR_RANDOM));
            CHECK_KERN(KERN_SUCCESS, vm_protect(owner.task, kept(i), kPage, TRUE, VM_PROT_DEFAULT));
            CHECK_KERN(KERN_SUCCESS, vm_protect(owner.task, kept(i), kPage, FALSE, VM_PROT_READ));
        }
        if (owner.node == norma::this_node()) {
            CHECK_KERN(KERN_SUCCESS,
                       vm_wire(mach_host_self(), owner.task, kept(kKept.size() - 1), kPage, VM_PROT_READ));
        }
    }

    struct Region {
        bool found = false;
        vm_region_basic_info_data_t info{};
    };
    static Region region_of(task_t task, vm_address_t where) {
        Region region;
        auto count = VM_REGION_BASIC_INFO_COUNT;
        vm_address_t start = where;
        vm_size_t size = 0;
        mach_port_t name = 0;
        const auto status = vm_region(task, &start, &size, VM_REGION_BASIC_INFO,
                                      reinterpret_cast<vm_region_info_t>(&region.info), &count, &name);
        CHECK(status == KERN_SUCCESS || status == KERN_NO_SPACE);
        region.found = status == KERN_SUCCESS && start <= where;
        return region;
    }

    void check_regions(Role role) {
        const auto &member = members_[role];
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            const auto region = region_of(member.task, address(row, 0));
            if (region.found != (member.memory[row] != kNothing)) {
                complain(row, fmt::format("{} {} a region", kRoleNames[role], region.found ? "has" : "has not"));
            }
            if (region.found && region.info.inheritance != kTable[row].attribute) {
                complain(row, fmt::format("{} has the attribute {}", kRoleNames[role], region.info.inheritance));
            }
        }
        for (std::size_t i = 0; i < kKept.size(); ++i) {
            const auto region = region_of(member.task, kept(i));
            CHECK(region.found);
            CHECK_EQ(kKept[i], region.info.inheritance);
            CHECK_EQ(VM_PROT_READ, region.info.protection);
            CHECK_EQ(VM_PROT_DEFAULT, region.info.max_protection);
            CHECK_EQ(VM_BEHAVIOR_RANDOM, region.info.behavior);
            CHECK(moved_nowhere_ || region.info.user_wired_count == 0);
        }
    }

    // Of every row that is to be touched before.
    void fill(std::size_t page) {
        std::vector<Access> orders;
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            if (kTable[row].touched) {
                values_[parent][row][page] = ++last_value_;
                orders.push_back({.address = address(row, page), .value = last_value_, .write = true});
            }
        }
        systest::begin(seat(parent), orders);
        CHECK(systest::finished(seat(parent)));
    }

    // In every row; where the writer has nothing it must fault.
    void write(Role role, std::size_t page) {
        const auto &member = members_[role];
        std::vector<Access> orders;
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            orders.push_back({.address = address(row, page), .value = ++last_value_, .write = true});
            if (member.memory[row] != kNothing) {
                values_[static_cast<std::size_t>(member.memory[row])][row][page] = last_value_;
            }
        }
        systest::begin(seat(role), orders);
        CHECK(systest::finished(seat(role)));
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            if (seat(role).accesses[row].fault != (member.memory[row] == kNothing)) {
                complain(row, fmt::format("page '{}': {} {}", kUseNames[page % kUses], kRoleNames[role],
                                          member.memory[row] == kNothing ? "can write" : "cannot write"));
            }
        }
    }

    // Everybody reads it at once.
    void check(std::size_t page) {
        std::vector<Access> orders;
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            orders.push_back({.address = address(row, page)});
        }
        for (std::size_t role = 0; role < kRoles; ++role) {
            if (members_[role].lives) {
                systest::begin(seat(role), orders);
            }
        }
        for (std::size_t role = 0; role < kRoles; ++role) {
            if (members_[role].lives) {
                CHECK(systest::finished(seat(role)));
                check(role, page);
            }
        }
    }
    void check(std::size_t role, std::size_t page) {
        for (std::size_t row = 0; row < kTable.size(); ++row) {
            const int memory = members_[role].memory[row];
            const auto &got = seat(role).accesses[row];
            const auto text = [](bool fault, std::uint64_t value) {
                return fault ? std::string("nothing") : std::to_string(value);
            };
            const auto is = text(got.fault, got.value);
            const auto expected =
                text(memory == kNothing, memory == kNothing ? 0 : values_[static_cast<std::size_t>(memory)][row][page]);
            if (is != expected) {
                complain(row, fmt::format("page '{}' of the {}: {} on node {} reads {}, not {}",
                                          kUseNames[page % kUses], page < kUses ? "child" : "grandchild",
                                          kRoleNames[role], members_[role].node, is, expected));
            }
        }
    }

    [[noreturn]] void complain(std::size_t row, const std::string &what) {
        systest::fail(__FILE__, __LINE__, fmt::format("{} x {}: {}", kTable[row].region, cell_, what));
    }

    systest::Seat &seat(std::size_t role) { return stage_.seat(seat_of_[role]); }

    systest::Stage &stage_;
    std::string title_, cell_;
    bool moved_nowhere_ = false;
    vm_address_t base_ = 0;
    std::array<Member, kRoles> members_{};
    std::array<std::size_t, kRoles> seat_of_{};
    std::uint64_t last_value_ = 0;
    // What is in the memory of each, for rows and pages.
    std::array<std::array<std::array<std::uint64_t, kRowPages>, kTable.size()>, kRoles> values_{};
};

struct Step {
    const Call *call;
    int node;
};

// Each call, on the same node and on another.
std::vector<Step> steps_from(int node) {
    std::vector<Step> steps;
    for (const auto &call : kCalls) {
        steps.push_back({&call, node});
        if (call.to_any_node && norma::node_count() > 1) {
            steps.push_back({&call, (node + 1) % norma::node_count()});
        }
    }
    return steps;
}

} // namespace

// matrix NODE: the parent is on NODE.
SYSTEM_CASE(matrix) {
    const int node = static_cast<int>(systest::number(args, 0, 0));
    systest::Stage stage(kRoles);
    for (const auto &first : steps_from(node)) {
        for (const auto &second : steps_from(first.node)) {
            Family family(stage, node, fmt::format("{} nodes, the parent on {}", norma::node_count(), node));
            family.make(child, parent, *first.call, first.node);
            family.play(child, parent, 0);
            family.make(grandchild, child, *second.call, second.node);
            family.play(grandchild, child, kUses);
            family.check_all();
        }
    }
    return 0;
}
