// SPDX-License-Identifier: BSD-3-Clause
// Situations that runs have to reach: a simulation that never comes to the rare ones says nothing about them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace norma::sim {

enum class Probe : std::uint8_t {
    upgrade_granted,
    zeros_travelled,
    window_travelled,
    queued_behind_busy,
    deferred_forward,
    barred_data,
    asked_again,
    supplier_died,
    abandoned_write,
    advanced_by_a_death,
    lost_page_reported,
    answer_after_the_end,
    home_died,
    kept_reading_without_home,
    poison_seen,
    inbox_reordered,
    repeat_dropped,
    garbage_dropped,
    former_life_dropped,
    late_of_the_dead_dropped,
    handled_out_of_order,
    held_by_partition,
    fenced_after_partition,
    fault_in_a_dying_task,
    clone_while_pages_move,
    clone_failed,
    teleport_during_fault,
    teleport_of_another,
    teleport_failed,
    thread_went_on_elsewhere,
    lock_of_the_dead_taken,
    barrier_broken,
    region_given_back,
    creation_failed,
    crash_in_a_call,
    child_of_a_child,
    written_while_copied,
    copy_kept_apart,
    suspended_in_a_fault,
    fetched_in_advance,
    evicted,
    reached_for_good,
    reached_and_copied,
    reached_on_loan,
    reach_failed,
    task_moved,
    another_task_moved,
    task_move_failed,
    threads_moved_together,
    halted_in_a_fault,
    wait_begun_again,
    moved_with_a_lock,
    lost_on_the_move,
    count_of_probes
};
inline constexpr std::size_t kProbes = static_cast<std::size_t>(Probe::count_of_probes);

std::string_view name_of(Probe probe);

class Probes {
  public:
    void hit(Probe probe, std::uint64_t times = 1) { counts_[static_cast<std::size_t>(probe)] += times; }
    std::uint64_t operator[](Probe probe) const { return counts_[static_cast<std::size_t>(probe)]; }
    void add(const Probes &other) {
        for (std::size_t i = 0; i < kProbes; ++i) {
            counts_[i] += other.counts_[i];
        }
    }
    std::size_t reached() const {
        std::size_t result = 0;
        for (const auto count : counts_) {
            result += count > 0 ? 1 : 0;
        }
        return result;
    }

  private:
    std::array<std::uint64_t, kProbes> counts_{};
};

} // namespace norma::sim
