// SPDX-License-Identifier: BSD-3-Clause
// What the kernel does with coherent memory, as far as the pager relies on it (docs/architecture.md, "A page's way"):
// sparse shared files, address spaces that map them, page-table entries with write protection and its markers, and
// faults that wait for a userfaultfd.
#pragma once

#include "dsm/userfault.hpp"
#include "tests/simulation/oracle.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <set>

namespace norma::sim {

class AddressSpace;

// The frames of one object on one node. A hole has no content and reads as zeros.
class FrameFile {
  public:
    FrameFile(NodeId node, bool markers_survive) : node_(node), markers_survive_(markers_survive) {}

    const Content *find(std::uint64_t page) const;
    Content &make(std::uint64_t page) { return frames_[page]; } // zeros if it was a hole
    void drop(std::uint64_t page, std::uint64_t count);
    NodeId node() const { return node_; }
    bool was_mapped() const { return was_mapped_; }
    const std::map<std::uint64_t, Content> &frames() const { return frames_; }

  private:
    friend class AddressSpace;
    NodeId node_;
    bool markers_survive_;
    bool was_mapped_ = false;
    std::map<std::uint64_t, Content> frames_;
    std::vector<AddressSpace *> mappers_; // once for each mapping
};

class AddressSpace {
  public:
    struct Mapping {
        PageNumber first = 0;
        std::uint64_t pages = 0;
        std::shared_ptr<FrameFile> file;
        std::uint64_t offset = 0; // the file's page at `first`
        bool registered = false;
    };
    struct Hooks {
        std::function<void()> message;                  // there is a fault to be read
        std::function<void(std::uint64_t actor)> retry; // the thread was woken: it looks again
    };
    explicit AddressSpace(Hooks hooks) : hooks_(std::move(hooks)) {}
    ~AddressSpace() { end(); }
    AddressSpace(const AddressSpace &) = delete;
    AddressSpace &operator=(const AddressSpace &) = delete;

    // System calls of the process itself.
    void map(PageNumber first, std::uint64_t pages, std::shared_ptr<FrameFile> file, std::uint64_t offset);
    void unmap(PageNumber first, std::uint64_t pages);
    void forbid(PageNumber first, std::uint64_t pages); // no access
    void allow(PageNumber first, std::uint64_t pages);  // any access
    void poison(PageNumber page) { poisoned_.insert(page); }
    void end(); // the process is gone

    // A thread touches a page. `waits`: it sleeps until retry().
    enum class Touch : std::uint8_t { allowed, waits, poisoned, no_memory };
    Touch touch(std::uint64_t actor, PageNumber page, bool write, Content *&content);
    void forget(std::uint64_t actor);
    bool anyone_waits() const { return !waiting_.empty(); }
    const std::map<PageNumber, Mapping> &mappings() const { return mappings_; }

    // The userfaultfd: 0 or an errno value.
    std::optional<dsm::PageFault> next_fault();
    bool has_fault() const { return !faults_.empty(); }
    int add_range(PageNumber first, std::uint64_t pages);
    int copy(PageNumber page, const Content &content, bool protect);
    int protect(PageNumber first, std::uint64_t pages, bool on);
    int wake(PageNumber first, std::uint64_t pages);

  private:
    friend class FrameFile;
    struct Entry {
        bool present = false;
        bool marked = false; // write-protected; without a frame, a marker that a frame to come will be
    };
    struct Sleeper {
        std::uint64_t actor = 0;
        PageNumber page = 0;
    };
    const Mapping *find(PageNumber page) const;
    Touch fault(std::uint64_t actor, PageNumber page, bool write, bool write_protected);
    void zap(const FrameFile &file, std::uint64_t page);
    void clear(PageNumber page);
    void withdraw(std::uint64_t actor);

    Hooks hooks_;
    bool ended_ = false;
    std::map<PageNumber, Mapping> mappings_;
    std::unordered_map<PageNumber, Entry> table_;
    std::set<PageNumber> poisoned_, forbidden_;
    std::vector<Sleeper> waiting_; // in the order in which they went to sleep
    std::deque<dsm::PageFault> faults_;
};

} // namespace norma::sim
