// SPDX-License-Identifier: BSD-3-Clause
// libnorma_pmix.so: the ranks as PMIx knows them. PMIx calls back in a thread of its own, which lives as long as
// PmixRanks.
#include "runtime/bootstrap.hpp"

#include <array>
#include <cstdlib>
#include <future>
#include <stdexcept>

#include <norma/mach.h>

#include <fmt/format.h>
#include <pmix.h>
#include <unistd.h>

namespace norma::rt {
namespace {

using namespace std::chrono_literals;

constexpr auto kAnswerLimit = 2s; // for what is there already, somewhere
constexpr auto kSlack = 1s;       // for a server that is to end a fence

std::string error_text(pmix_status_t status) {
    return PMIx_Error_string(status);
}

// What a callback is given belongs to it, since it may come when nobody waits any more.
void fence_ended(pmix_status_t status, void *outcome) {
    const std::unique_ptr<std::promise<pmix_status_t>> promise(static_cast<std::promise<pmix_status_t> *>(outcome));
    promise->set_value(status);
}

using Got = std::optional<CardBytes>;
void value_came(pmix_status_t status, pmix_value_t *value, void *outcome) {
    const std::unique_ptr<std::promise<Got>> promise(static_cast<std::promise<Got> *>(outcome));
    Got got;
    if (status == PMIX_SUCCESS && value != nullptr) {
        got.emplace();
        if (value->type == PMIX_BYTE_OBJECT && value->data.bo.bytes != nullptr) {
            const auto *const bytes = reinterpret_cast<const std::byte *>(value->data.bo.bytes);
            got->assign(bytes, bytes + value->data.bo.size);
        }
    }
    promise->set_value(std::move(got));
}

class PmixRanks final : public Ranks {
  public:
    PmixRanks(const pmix_proc_t &self, unsigned count) : self_(self), count_(count) {}
    ~PmixRanks() override { PMIx_Finalize(nullptr, 0); }

    unsigned self() const override { return self_.rank; }
    unsigned count() const override { return count_; }
    std::string name(unsigned rank) override;
    std::vector<std::optional<CardBytes>> exchange(std::span<const std::byte> card,
                                                   std::chrono::seconds limit) override;
    [[noreturn]] void end_all(const std::string &why) override;

  private:
    pmix_proc_t process(pmix_rank_t rank) const {
        pmix_proc_t found;
        PMIX_LOAD_PROCID(&found, self_.nspace, rank);
        return found;
    }
    void publish(std::span<const std::byte> card) const;
    bool meet(std::chrono::seconds limit) const;
    std::vector<Got> cards() const;

    const pmix_proc_t self_;
    const unsigned count_;
};

std::string PmixRanks::name(unsigned rank) {
    const auto who = process(rank);
    pmix_value_t *value = nullptr;
    std::string host;
    if (PMIx_Get(&who, PMIX_HOSTNAME, nullptr, 0, &value) == PMIX_SUCCESS) {
        if (value->type == PMIX_STRING) {
            host = value->data.string;
        }
        PMIX_VALUE_RELEASE(value);
    }
    return host.empty() ? fmt::format("rank {}", rank) : fmt::format("rank {} on {}", rank, host);
}

std::vector<Got> PmixRanks::exchange(std::span<const std::byte> card, std::chrono::seconds limit) {
    publish(card);
    const bool all = meet(limit);
    auto found = cards();
    if (all) {
        for (auto &one : found) { // who has come without a card has said nothing
            one = one.value_or(CardBytes());
        }
    }
    return found;
}

void PmixRanks::publish(std::span<const std::byte> card) const {
    std::string bytes(reinterpret_cast<const char *>(card.data()), card.size());
    pmix_value_t value;
    PMIX_VALUE_CONSTRUCT(&value);
    value.type = PMIX_BYTE_OBJECT; // PMIx makes a copy
    value.data.bo = {.bytes = bytes.data(), .size = bytes.size()};
    auto status = PMIx_Put(PMIX_GLOBAL, kCardKey, &value);
    if (status == PMIX_SUCCESS) {
        status = PMIx_Commit();
    }
    if (status != PMIX_SUCCESS) {
        throw std::runtime_error(fmt::format("PMIx does not take what the ranks are told: {}", error_text(status)));
    }
}

// Whether all have come. It is for the server to end the fence in time, if it does that: the mpirun of Open MPI 4.1
// crashes or hangs at its own end if there still is one then.
bool PmixRanks::meet(std::chrono::seconds limit) const {
    auto *const promise = new std::promise<pmix_status_t>;
    auto outcome = promise->get_future();
    const auto all = process(PMIX_RANK_WILDCARD);
    bool yes = true;
    auto seconds = static_cast<int>(limit.count());
    std::array<pmix_info_t, 2> how;
    PMIX_INFO_LOAD(&how[0], PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
    PMIX_INFO_LOAD(&how[1], PMIX_TIMEOUT, &seconds, PMIX_INT);
    if (const auto begun = PMIx_Fence_nb(&all, 1, how.data(), how.size(), fence_ended, promise);
        begun != PMIX_SUCCESS) {
        fence_ended(begun == PMIX_OPERATION_SUCCEEDED ? PMIX_SUCCESS : begun, promise);
    }
    const bool ended = outcome.wait_for(limit + kSlack) == std::future_status::ready;
    const auto status = ended ? outcome.get() : PMIX_ERR_TIMEOUT;
    if (status != PMIX_SUCCESS && status != PMIX_ERR_TIMEOUT) {
        throw std::runtime_error(fmt::format("the ranks cannot meet: {}", error_text(status)));
    }
    return status == PMIX_SUCCESS;
}

std::vector<Got> PmixRanks::cards() const {
    std::vector<std::future<Got>> asked;
    for (unsigned rank = 0; rank < count_; ++rank) {
        auto *const promise = new std::promise<Got>;
        asked.push_back(promise->get_future());
        const auto who = process(rank);
        if (const auto begun = PMIx_Get_nb(&who, kCardKey, nullptr, 0, value_came, promise); begun != PMIX_SUCCESS) {
            value_came(begun, nullptr, promise);
        }
    }
    const auto deadline = std::chrono::steady_clock::now() + kAnswerLimit;
    std::vector<Got> found;
    for (auto &answer : asked) {
        found.push_back(answer.wait_until(deadline) == std::future_status::ready ? answer.get() : std::nullopt);
    }
    return found;
}

void PmixRanks::end_all(const std::string &why) {
    PMIx_Abort(1, why.c_str(), nullptr, 0);
    ::_exit(1); // a fence may be under way, for which PMIx_Finalize() would wait
}

unsigned count_ranks(const pmix_proc_t &self) {
    pmix_proc_t all;
    PMIX_LOAD_PROCID(&all, self.nspace, PMIX_RANK_WILDCARD);
    pmix_value_t *value = nullptr;
    if (PMIx_Get(&all, PMIX_JOB_SIZE, nullptr, 0, &value) != PMIX_SUCCESS) {
        return 0;
    }
    const auto count = value->type == PMIX_UINT32 ? value->data.uint32 : 0;
    PMIX_VALUE_RELEASE(value);
    return count;
}

} // namespace

extern "C" NORMA_EXPORT Ranks *norma_open_ranks(std::string &why) {
    pmix_proc_t self;
    if (const auto status = PMIx_Init(&self, nullptr, 0); status != PMIX_SUCCESS) {
        why = fmt::format("PMIx_Init: {}", error_text(status));
        return nullptr;
    }
    auto ranks = std::make_unique<PmixRanks>(self, count_ranks(self));
    if (ranks->self() >= ranks->count()) {
        why = "it does not say how many ranks there are";
        return nullptr;
    }
    return ranks.release();
}

} // namespace norma::rt
