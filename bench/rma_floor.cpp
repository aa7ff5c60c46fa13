// SPDX-License-Identifier: BSD-3-Clause
// What bare UCX needs for get, put and atomic operations between two processes, with no norma in it but the settings it
// gives UCX, and larger pieces over tcp. The owner of the memory polls, as it must where UCX emulates these in
// software.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <ucp/api/ucp.h>
#include <unistd.h>

#include "rpc/ucx/engine.hpp"
#include "rpc/ucx/settings.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using norma::rpc::ucx::check;

struct Options {
    std::string transport = "tcp", operation = "get";
    unsigned iterations = 1000, warmup = 100;
    std::size_t size = 8;
    unsigned accesses = 1, window = 1; // of one sample; under way at a time
    std::vector<int> owner_cpus;
};

class Engine {
  public:
    explicit Engine(const std::string &transport) {
        // With its own 8 KiB UCX's get takes nearly twice as long over tcp as it can.
        ::setenv("UCX_TCP_TX_SEG_SIZE", "64K", 0);
        const norma::rpc::ucx::ScopedSettings settings(transport);
        norma::rpc::ucx::quieten_library();
        ucp_config_t *config = nullptr;
        check(ucp_config_read(nullptr, nullptr, &config), "ucp_config_read");
        ucp_params_t params{};
        params.field_mask = UCP_PARAM_FIELD_FEATURES;
        params.features = UCP_FEATURE_RMA | UCP_FEATURE_AMO64;
        const auto status = ucp_init(&params, config, &context);
        ucp_config_release(config);
        check(status, "ucp_init");
        ucp_worker_params_t worker_params{};
        worker_params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
        worker_params.thread_mode = UCS_THREAD_MODE_SINGLE;
        check(ucp_worker_create(context, &worker_params, &worker), "ucp_worker_create");
    }
    ucp_context_h context = nullptr; // for as long as the process
    ucp_worker_h worker = nullptr;
};

void *make_memory(std::size_t bytes) {
    auto *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap");
    }
    return memory;
}

void write_all(int fd, const void *data, std::size_t bytes) {
    if (::write(fd, data, bytes) != static_cast<ssize_t>(bytes)) {
        throw std::system_error(errno, std::generic_category(), "write");
    }
}

void read_all(int fd, void *data, std::size_t bytes) {
    for (auto *to = static_cast<char *>(data); bytes > 0;) {
        const auto got = ::read(fd, to, bytes);
        if (got <= 0) {
            throw std::runtime_error("the owner of the memory has ended");
        }
        to += got;
        bytes -= static_cast<std::size_t>(got);
    }
}

void write_block(int fd, const void *data, std::size_t bytes) {
    write_all(fd, &bytes, sizeof bytes);
    write_all(fd, data, bytes);
}

std::vector<char> read_block(int fd) {
    std::size_t bytes = 0;
    read_all(fd, &bytes, sizeof bytes);
    std::vector<char> block(bytes);
    read_all(fd, block.data(), bytes);
    return block;
}

[[noreturn]] void own(const Options &options, int to) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!options.owner_cpus.empty()) {
        cpu_set_t set;
        CPU_ZERO(&set);
        for (const int cpu : options.owner_cpus) {
            CPU_SET(static_cast<std::size_t>(cpu), &set);
        }
        ::sched_setaffinity(0, sizeof set, &set);
    }
    const Engine engine(options.transport);
    auto *const memory = make_memory(options.size);
    ucp_mem_map_params_t params{};
    params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
    params.address = memory;
    params.length = options.size;
    ucp_mem_h registered = nullptr;
    check(ucp_mem_map(engine.context, &params, &registered), "ucp_mem_map");
    void *key = nullptr;
    std::size_t key_bytes = 0, address_bytes = 0;
    ucp_address_t *address = nullptr;
    check(ucp_rkey_pack(engine.context, registered, &key, &key_bytes), "ucp_rkey_pack");
    check(ucp_worker_get_address(engine.worker, &address, &address_bytes), "ucp_worker_get_address");
    write_all(to, &memory, sizeof memory);
    write_block(to, address, address_bytes);
    write_block(to, key, key_bytes);
    for (;;) {
        ucp_worker_progress(engine.worker);
    }
}

class Accesses {
  public:
    Accesses(const Options &options, int from) : options_(options), engine_(options.transport) {
        read_all(from, &remote_, sizeof remote_);
        const auto address = read_block(from);
        const auto key = read_block(from);
        ucp_ep_params_t params{};
        params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS;
        params.address = reinterpret_cast<const ucp_address_t *>(address.data());
        check(ucp_ep_create(engine_.worker, &params, &endpoint_), "ucp_ep_create");
        check(ucp_ep_rkey_unpack(endpoint_, key.data(), &key_), "ucp_ep_rkey_unpack");
        local_ = make_memory(options.size);
    }

    double sample() {
        const auto start = Clock::now();
        std::vector<ucs_status_ptr_t> under_way(options_.window, nullptr);
        for (unsigned access = 0; access < options_.accesses; ++access) {
            auto &slot = under_way[access % options_.window];
            wait(slot);
            slot = begin();
        }
        for (auto &slot : under_way) {
            wait(slot);
        }
        if (options_.operation == "put") { // there when it is flushed
            auto param = no_params();
            wait(ucp_ep_flush_nbx(endpoint_, &param));
        }
        return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
    }

  private:
    static ucp_request_param_t no_params() { return {}; }

    ucs_status_ptr_t begin() {
        auto param = no_params();
        const auto remote = reinterpret_cast<std::uint64_t>(remote_);
        if (options_.operation == "get") {
            return ucp_get_nbx(endpoint_, local_, options_.size, remote, key_, &param);
        }
        if (options_.operation == "put") {
            return ucp_put_nbx(endpoint_, local_, options_.size, remote, key_, &param);
        }
        param.op_attr_mask = UCP_OP_ATTR_FIELD_DATATYPE | UCP_OP_ATTR_FIELD_REPLY_BUFFER;
        param.datatype = ucp_dt_make_contig(sizeof(std::uint64_t));
        param.reply_buffer = local_;
        static const std::uint64_t one = 1;
        return ucp_atomic_op_nbx(endpoint_, UCP_ATOMIC_OP_ADD, &one, 1, remote, key_, &param);
    }

    void wait(ucs_status_ptr_t request) {
        if (UCS_PTR_IS_ERR(request)) {
            check(UCS_PTR_STATUS(request), options_.operation);
        }
        if (UCS_PTR_IS_PTR(request)) {
            while (ucp_request_check_status(request) == UCS_INPROGRESS) {
                ucp_worker_progress(engine_.worker);
            }
            ucp_request_free(request);
        }
    }

    const Options &options_;
    Engine engine_;
    void *remote_ = nullptr, *local_ = nullptr;
    ucp_ep_h endpoint_ = nullptr;
    ucp_rkey_h key_ = nullptr;
};

void run(const Options &options) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::system_error(errno, std::generic_category(), "pipe2");
    }
    const pid_t owner = ::fork();
    if (owner == 0) {
        try {
            own(options, ends[1]);
        } catch (const std::exception &error) {
            fmt::print(stderr, "norma-rma-floor: owner: {}\n", error.what());
        }
        ::_exit(1);
    }
    ::close(ends[1]);
    Accesses accesses(options, ends[0]);
    for (unsigned i = 0; i < options.warmup; ++i) {
        accesses.sample();
    }
    std::vector<double> samples(options.iterations);
    for (auto &sample : samples) {
        sample = accesses.sample();
    }
    ::kill(owner, SIGKILL);
    ::waitpid(owner, nullptr, 0);
    for (const double sample : samples) {
        fmt::print("{:.3f}\n", sample);
    }
    std::fflush(stdout);
    ::_exit(0); // the other side of the connection has gone; there is nobody to close it with
}

} // namespace

int main(int argc, char **argv) {
    CLI::App app{"Measures remote memory access with bare UCX; prints the microseconds of every sample.",
                 "norma-rma-floor"};
    Options options;
    app.add_option("operation", options.operation, "what to measure")->check(CLI::IsMember({"get", "put", "add"}));
    app.add_option("-x,--transport", options.transport, "tcp, shm or ucx")->check(CLI::IsMember({"tcp", "shm", "ucx"}));
    app.add_option("-n,--iterations", options.iterations, "measured samples")->check(CLI::Range(1U, 1'000'000U));
    app.add_option("-w,--warmup", options.warmup, "samples before these")->check(CLI::Range(0U, 1'000'000U));
    app.add_option("-s,--size", options.size, "bytes of one access")->check(CLI::Range(8U, 64U << 20));
    app.add_option("--accesses", options.accesses, "accesses of one sample")->check(CLI::Range(1U, 1'000'000U));
    app.add_option("--window", options.window, "accesses under way at a time")->check(CLI::Range(1U, 1024U));
    app.add_option("--owner-cpus", options.owner_cpus, "processors of the owner, with commas")
        ->delimiter(',')
        ->check(CLI::Range(0, CPU_SETSIZE - 1));
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp &help) {
        return app.exit(help);
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "norma-rma-floor: {}\n", error.what());
        return 2;
    }
    try {
        run(options);
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma-rma-floor: {}\n", error.what());
        return 1;
    }
}
