// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/attach.hpp"

#include "norma/norma.h"
#include "runtime/c_strings.hpp"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"
#include "runtime/client/program.hpp"
#include "runtime/client/samples.hpp"
#include "runtime/client/service.hpp"
#include "runtime/client/stops.hpp"
#include "runtime/client/window.hpp"
#include "runtime/config.hpp"
#include "runtime/doors.hpp"
#include "runtime/job_settings.hpp"
#include "runtime/local_socket.hpp"
#include "runtime/packets.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPatience = 10s; // with a node server
constexpr auto kRetry = 20ms;

struct Refusal {
    kern_return_t status = KERN_SUCCESS;
    std::string why;
};

std::vector<std::string> settings; // of the job

Config config_of(const std::vector<std::string> &environment) {
    try {
        return load_config(c_strings(environment).data());
    } catch (const ConfigError &error) {
        throw Refusal{KERN_INVALID_ARGUMENT, error.what()};
    }
}

int job_or_default(int job) {
    const auto given = given_value(environ, "NORMA_JOB");
    return job != 0 || !given ? job : config_of({fmt::format("NORMA_JOB={}", *given)}).job;
}

// ---- finding the node server ----

std::string list_nodes(const std::vector<DoorName> &doors) {
    std::vector<unsigned> nodes;
    std::ranges::transform(doors, std::back_inserter(nodes), &DoorName::node);
    return fmt::format("{}", fmt::join(nodes, ", "));
}

// job 0: the only one; node < 0: any.
DoorName choose_door(int job, int node) {
    auto doors = doors_here();
    const bool of_somebody = std::ranges::find(doors, job, &DoorName::job) != doors.end();
    std::erase_if(doors, [](const DoorName &door) { return door.user != ::geteuid(); });
    std::vector<pid_t> jobs; // the doors are in their order
    std::ranges::transform(doors, std::back_inserter(jobs), &DoorName::job);
    jobs.erase(std::unique(jobs.begin(), jobs.end()), jobs.end());
    if (job == 0 && jobs.size() > 1) {
        throw Refusal{KERN_INVALID_NAME, fmt::format("there are {} jobs of yours on this machine: name one ({})",
                                                     jobs.size(), fmt::join(jobs, ", "))};
    }
    std::erase_if(doors, [job](const DoorName &door) { return job != 0 && door.job != job; });
    if (doors.empty() && of_somebody) {
        throw Refusal{KERN_INVALID_SECURITY, fmt::format("job {} is another user's", job)};
    }
    if (doors.empty()) {
        throw Refusal{KERN_INVALID_NAME, job == 0 ? "there is no job of yours on this machine"
                                                  : fmt::format("there is no job {} of yours on this machine", job)};
    }
    const auto found =
        std::ranges::find_if(doors, [node](const DoorName &door) { return node < 0 || int(door.node) == node; });
    if (found == doors.end()) {
        throw Refusal{KERN_INVALID_HOST, fmt::format("job {} has no node {} on this machine, but {}", doors.front().job,
                                                     node, list_nodes(doors))};
    }
    return *found;
}

DoorName wait_for_door(int job, int node, int timeout_ms) {
    const auto until = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
        try {
            return choose_door(job, node);
        } catch (const Refusal &refusal) {
            const bool may_come = refusal.status == KERN_INVALID_NAME || refusal.status == KERN_INVALID_HOST;
            if (!may_come || (timeout_ms >= 0 && Clock::now() >= until)) {
                throw;
            }
        }
        std::this_thread::sleep_for(kRetry);
    }
}

// ---- talking to it ----

class Connection {
  public:
    explicit Connection(const DoorName &door) : door_(door) {
        for (fd_ = connect_to(door.socket, SOCK_SEQPACKET); fd_ < 0; fd_ = connect_to(door.socket, SOCK_SEQPACKET)) {
            if (errno != EAGAIN) {
                throw gone();
            }
            if (Clock::now() >= deadline_) { // others stand there already
                throw silent();
            }
            std::this_thread::sleep_for(kRetry);
        }
        const auto peer = peer_behind(fd_);
        if (!peer || peer->user != door.user) {
            close_if_open(fd_);
            throw Refusal{KERN_INVALID_SECURITY, fmt::format("what answers for job {} is another user's", door.job)};
        }
    }
    ~Connection() { close_if_open(fd_); }
    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;

    // The settings of the job.
    std::vector<std::string> greeting() {
        std::vector<std::byte> buffer(kMaxPacketBytes);
        wait();
        int none = -1;
        const auto size = receive_packet(fd_, buffer, none);
        close_if_open(none);
        if (size <= 0) {
            throw gone();
        }
        const auto packet = split_packet<Greeting>(std::span(buffer).first(static_cast<std::size_t>(size)));
        if (!packet || packet->head.magic != kGreetingMagic || packet->head.protocol != kTaskProtocol) {
            throw Refusal{KERN_NOT_SUPPORTED, fmt::format("job {} is one of another version of norma", door_.job)};
        }
        const std::string_view text(reinterpret_cast<const char *>(packet->blob.data()), packet->blob.size());
        if (packet->head.status != KERN_SUCCESS) {
            throw Refusal{packet->head.status, std::string(text)};
        }
        return lines_of(text);
    }

    void wait() const {
        pollfd ready{fd_, POLLIN, 0};
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
            const int got = ::poll(&ready, 1, static_cast<int>(std::max(left, 0ms).count()));
            if (got > 0) {
                return;
            }
            if (got == 0) {
                throw silent();
            }
        }
    }

    int fd() const { return fd_; }
    void keep() { fd_ = -1; }
    Refusal gone() const { return {KERN_TERMINATED, fmt::format("job {} is ending", door_.job)}; }

  private:
    static std::vector<std::string> lines_of(std::string_view text) {
        std::vector<std::string> lines;
        for (auto end = text.find('\0'); end != std::string_view::npos; end = text.find('\0')) {
            lines.emplace_back(text.substr(0, end));
            text.remove_prefix(end + 1);
        }
        return lines;
    }
    Refusal silent() const {
        return {KERN_OPERATION_TIMED_OUT, fmt::format("node {} of job {} does not answer", door_.node, door_.job)};
    }

    const DoorName door_;
    const Clock::time_point deadline_ = Clock::now() + kPatience;
    int fd_ = -1;
};

// ---- becoming a task ----

// What has been taken for a task that does not come to be after all.
class Preparation {
  public:
    explicit Preparation(const Config &config) {
        job.window_base = config.window_base;
        job.window_size = config.window_size;
        if (const int error = reserve_window(); error != 0) {
            throw Refusal{KERN_NO_SPACE,
                          fmt::format("the job's window of {} bytes at {:#x} cannot be had in this process: {}; "
                                      "NORMA_WINDOW_BASE and NORMA_WINDOW_SIZE of the job choose another one",
                                      job.window_size, job.window_base,
                                      error == EEXIST ? "there is something else" : std::strerror(error))};
        }
        if (const int error = open_userfault(config.uffd == UffdMode::user); error != 0) {
            release_window();
            throw Refusal{
                KERN_RESOURCE_SHORTAGE,
                fmt::format("no userfaultfd: {} (`norma info --check` says how to mend it)", std::strerror(error))};
        }
    }
    ~Preparation() {
        if (!kept_) {
            close_if_open(job.userfault);
            job.userfault = job.control = job.node = -1;
            job.nodes = 0;
            release_window();
        }
    }
    Preparation(const Preparation &) = delete;
    Preparation &operator=(const Preparation &) = delete;
    void keep() { kept_ = true; }

  private:
    bool kept_ = false;
};

// A child of plain fork(2) is not the task.
void tell_of_exit(int code, void *) {
    if (job.attached == ::getpid()) {
        tell(TaskMsg::exits, {static_cast<std::uint64_t>(code)});
    }
}

void become_task(const DoorName &door) {
    Connection connection(door);
    auto given = connection.greeting();
    Preparation preparation(config_of(given));
    ::fcntl(connection.fd(), F_SETFL, 0); // threads wait at it from now on
    job.control = connection.fd();
    if (say_hello(0) != 0) {
        throw connection.gone();
    }
    connection.wait();
    job.attached = ::getpid();
    install_stop_handler();
    install_sample_handler();
    if (const int error = serve_from_now_on(); error != 0) {
        job.attached = 0;
        throw error == ECONNRESET ? connection.gone()
                                  : Refusal{KERN_RESOURCE_SHORTAGE,
                                            fmt::format("the service thread cannot be made: {}", std::strerror(error))};
    }
    settings = std::move(given);
    connection.keep();
    preparation.keep();
    ::on_exit(tell_of_exit, nullptr);
    job.active = true;
}

void check_caller() {
    if (is_whole_program()) {
        throw Refusal{KERN_NOT_SUPPORTED, "a whole program (docs/programs.md) is started by norma run"};
    }
    if (job.active) {
        throw Refusal{KERN_INVALID_TASK, job.attached != 0 ? "this process has attached itself to a job already"
                                                           : "this process is a task that norma has started"};
    }
}

kern_return_t explain(const Refusal &refusal, char *why, std::size_t room) {
    if (why != nullptr && room > 0) {
        const auto size = std::min(refusal.why.size(), room - 1);
        std::memcpy(why, refusal.why.data(), size);
        why[size] = '\0';
    }
    return refusal.status;
}

} // namespace

std::vector<std::string> settings_in_force() {
    return job.attached != 0 ? settings : own_environment();
}

void lose_job() {
    poison_window();
    close_if_open(std::exchange(job.userfault, -1)); // which wakes who waits for a page
}

} // namespace norma::rt

extern "C" kern_return_t norma_attach(int job, int node, int timeout_ms, char *why, vm_size_t why_bytes) noexcept {
    using namespace norma::rt;
    static std::mutex one_at_a_time;
    const std::lock_guard guard(one_at_a_time);
    try {
        check_caller();
        become_task(wait_for_door(job_or_default(job), node, timeout_ms));
        return explain({}, why, why_bytes);
    } catch (const Refusal &refusal) {
        return explain(refusal, why, why_bytes);
    } catch (const std::exception &error) {
        return explain({KERN_RESOURCE_SHORTAGE, error.what()}, why, why_bytes);
    }
}
