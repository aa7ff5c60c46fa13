// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/bootstrap.hpp"

#include <filesystem>
#include <stdexcept>

#include <dlfcn.h>
#include <fmt/format.h>

namespace norma::rt {
namespace {

namespace fs = std::filesystem;

constexpr const char *kLibrary = "libnorma_pmix.so";

// PMIx stays out of processes that no launcher has started: it brings threads and a dozen libraries.
std::unique_ptr<Ranks> open_ranks() {
    const auto advice = "NORMA_BOOTSTRAP=single starts a job of this process alone";
    auto *const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
    auto *const open = library == nullptr ? nullptr : reinterpret_cast<OpenRanks *>(::dlsym(library, kOpenRanks));
    if (open == nullptr) {
        throw std::runtime_error(
            fmt::format("started by a launcher with PMIx, which cannot be asked: {} ({})", ::dlerror(), advice));
    }
    std::string why;
    std::unique_ptr<Ranks> ranks(open(why));
    if (ranks == nullptr) {
        throw std::runtime_error(fmt::format("the launcher with PMIx that PMIX_NAMESPACE speaks of cannot be asked: {} "
                                             "({})",
                                             why, advice));
    }
    return ranks;
}

} // namespace

std::unique_ptr<Ranks> find_ranks(const Environment &environment) {
    const auto mode = value_in(environment, "NORMA_BOOTSTRAP").value_or("auto");
    const bool launched = value_in(environment, "PMIX_RANK") && value_in(environment, "PMIX_NAMESPACE");
    if (mode == "pmix" && !launched) {
        throw std::invalid_argument(
            "NORMA_BOOTSTRAP=pmix, but no launcher with PMIx has started this process: there is "
            "no PMIX_RANK in its environment (srun wants --mpi=pmix)");
    }
    return launched && mode != "single" ? open_ranks() : nullptr;
}

} // namespace norma::rt
