// SPDX-License-Identifier: BSD-3-Clause
// Imported regions whose owner is on this machine: their frames are in the memory of this process, and an access is a
// copy. docs/one-sided.md says what keeps it from memory that is another's by then. Thread-safe.
#pragma once

#include "norma/region.h"
#include "runtime/client/one_sided.hpp"
#include "runtime/client/one_sided_slots.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace norma::rt {

class DirectRegion;

class DirectRegions {
  public:
    // Numbers of regions and of accesses that are to be found here, and not with a network.
    static bool has(std::uint64_t number) { return (number & kMark) != 0; }

    // No value: it cannot be had in this way. `socket` is that of the owner's node server.
    std::optional<kern_return_t> import(const std::string &socket, const norma_key_t &key, norma_region_t &region,
                                        std::uint64_t &bytes, vm_prot_t &access); // throws std::bad_alloc
    kern_return_t release(norma_region_t region);
    // To its end.
    kern_return_t run(norma_region_t region, std::span<const Access> pieces);
    // Likewise; the result is told by take().
    kern_return_t start(norma_region_t region, std::span<const Access> pieces, norma_op_t &op);
    kern_return_t take(norma_op_t op);
    kern_return_t fence(norma_region_t region);

  private:
    static constexpr std::uint64_t kMark = std::uint64_t{1} << 31; // more than Slots have

    struct Region {
        std::shared_ptr<DirectRegion> memory; // null: that is over
        kern_return_t failure = KERN_SUCCESS; // what every access gets since
    };
    struct Op {
        kern_return_t status = KERN_SUCCESS;
    };

    void is_over(norma_region_t region, kern_return_t why);

    std::mutex mutex_;
    Slots<Region> regions_;
    Slots<Op> ops_; // whose result nobody has asked for
};

} // namespace norma::rt
