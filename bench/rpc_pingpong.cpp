// SPDX-License-Identifier: BSD-3-Clause
// What the transport alone can do: two processes on two cores, nothing of norma above rpc/. It prints the round trip of
// a small request that is answered with a page (am_lat) and the rate of a stream of payloads (am_bw).
//
//   norma-rpc-pingpong [-x TRANSPORT]... [-w spin|block]... [-t lat|bw] [-n ITERATIONS] [-r REPEATS]
//   norma-rpc-pingpong -s SIZE -x TRANSPORT -w spin|block -t lat|bw [-n SAMPLES] [-u WARMUP] [-c PROCESSORS]...
//
// The second form prints the microseconds of every sample, for messages of SIZE: round trips, or the mean time of a
// message in a short stream. -c says where the one process runs, and then the other, e.g. -c 0,1 -c 2.
#include "rpc/transport.hpp"
#include "rpc/wire.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace norma::rpc;
using Clock = std::chrono::steady_clock;

enum class Wait { spin, block };
enum class Op : std::uint8_t { ask, answer, block, window_done, stop };

constexpr std::size_t kRequestBytes = 64, kWantedAt = 8; // where a request says how much it wants
constexpr std::size_t kStreamBytes = std::size_t{1} << 30;
constexpr std::size_t kWindowBytes = std::size_t{1} << 20;
// Of a stream whose samples are wanted: what is between node servers has as many messages under way, at least.
constexpr std::size_t kSampleWindow = 32;
constexpr std::array<std::size_t, 3> kStreamSizes{4096, 64 * 1024, 256 * 1024};

struct Settings {
    std::vector<std::string> kinds;
    std::vector<Wait> waits;
    std::size_t iterations = 50000;
    unsigned repeats = 1;
    bool latency = true, stream = true;
    std::size_t size = 0; // not 0: samples only
    std::size_t warmup = 0;
    std::vector<std::string> processors; // of each side; empty: the first two cores
};

const char *name_of(Wait wait) {
    return wait == Wait::spin ? "spin" : "block";
}

// The n-th core this process may use.
void pin_to_core(unsigned n) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) {
        throw std::runtime_error("this measurement needs two cores");
    }
    for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(core, &allowed) && n-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
    }
}

void pin_to(const std::string &processors) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *position = processors.c_str(); *position != '\0';) {
        char *end = nullptr;
        const auto cpu = std::strtoul(position, &end, 10);
        if (end == position || cpu >= CPU_SETSIZE || (*end != ',' && *end != '\0')) {
            throw std::runtime_error(fmt::format("-c {}: not a list of processors", processors));
        }
        CPU_SET(cpu, &set);
        position = *end == ',' ? end + 1 : end;
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::runtime_error(fmt::format("-c {}: {}", processors, std::strerror(errno)));
    }
}

void place(unsigned side, const Settings &settings) {
    if (settings.processors.empty()) {
        pin_to_core(side);
    } else {
        pin_to(settings.processors.at(side));
    }
}

class Node {
  public:
    Node(NodeId self, const std::string &kind, Wait wait, int channel) : peer_(1 - self), wait_(wait) {
        Handlers handlers;
        handlers.message = [this](NodeId, auto record, auto payload) { on_message(record, payload); };
        handlers.down = [this](NodeId, const std::string &) { down_ = true; };
        transport_ = make_transport({.self = self, .kind = kind, .job_key = 1, .incarnation = 1}, std::move(handlers));
        const auto mine = transport_->address();
        std::vector<std::byte> theirs(64 * 1024);
        if (::send(channel, mine.data(), mine.size(), 0) < 0) {
            throw std::runtime_error("cannot hand over the address");
        }
        const auto size = ::recv(channel, theirs.data(), theirs.size(), 0);
        if (size <= 0) {
            throw std::runtime_error("the other process has ended");
        }
        transport_->connect(peer_, 1, std::span(theirs).first(static_cast<std::size_t>(size)));
    }

    std::string describe() const { return transport_->describe(); }

    void send(Op op, std::size_t record_bytes, std::size_t payload_bytes, std::size_t wanted_bytes = 0) {
        record_.assign(record_bytes, std::byte{0});
        record_[0] = static_cast<std::byte>(op);
        if (wanted_bytes != 0) {
            std::memcpy(&record_[kWantedAt], &wanted_bytes, sizeof wanted_bytes);
        }
        StagingPtr payload;
        if (payload_bytes != 0) {
            payload = transport_->stage();
            payload->size = payload_bytes;
        }
        transport_->send(peer_, record_, std::move(payload));
    }

    template <class Done> void run_until(Done done) {
        while (!done()) {
            if (transport_->progress() || wait_ == Wait::spin) {
                continue;
            }
            if (down_) {
                throw std::runtime_error("the other process has ended");
            }
            if (transport_->arm()) {
                pollfd ready{transport_->event_fd(), POLLIN, 0};
                ::poll(&ready, 1, -1);
            }
        }
    }

    void serve() {
        run_until([this] { return stopped_ || down_; });
    }

    // A round trip that brings `size` bytes back.
    void ask(std::size_t size) {
        const auto before = answers_;
        expected_ = size;
        send(Op::ask, kRequestBytes, 0, size);
        run_until([&] { return answers_ != before; });
    }

    // `count` is a multiple of half a window.
    void stream(std::size_t size, std::size_t count, std::size_t window) {
        window_ = window;
        windows_done_ = 0;
        for (std::size_t sent = 0; sent < count;) {
            const std::size_t limit = (windows_done_ + 2) * window_ / 2;
            if (sent < limit) {
                // The last message of each half window asks for a word when it has arrived.
                ++sent;
                send(Op::block, sent % (window_ / 2) == 0 ? 2 : 1, size);
            } else {
                run_until([&] { return sent < (windows_done_ + 2) * window_ / 2; });
            }
        }
        run_until([&] { return windows_done_ >= count / (window_ / 2); });
    }

  private:
    void on_message(std::span<const std::byte> record, std::span<const std::byte> payload) {
        switch (static_cast<Op>(record[0])) {
        case Op::ask: {
            std::size_t wanted = 0;
            std::memcpy(&wanted, &record[kWantedAt], sizeof wanted);
            send(Op::answer, kRequestBytes, wanted);
            return;
        }
        case Op::answer:
            answers_ += payload.size() == expected_ ? 1 : 0;
            return;
        case Op::block:
            if (record.size() == 2) {
                send(Op::window_done, kRequestBytes, 0);
            }
            return;
        case Op::window_done:
            ++windows_done_;
            return;
        case Op::stop:
            stopped_ = true;
            return;
        }
    }

    std::unique_ptr<Transport> transport_;
    std::vector<std::byte> record_;
    NodeId peer_;
    Wait wait_;
    bool down_ = false, stopped_ = false;
    std::size_t answers_ = 0, expected_ = 0, windows_done_ = 0, window_ = 0;
};

void measure_latency(Node &node, const std::string &kind, Wait wait, std::size_t iterations) {
    std::vector<double> times(iterations);
    for (std::size_t i = 0; i < iterations / 10; ++i) {
        node.ask(kPageBytes);
    }
    for (auto &time : times) {
        const auto start = Clock::now();
        node.ask(kPageBytes);
        time = std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    }
    std::sort(times.begin(), times.end());
    const auto at = [&](double share) {
        return times[std::min(times.size() - 1, static_cast<std::size_t>(share * static_cast<double>(times.size())))];
    };
    fmt::print("{:<10}{:<7}{:<8}{:>8}{:>10.2f}{:>10.2f}{:>10.2f}{:>10.2f}{:>10.2f}{:>12}\n", "am_lat", kind,
               name_of(wait), kPageBytes, times.front(), at(0.5), at(0.99), at(0.999), times.back(), "-");
}

void measure_stream(Node &node, const std::string &kind, Wait wait, std::size_t size) {
    const std::size_t count = kStreamBytes / size, window = std::max<std::size_t>(2, kWindowBytes / size);
    node.stream(size, count / 8, window);
    const auto start = Clock::now();
    node.stream(size, count, window);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    fmt::print("{:<10}{:<7}{:<8}{:>8}{:>10}{:>10.2f}{:>10}{:>10}{:>10}{:>12.0f}\n", "am_bw", kind, name_of(wait), size,
               "-", seconds * 1e6 / static_cast<double>(count), "-", "-", "-",
               static_cast<double>(kStreamBytes) / seconds / 1e6);
}

void print_samples(Node &node, const Settings &settings) {
    const std::size_t messages = settings.latency ? 1 : 8 * kSampleWindow;
    std::vector<double> samples(settings.warmup + settings.iterations);
    for (auto &sample : samples) {
        const auto start = Clock::now();
        if (settings.latency) {
            node.ask(settings.size);
        } else {
            node.stream(settings.size, messages, kSampleWindow);
        }
        const std::chrono::duration<double, std::micro> took = Clock::now() - start;
        sample = took.count() / static_cast<double>(messages);
    }
    for (std::size_t i = settings.warmup; i < samples.size(); ++i) {
        fmt::print("{:.3f}\n", samples[i]);
    }
}

void print_tables(Node &node, const std::string &kind, Wait wait, const Settings &settings) {
    fmt::print("# {}\n", node.describe());
    if (settings.latency) {
        measure_latency(node, kind, wait, settings.iterations);
    }
    if (settings.stream) {
        for (const auto size : kStreamSizes) {
            measure_stream(node, kind, wait, size);
        }
    }
}

void run_pair(const std::string &kind, Wait wait, const Settings &settings) {
    std::array<int, 2> channel{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel.data()) != 0) {
        throw std::runtime_error(fmt::format("socketpair: {}", std::strerror(errno)));
    }
    const auto child = ::fork();
    if (child < 0) {
        throw std::runtime_error(fmt::format("fork: {}", std::strerror(errno)));
    }
    ::close(channel[child == 0 ? 0 : 1]);
    if (child == 0) {
        try {
            place(1, settings);
            Node(1, kind, wait, channel[1]).serve();
        } catch (const std::exception &error) {
            fmt::print(stderr, "norma-rpc-pingpong: {}\n", error.what());
        }
        ::_exit(0);
    }
    place(0, settings);
    {
        Node node(0, kind, wait, channel[0]);
        if (settings.size != 0) {
            print_samples(node, settings);
        } else {
            print_tables(node, kind, wait, settings);
        }
        node.send(Op::stop, kRequestBytes, 0);
    }
    ::close(channel[0]);
    ::waitpid(child, nullptr, 0);
}

// Each measurement gets a fresh process, so that one does not see what another left in UCX.
void run_isolated(const std::string &kind, Wait wait, const Settings &settings) {
    std::fflush(stdout);
    const auto child = ::fork();
    if (child == 0) {
        int code = 0;
        try {
            run_pair(kind, wait, settings);
        } catch (const std::exception &error) {
            fmt::print(stderr, "norma-rpc-pingpong: {}\n", error.what());
            code = 1;
        }
        std::fflush(stdout);
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) {
        throw std::runtime_error(fmt::format("measuring {} failed", kind));
    }
}

std::size_t parse_count(const std::string &value) {
    const auto count = std::strtoul(value.c_str(), nullptr, 10);
    if (count == 0 || count > kStreamBytes) {
        throw std::runtime_error(fmt::format("'{}' is no count", value));
    }
    return count;
}

Settings parse(int argc, char **argv) {
    Settings settings;
    for (int option = 0; (option = ::getopt(argc, argv, "x:w:t:n:r:s:u:c:")) != -1;) {
        const std::string value = optarg != nullptr ? optarg : "";
        if (option == 'x') {
            settings.kinds.push_back(value);
        } else if (option == 'w' && (value == "spin" || value == "block")) {
            settings.waits.push_back(value == "spin" ? Wait::spin : Wait::block);
        } else if (option == 't' && (value == "lat" || value == "bw")) {
            settings.latency = value == "lat";
            settings.stream = value == "bw";
        } else if (option == 'n') {
            settings.iterations = parse_count(value);
        } else if (option == 'r') {
            settings.repeats = static_cast<unsigned>(parse_count(value));
        } else if (option == 's') {
            settings.size = std::min(parse_count(value), kMaxPayloadBytes);
        } else if (option == 'u') {
            settings.warmup = parse_count(value);
        } else if (option == 'c') {
            settings.processors.push_back(value);
        } else {
            throw std::runtime_error("usage: norma-rpc-pingpong [-x TRANSPORT]... [-w spin|block]... [-t lat|bw] "
                                     "[-n ITERATIONS] [-r REPEATS] [-s SIZE] [-u WARMUP] [-c PROCESSORS]...");
        }
    }
    if (settings.kinds.empty()) {
        settings.kinds = {"tcp", "shm", "ucx"};
    }
    if (settings.waits.empty()) {
        settings.waits = {Wait::spin, Wait::block};
    }
    if (!settings.processors.empty() && settings.processors.size() != 2) {
        throw std::runtime_error("-c is given twice, once for each process");
    }
    return settings;
}

void print_head() {
    fmt::print("# am_lat: {} B request, {} B reply, round trip in us; am_bw: us per message, window {} KiB\n",
               kRequestBytes, kPageBytes, kWindowBytes / 1024);
    fmt::print("# {:<8}{:<7}{:<8}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}\n", "test", "via", "wait", "bytes", "min",
               "median", "p99", "p99.9", "max", "MB/s");
}

} // namespace

int main(int argc, char **argv) {
    try {
        const auto settings = parse(argc, argv);
        if (settings.size == 0) {
            print_head();
        }
        for (unsigned repeat = 0; repeat < settings.repeats; ++repeat) {
            for (const auto &kind : settings.kinds) {
                for (const auto wait : settings.waits) {
                    run_isolated(kind, wait, settings);
                }
            }
        }
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma-rpc-pingpong: {}\n", error.what());
        return 1;
    }
    return 0;
}
