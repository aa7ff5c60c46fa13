// SPDX-License-Identifier: BSD-3-Clause
#include "apps/common/workers.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace apps {

void require_job(const char *program) {
    if (!norma::in_job()) {
        throw UsageError(
            fmt::format("this program works inside a job: start it with `norma run -N 2 {} ...`", program));
    }
}

std::string node_list(const std::vector<int> &nodes) {
    return fmt::format("{}", fmt::join(nodes, " "));
}

std::string describe_dead(std::vector<norma::task> &workers) {
    // A barrier may break a moment before the end of the task that broke it can be waited for.
    constexpr int kPatienceMs = 200;
    std::vector<std::string> causes;
    std::vector<std::string> consequences; // workers give up when the barrier breaks
    for (std::size_t index = 0; index < workers.size(); ++index) {
        int raw = 0;
        const kern_return_t code = norma_task_wait(workers[index].port(), kPatienceMs, &raw);
        if (code == KERN_OPERATION_TIMED_OUT) {
            continue;
        }
        const norma::exit_status status(raw);
        if (code != KERN_SUCCESS) {
            causes.push_back(fmt::format("worker {}: {}", index, norma_strerror(code)));
        } else if (!status.exited()) {
            causes.push_back(fmt::format("worker {} was killed by signal {}", index, status.signal()));
        } else {
            consequences.push_back(fmt::format("worker {} ended early with exit code {}", index, status.code()));
        }
    }
    const auto &news = causes.empty() ? consequences : causes;
    return news.empty() ? "a worker is gone" : fmt::format("{}", fmt::join(news, "; "));
}

} // namespace apps
