// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/account.hpp"

#include "runtime/log.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace norma::rt {

void Spent::add(const dsm::ThreadTimes::Totals &times, std::chrono::microseconds used) {
    for (std::size_t place = 0; place < times.size(); ++place) {
        threads.at(place) += times.at(place);
    }
    cpu += used;
}

// In one write, as all nodes of a machine have the same file.
void write_account(const std::string &file, dsm::NodeId node, const Spent &spent, const dsm::PagerCounters &pages) {
    const auto us = [&spent](dsm::ThreadTimes::Place place) {
        return std::chrono::duration_cast<std::chrono::microseconds>(spent.threads.at(place)).count();
    };
    using Times = dsm::ThreadTimes;
    const auto line =
        fmt::format(R"({{"node": {}, "threads_us": {}, "compute_us": {}, "fault_us": {}, "wait_us": {}, "cpu_us": {}, )"
                    R"("faults_read": {}, "faults_write": {}, "pages_in": {}, "pages_out": {}}})"
                    "\n",
                    node, us(Times::kComputing) + us(Times::kInFault) + us(Times::kInCall), us(Times::kComputing),
                    us(Times::kInFault), us(Times::kInCall), spent.cpu.count(), pages.faults_read, pages.faults_write,
                    pages.pages_in, pages.pages_out);
    const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    const auto written = fd < 0 ? -1 : ::write(fd, line.data(), line.size());
    if (written != static_cast<ssize_t>(line.size())) {
        log_error("the account of node {} cannot be written to NORMA_ACCOUNT={}: {}", node, file,
                  written < 0 ? std::strerror(errno) : "not all of it");
    }
    if (fd >= 0) {
        ::close(fd);
    }
}

} // namespace norma::rt
