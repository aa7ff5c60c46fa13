// SPDX-License-Identifier: BSD-3-Clause
// Memory objects that are files: who sees what, what gets into the file and when, and what is refused.
#include "tests/system/app.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using systest::last_node;
using systest::self;
using systest::word;

constexpr std::size_t kPage = 4096;
constexpr vm_sync_t kSync = VM_SYNC_SYNCHRONOUS;

// A file of its own for this task, with `words` words of 8 bytes that count from `first` on, and `odd` bytes more.
class File {
  public:
    explicit File(std::size_t words, std::size_t odd = 0, long first = 1) : words_(words) {
        fd_ = ::mkstemp(path_.data());
        CHECK(fd_ >= 0);
        std::vector<long> content(words);
        for (auto &value : content) {
            value = first++;
        }
        const auto bytes = words * sizeof(long);
        CHECK_EQ(static_cast<ssize_t>(bytes), ::pwrite(fd_, content.data(), bytes, 0));
        CHECK_EQ(0, ::ftruncate(fd_, static_cast<off_t>(bytes + odd)));
    }
    ~File() {
        ::close(fd_);
        ::unlink(path_.c_str());
    }
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    const std::string &path() const { return path_; }
    std::size_t words() const { return words_; }
    std::size_t bytes() const {
        struct stat about {};
        CHECK_EQ(0, ::fstat(fd_, &about));
        return static_cast<std::size_t>(about.st_size);
    }
    long word_at(std::size_t offset) const {
        std::vector<long> value(1); // a system call may not reach what is on a coherent stack
        CHECK_EQ(ssize_t{sizeof(long)}, ::pread(fd_, value.data(), sizeof(long), static_cast<off_t>(offset)));
        return value[0];
    }
    bool zero(std::size_t offset, std::size_t count) const {
        std::vector<char> content(count);
        CHECK_EQ(static_cast<ssize_t>(count), ::pread(fd_, content.data(), count, static_cast<off_t>(offset)));
        return std::ranges::all_of(content, [](char byte) { return byte == 0; });
    }

  private:
    std::string path_ = "/tmp/norma-files-XXXXXX";
    std::size_t words_;
    int fd_;
};

memory_object_t open_object(const std::string &path, vm_prot_t access = VM_PROT_DEFAULT) {
    vm_size_t size = 0;
    memory_object_t object = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_object_open_file(path.c_str(), access, &size, &object));
    CHECK(object != MACH_PORT_NULL);
    return object;
}

vm_address_t map(memory_object_t object, vm_size_t size, vm_offset_t offset = 0, boolean_t copy = FALSE,
                 vm_prot_t protection = VM_PROT_DEFAULT) {
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS, vm_map(self(), &address, size, 0, TRUE, object, offset, copy, protection, VM_PROT_ALL,
                                    VM_INHERIT_SHARE));
    return address;
}

kern_return_t try_map(memory_object_t object, vm_prot_t protection = VM_PROT_DEFAULT) {
    vm_address_t address = 0;
    return vm_map(self(), &address, kPage, 0, TRUE, object, 0, FALSE, protection, VM_PROT_ALL, VM_INHERIT_SHARE);
}

// The memory of an opened file in this task, which then has it as long as it maps it.
vm_address_t map_file(const File &file, vm_prot_t access = VM_PROT_DEFAULT) {
    const auto object = open_object(file.path(), access);
    const auto address = map(object, file.bytes(), 0, FALSE, access);
    CHECK_KERN(KERN_SUCCESS, norma_object_close(object));
    return address;
}

// The same memory in this task, of one that another task has.
vm_address_t take(task_t task, vm_address_t from, vm_size_t size) {
    vm_prot_t protection = 0, maximum = 0;
    vm_address_t address = 0;
    CHECK_KERN(KERN_SUCCESS,
               vm_remap(self(), &address, size, 0, TRUE, task, from, FALSE, &protection, &maximum, VM_INHERIT_SHARE));
    return address;
}

} // namespace

// What is in the file all nodes see, and what any of them writes gets into the file, and no byte more.
SYSTEM_CASE(files_shared) {
    constexpr std::size_t kPages = 150; // more than a batch
    File file(kPages * kPage / 8 + 3, 5);
    CHECK_EQ(kPages * kPage + 29, file.bytes());
    vm_size_t size = 0;
    memory_object_t object = MACH_PORT_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_object_open_file(file.path().c_str(), VM_PROT_DEFAULT, &size, &object));
    CHECK_EQ(file.bytes(), size);
    const auto memory = map(object, size);
    CHECK(!REGION_AT(self(), memory).shared);
    const auto end = file.bytes();
    for (int node = 0; node < norma::node_count(); ++node) {
        auto reader = systest::spawn((node + 1) % norma::node_count(), [=, words = file.words()] {
            for (std::size_t i = 0; i < words; i += 7) {
                const bool written = i / 512 % 2 == 0 && static_cast<int>(i % 512) < node;
                CHECK_EQ(static_cast<long>(i) + 1 + (written ? 1000 : 0), word(memory + i * 8).load());
            }
            CHECK_EQ(0L, word(memory + (end / 8 + 1) * 8).load()); // behind the end
            for (std::size_t page = 0; page <= kPages; page += 2) {
                word(memory + page * kPage + static_cast<std::size_t>(node) * 8).fetch_add(1000);
            }
            word(memory + end + 64) = 77;
        });
        JOIN(reader);
    }
    CHECK_EQ(1L, file.word_at(0)); // nobody has asked for it yet
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), memory, size, kSync));
    for (std::size_t i = 0; i < file.words(); ++i) {
        const bool written = (i / 512) % 2 == 0 && static_cast<int>(i % 512) < norma::node_count();
        CHECK_EQ(static_cast<long>(i) + 1 + (written ? 1000 : 0), file.word_at(i * 8));
    }
    CHECK_EQ(end, file.bytes());
    CHECK(file.zero(end - 5, 5));
    CHECK_EQ(77L, word(memory + end + 64).load());
    return 0;
}

SYSTEM_CASE(files_rules) {
    File file(3 * kPage / 8, 1);
    File empty(0);
    vm_size_t size = 7;
    memory_object_t object = 99;
    const auto refused = [&](kern_return_t status, const char *path, vm_prot_t access) {
        CHECK_KERN(status, norma_object_open_file(path, access, &size, &object));
        CHECK(size == 7 && object == 99);
    };
    const auto *path = file.path().c_str();
    refused(KERN_INVALID_ARGUMENT, nullptr, VM_PROT_READ);
    refused(KERN_INVALID_ARGUMENT, "", VM_PROT_READ);
    refused(KERN_INVALID_ARGUMENT, std::string(5000, 'x').c_str(), VM_PROT_READ);
    refused(KERN_INVALID_ARGUMENT, path, VM_PROT_NONE);
    refused(KERN_INVALID_ARGUMENT, path, VM_PROT_WRITE);
    refused(KERN_INVALID_ARGUMENT, path, VM_PROT_ALL);
    refused(KERN_INVALID_VALUE, (file.path() + "-not").c_str(), VM_PROT_READ);
    refused(KERN_INVALID_VALUE, (file.path() + "/x").c_str(), VM_PROT_READ);
    refused(KERN_INVALID_VALUE, "/tmp", VM_PROT_READ);
    refused(KERN_INVALID_VALUE, "/tmp", VM_PROT_DEFAULT);
    refused(KERN_INVALID_VALUE, "/dev/null", VM_PROT_READ);
    refused(KERN_INVALID_VALUE, empty.path().c_str(), VM_PROT_READ);
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open_file(path, VM_PROT_READ, nullptr, &object));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_open_file(path, VM_PROT_READ, &size, nullptr));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_close(MACH_PORT_NULL));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_close(self()));
    if (::geteuid() != 0) {
        CHECK_EQ(0, ::chmod(path, 0400));
        refused(KERN_PROTECTION_FAILURE, path, VM_PROT_DEFAULT);
        CHECK_EQ(0, ::chmod(path, 0600));
    }

    // Opened for reading, and then for writing: one object, two rights.
    const auto to_read = open_object(path, VM_PROT_READ);
    CHECK_KERN(KERN_PROTECTION_FAILURE, try_map(to_read));
    const auto seen = map(to_read, file.bytes(), 0, FALSE, VM_PROT_READ);
    CHECK_EQ(VM_PROT_READ | VM_PROT_EXECUTE, REGION_AT(self(), seen).max_protection);
    CHECK_KERN(KERN_PROTECTION_FAILURE, vm_protect(self(), seen, kPage, FALSE, VM_PROT_DEFAULT));
    const auto own = map(to_read, kPage, kPage, TRUE); // a copy is one's own
    word(own) = 5;
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), seen, file.bytes(), kSync));
    std::array<char, 4096> here{};
    CHECK(::getcwd(here.data(), here.size()) != nullptr);
    CHECK_EQ(0, ::chdir("/tmp"));
    const auto to_write = open_object(file.path().substr(5)); // under a relative path
    CHECK_EQ(0, ::chdir(here.data()));
    CHECK(to_write != to_read);
    CHECK_EQ(to_write, open_object(path));
    const auto written = map(to_write, file.bytes());
    word(written + kPage) = 6;
    CHECK_EQ(6L, word(seen + kPage).load());
    CHECK_EQ(5L, word(own).load());
    CHECK_KERN(KERN_INVALID_ARGUMENT, try_map(to_write + 4711));
    vm_address_t behind = 0;
    CHECK_KERN(KERN_INVALID_ARGUMENT, vm_map(self(), &behind, 2 * kPage, 0, TRUE, to_write, 3 * kPage, FALSE,
                                             VM_PROT_DEFAULT, VM_PROT_ALL, VM_INHERIT_SHARE));

    const auto sync = [&](kern_return_t status, vm_address_t address, vm_size_t bytes, vm_sync_t flags) {
        CHECK_KERN(status, vm_msync(self(), address, bytes, flags));
    };
    sync(KERN_INVALID_ARGUMENT, written, kPage, VM_SYNC_ASYNCHRONOUS | VM_SYNC_SYNCHRONOUS);
    sync(KERN_INVALID_ARGUMENT, written, kPage, 0x40);
    sync(KERN_INVALID_ADDRESS, 0x1000, kPage, kSync);
    sync(KERN_INVALID_ADDRESS, written, 0 - vm_size_t{1}, kSync);
    CHECK_KERN(KERN_INVALID_TASK, vm_msync(mach_host_self(), written, kPage, kSync));
    sync(KERN_SUCCESS, written, 0, kSync);
    CHECK_EQ(513L, file.word_at(kPage));
    sync(KERN_SUCCESS, own, kPage, kSync); // which has no file
    sync(KERN_SUCCESS, written, 1, kSync);
    CHECK_EQ(513L, file.word_at(kPage));
    sync(KERN_SUCCESS, written + kPage + 5, 1, VM_SYNC_ASYNCHRONOUS);
    CHECK_EQ(6L, file.word_at(kPage));
    word(written + 2 * kPage) = 7;
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), written + kPage, kPage));
    sync(KERN_INVALID_ADDRESS, written, 3 * kPage, kSync | VM_SYNC_CONTIGUOUS);
    CHECK_EQ(1025L, file.word_at(2 * kPage));
    sync(KERN_SUCCESS, written, 3 * kPage, VM_SYNC_INVALIDATE);
    CHECK_EQ(7L, file.word_at(2 * kPage));

    // Two opens, two closes; then the port is good for nothing.
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), written, file.bytes()));
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), seen, file.bytes()));
    CHECK_KERN(KERN_SUCCESS, norma_object_close(to_read));
    CHECK_KERN(KERN_SUCCESS, norma_object_close(to_write));
    CHECK_KERN(KERN_SUCCESS, try_map(to_write));
    CHECK_KERN(KERN_SUCCESS, norma_object_close(to_write));
    CHECK_KERN(KERN_INVALID_ARGUMENT, norma_object_close(to_write));
    return 0;
}

// Without vm_msync: when nobody uses the object any more, from whichever node it was written.
SYSTEM_CASE(files_saved_at_the_end) {
    for (int node = 0; node < norma::node_count(); ++node) {
        File file(4 * kPage / 8);
        const auto memory = map_file(file);
        auto writer = systest::spawn(node, [=] {
            word(memory) = 100;
            word(memory + 3 * kPage) = 200;
        });
        JOIN(writer);
        CHECK_EQ(1L, file.word_at(0));
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), memory, 4 * kPage));
        const auto again = map_file(file); // at once: it may not have got there yet
        CHECK_EQ(100L, word(again).load());
        CHECK_EQ(2L, word(again + 8).load());
        CHECK_EQ(200L, word(again + 3 * kPage).load());
        word(again + kPage) = 300;
        CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), again, 4 * kPage));
        CHECK_SOON(file.word_at(0) == 100 && file.word_at(3 * kPage) == 200 && file.word_at(kPage) == 300);

        // A task's end is the end of what it has opened and mapped.
        auto *const path = systest::shared<std::array<char, 64>>();
        std::strncpy(path->data(), file.path().c_str(), path->size() - 1);
        auto other = norma::clone_to(node);
        other.run([=] {
            const auto object = open_object(path->data());
            word(map(object, kPage) + 8) = 400;
        });
        JOIN(other);
        CHECK_SOON(file.word_at(8) == 400);
    }
    return 0;
}

// A copy is of the moment when it was made, whatever becomes of the file, and of the object, later.
SYSTEM_CASE(files_copied) {
    constexpr std::size_t kPages = 20;
    File file(kPages * kPage / 8);
    const auto object = open_object(file.path());
    const auto memory = map(object, kPages * kPage);
    word(memory) = -1;
    const auto copy = map(object, kPages * kPage, 0, TRUE);
    CHECK_KERN(KERN_SUCCESS, vm_inherit(self(), memory, kPages * kPage, VM_INHERIT_COPY));
    task_t child = TASK_NULL;
    CHECK_KERN(KERN_SUCCESS, norma_task_create(self(), TRUE, last_node(), &child));
    for (std::size_t page = 0; page < kPages; page += 2) {
        word(memory + page * kPage + 16) = -2;
    }
    CHECK_KERN(KERN_SUCCESS, vm_deallocate(self(), memory, kPages * kPage));
    CHECK_KERN(KERN_SUCCESS, norma_object_close(object));
    CHECK_SOON(file.word_at(16) == -2 && try_map(object) == KERN_MEMORY_FAILURE);
    const auto later = map_file(file);
    for (std::size_t page = 0; page < kPages; ++page) {
        word(later + page * kPage + 8) = -3;
    }
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), later, kPages * kPage, kSync));
    const auto inherited = take(child, memory, kPages * kPage);
    for (std::size_t page = 0; page < kPages; ++page) {
        const auto first = static_cast<long>(page * kPage / 8) + 1;
        for (const auto &address : {copy, inherited}) {
            CHECK_EQ(page == 0 ? -1 : first, word(address + page * kPage).load());
            CHECK_EQ(first + 1, word(address + page * kPage + 8).load());
            CHECK_EQ(first + 2, word(address + page * kPage + 16).load());
        }
        word(copy + page * kPage + 24) = -4; // never gets into the file
        CHECK_EQ(page % 2 == 0 ? -2 : first + 2, word(later + page * kPage + 16).load());
    }
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), copy, kPages * kPage, kSync));
    CHECK_EQ(4L, file.word_at(24));
    CHECK_KERN(KERN_SUCCESS, task_terminate(child));
    return 0;
}

// While everybody writes everywhere everybody saves. What has been written before a call is in the file after it.
SYSTEM_CASE(files_stress) {
    constexpr std::size_t kPages = 8;
    constexpr long kTurns = 150;
    File file(kPages * kPage / 8, 0, 0);
    const auto memory = map_file(file);
    const int nodes = norma::node_count();
    std::vector<norma::task> writers;
    for (int node = 0; node < nodes; ++node) {
        writers.push_back(systest::spawn(node, [=] {
            for (long turn = 1; turn <= kTurns; ++turn) {
                for (std::size_t page = 0; page < kPages; ++page) {
                    word(memory + page * kPage + 8 * static_cast<std::size_t>(node)) = turn;
                }
                if (turn % 10 == node) {
                    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), memory, kPages * kPage, VM_SYNC_ASYNCHRONOUS));
                }
            }
        }));
    }
    const auto own = memory + 8 * static_cast<std::size_t>(nodes);
    for (long turn = 1; turn <= 20; ++turn) {
        word(own + 3 * kPage) = turn;
        CHECK_KERN(KERN_SUCCESS, vm_msync(self(), memory, kPages * kPage, kSync));
        CHECK_EQ(turn, file.word_at(own - memory + 3 * kPage));
    }
    for (auto &writer : writers) {
        JOIN(writer);
    }
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), memory, kPages * kPage, kSync));
    for (std::size_t page = 0; page < kPages; ++page) {
        for (int node = 0; node < nodes; ++node) {
            CHECK_EQ(kTurns, file.word_at(page * kPage + 8 * static_cast<std::size_t>(node)));
        }
    }
    return 0;
}

// A file that says it has a page, and then does not give it: whoever touches it finds it lost, on any node.
SYSTEM_CASE(files_unreadable) {
    const std::string path = "/sys/class/net/lo/speed";
    vm_size_t size = 0;
    memory_object_t object = MACH_PORT_NULL;
    if (norma_object_open_file(path.c_str(), VM_PROT_READ, &size, &object) != KERN_SUCCESS) {
        return 0; // not here
    }
    const auto memory = map(object, kPage, 0, FALSE, VM_PROT_READ);
    const auto copy = map(object, kPage, 0, TRUE);
    for (int node = 0; node < norma::node_count(); ++node) {
        auto reader = systest::spawn(node, [=, of = self()] {
            for (const auto address : {memory, copy}) {
                vm_offset_t data = 0;
                mach_msg_type_number_t count = 0;
                CHECK_KERN(KERN_MEMORY_FAILURE, vm_read(self(), address, kPage, &data, &count));
            }
        });
        JOIN(reader);
    }
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), memory, kPage, kSync)); // nothing has been written
    return 0;
}

// A node takes the only copy of what it has written along; the file keeps what it had, and the rest gets there.
SYSTEM_CASE(files_and_death) {
    File file(4 * kPage / 8);
    const auto memory = map_file(file);
    word(memory + 8) = 100;
    auto writer = systest::spawn(1, [=] {
        CHECK_EQ(1537L, word(memory + 3 * kPage).load());
        word(memory + kPage) = 200;
        word(memory + 2 * kPage) = 300;
    });
    JOIN(writer);
    CHECK_EQ(300L, word(memory + 2 * kPage).load());
    systest::kill_node(1);
    CHECK_KERN(KERN_MEMORY_FAILURE, vm_msync(self(), memory, 4 * kPage, kSync));
    CHECK_EQ(100L, file.word_at(8));
    CHECK_EQ(513L, file.word_at(kPage));
    CHECK_EQ(300L, file.word_at(2 * kPage));
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), memory + 2 * kPage, 2 * kPage, kSync));
    return 0;
}

// The file is on a node that dies: what is here stays, and cannot be saved any more.
SYSTEM_CASE(files_and_death_of_home) {
    File file(4 * kPage / 8);
    auto *const path = systest::shared<std::array<char, 64>>();
    auto *const there = systest::shared<std::atomic<vm_address_t>>();
    std::strncpy(path->data(), file.path().c_str(), path->size() - 1);
    auto opener = norma::clone_to(1);
    opener.run([=] {
        *there = map(open_object(path->data()), 4 * kPage);
        ::pause();
    });
    CHECK_SOON(*there != 0);
    const auto memory = take(opener.port(), *there, 4 * kPage);
    word(memory) = 100;
    CHECK_KERN(KERN_SUCCESS, vm_msync(self(), memory, 4 * kPage, kSync));
    CHECK_EQ(100L, file.word_at(0));
    word(memory) = 200;
    systest::kill_node(1);
    CHECK_KERN(KERN_NODE_DOWN, vm_msync(self(), memory, 4 * kPage, kSync));
    CHECK_EQ(200L, word(memory).load());
    CHECK_EQ(100L, file.word_at(0));
    CHECK(REGION_AT(self(), memory).shared); // nobody is left who could say that it is not
    opener.release();
    return 0;
}

// The job ends, and nobody has asked for anything: the caller looks at the file afterwards.
SYSTEM_CASE(files_left_to_the_end) {
    const auto object = open_object(args[0]);
    const auto memory = map(object, 3 * kPage);
    word(memory) = -1;
    auto writer = systest::spawn(last_node(), [=] { word(memory + 2 * kPage) = -3; });
    JOIN(writer);
    return 0;
}
