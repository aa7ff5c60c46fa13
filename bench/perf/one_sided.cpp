// SPDX-License-Identifier: BSD-3-Clause
// get_lat, put_lat, get_bw, put_bw, atomic_lat: accesses of node 0's task to memory that a task on node 1 has wired and
// exported. The floor is bare UCX doing the same between two processes bound as these are.
#include <algorithm>
#include <new>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <norma/region.h>
#include <unistd.h>

#include "bench/perf/binding.hpp"
#include "bench/perf/floors.hpp"
#include "bench/perf/job.hpp"
#include "bench/perf/tests.hpp"

namespace norma::bench {
namespace {

constexpr unsigned kWindow = 8; // accesses under way, where bandwidth is measured
// Of a stream; within these bounds it has as many accesses as make so many bytes.
constexpr std::size_t kSampleBytes = 4 << 20, kMostAccesses = 1024;

struct Export {
    std::size_t bytes;
    norma_key_t key;
    char cpus[512];
    norma_sync_t ready, over;
};

void own(Export &exported) {
    const Memory memory(exported.bytes);
    const auto address = reinterpret_cast<vm_address_t>(memory.data());
    constexpr vm_prot_t kBoth = VM_PROT_READ | VM_PROT_WRITE;
    check(vm_wire(mach_host_self(), mach_task_self(), address, memory.size(), kBoth), "vm_wire");
    check(norma_region_export(address, exported.bytes, kBoth, &exported.key), "norma_region_export");
    cpu_list(0, ",").copy(exported.cpus, sizeof exported.cpus - 1);
    Semaphore::post(exported.ready);
    check(norma_semaphore_wait(exported.over, -1), "norma_semaphore_wait"); // however long the accesses take
}

// A region on node 1, imported here.
class Imported {
  public:
    explicit Imported(std::size_t bytes) {
        *export_.data() = {bytes, {}, {}, ready_.id(), over_.id()};
        owner_.start<&own>(export_.data());
        ready_.wait();
        check(norma_region_import(&export_.data()->key, &region_, nullptr, nullptr), "norma_region_import");
    }
    ~Imported() {
        norma_region_release(region_);
        norma_semaphore_post(over_.id());
    }
    Imported(const Imported &) = delete;
    Imported &operator=(const Imported &) = delete;
    norma_region_t region() const { return region_; }
    std::string cpus() const { return export_.data()->cpus; }

  private:
    Array<Export> export_{1};
    Semaphore ready_, over_;
    RemoteTask owner_{kPeer};
    norma_region_t region_ = 0;
};

// Whole pages, as the floor has: what lies across cache lines is copied more slowly.
class Buffer {
  public:
    explicit Buffer(std::size_t bytes) : bytes_(bytes), data_(new (kPages) std::byte[bytes]()) {}
    ~Buffer() { ::operator delete[](data_, kPages); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    std::byte *data() { return data_; }
    std::size_t size() const { return bytes_; }

  private:
    static constexpr std::align_val_t kPages{4096};
    std::size_t bytes_;
    std::byte *data_;
};

template <class Access> std::vector<double> measure(const TestInfo &test, Access access) {
    std::vector<double> samples;
    for (unsigned i = 0; i < test.warmup + test.iterations; ++i) {
        const auto start = Clock::now();
        access();
        if (i >= test.warmup) {
            samples.push_back(microseconds_since(start));
        }
    }
    return samples;
}

double floor_us(const TestInfo &test, const Imported &imported, const char *operation, unsigned accesses,
                unsigned window) {
    return rma_floor_us({.operation = operation,
                         .size = test.size,
                         .accesses = accesses,
                         .window = window,
                         .iterations = test.iterations,
                         .warmup = test.warmup,
                         .owner_cpus = imported.cpus()});
}

template <class Access> Rows latency(const TestInfo &test, const char *operation, Access access) {
    const Imported imported(test.size);
    Buffer buffer(test.size);
    const auto samples = measure(test, [&] { access(imported.region(), buffer); });
    return {latency_row(std::string(test.name), test.size, samples, floor_us(test, imported, operation, 1, 1))};
}

// A sample is the mean time of an access in a stream of them, of which kWindow are under way.
template <class Start> Rows bandwidth(const TestInfo &test, const char *operation, Start start) {
    const Imported imported(test.size);
    const auto accesses =
        static_cast<unsigned>(std::clamp<std::size_t>(kSampleBytes / test.size, 2 * kWindow, kMostAccesses));
    Buffer buffer(test.size);
    const norma_piece_t piece{0, buffer.data(), test.size};
    auto samples = measure(test, [&] {
        norma_op_t under_way[kWindow] = {};
        for (unsigned i = 0; i < accesses + kWindow; ++i) {
            auto &op = under_way[i % kWindow];
            if (op != 0) {
                check(norma_op_wait(op, -1), "norma_op_wait");
            }
            op = 0;
            if (i < accesses) {
                check(start(imported.region(), &piece, 1, &op), operation);
            }
        }
    });
    for (auto &sample : samples) {
        sample /= accesses;
    }
    return {bandwidth_row(std::string(test.name), test.size, samples,
                          floor_us(test, imported, operation, accesses, kWindow) / accesses)};
}

} // namespace

Rows get_lat(const TestInfo &test) {
    return latency(test, "get", [](norma_region_t region, Buffer &buffer) {
        check(norma_get(region, 0, buffer.data(), buffer.size()), "norma_get");
    });
}
Rows put_lat(const TestInfo &test) {
    return latency(test, "put", [](norma_region_t region, Buffer &buffer) {
        check(norma_put(region, 0, buffer.data(), buffer.size()), "norma_put");
    });
}
Rows atomic_lat(const TestInfo &test) {
    return latency(test, "add", [](norma_region_t region, Buffer &) {
        std::uint64_t before = 0;
        check(norma_fetch_add(region, 0, 1, &before), "norma_fetch_add");
    });
}
Rows get_bw(const TestInfo &test) {
    return bandwidth(test, "get", norma_get_start);
}
Rows put_bw(const TestInfo &test) {
    return bandwidth(test, "put", norma_put_start);
}

} // namespace norma::bench
