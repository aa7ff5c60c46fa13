// SPDX-License-Identifier: BSD-3-Clause
// This process's side of the tables that tasks may share (sharing.hpp). A process that shares none changes its own as
// ever. From the moment when it shares one, every change goes by the node server, and comes back to the service thread
// of each process that is concerned, this one included.
#pragma once

#include "runtime/client/inheritance.hpp"
#include "runtime/sharing.hpp"

#include <atomic>
#include <cstddef>
#include <span>
#include <vector>

namespace norma::rt {

// ---- any thread, and signal handlers ----
bool is_shared(Table table) noexcept;
void share(Table table) noexcept; // when it returns nobody changes it alone any more

// While it is there, the calling thread may change a table of this process by itself, unless it says otherwise. No
// signal comes between, so whoever begins to share has not to wait for long.
class ChangeAlone {
  public:
    explicit ChangeAlone(Table table) noexcept;
    ChangeAlone(const ChangeAlone &) = delete;
    ChangeAlone &operator=(const ChangeAlone &) = delete;
    ~ChangeAlone();
    explicit operator bool() const { return allowed_; }

  private:
    Table table_;
    bool allowed_;
    sigset_t blocked_before_;
};

// Changes it for all who share it, this process too; `before` gets what was there. Neither may be coherent memory. 0 or
// an errno value, and then nobody has changed it.
int change_for_all(Table table, std::span<const std::byte> change, std::span<std::byte> before) noexcept;

// ---- the service thread; 0 or an errno value ----
int read_table(Table table, Inheritance &content);
int join_table(Table table, std::span<const std::byte> content);
int step_table(Table table, TableStep step, std::span<const std::byte> change, std::vector<std::byte> &before);

} // namespace norma::rt
