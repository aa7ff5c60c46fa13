// SPDX-License-Identifier: BSD-3-Clause
// norma-memory: what the node servers of a job need for themselves, weighed stage by stage. The program of a job that
// bench/memory runs; it prints a line per stage and node, as JSON.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "bench/perf/job.hpp"
#include "runtime/probe.hpp"

namespace {

using namespace norma::bench;

// Far enough apart that no two pages are in one chunk of the core's tables, nor fetched ahead.
constexpr std::size_t kFarApart = 512;

struct Weight {
    std::uint64_t anonymous, shared; // bytes; what several processes share is divided among them
    std::uint64_t descriptors;
};

// Of the node server that the caller is a child of.
void weigh(Weight &weight) {
    const auto process = fmt::format("/proc/{}", ::getppid());
    std::ifstream rollup(process + "/smaps_rollup");
    for (std::string name; rollup >> name;) {
        std::uint64_t kib = 0;
        if (name == "Pss_Anon:" && rollup >> kib) {
            weight.anonymous = kib * 1024;
        } else if (name == "Pss_Shmem:" && rollup >> kib) {
            weight.shared = kib * 1024;
        }
    }
    if (weight.anonymous == 0) {
        throw std::runtime_error(process + "/smaps_rollup does not say what the node server needs");
    }
    weight.descriptors = static_cast<std::uint64_t>(
        std::distance(std::filesystem::directory_iterator(process + "/fd"), std::filesystem::directory_iterator()));
}

struct Pages {
    volatile std::uint64_t *words;
    std::size_t count, apart;

    volatile std::uint64_t &word(std::size_t page) const { return words[page * apart * kPage / sizeof(std::uint64_t)]; }
};

void write_all(const Pages &pages) {
    for (std::size_t page = 0; page < pages.count; ++page) {
        pages.word(page) = page + 1;
    }
}

void read_all(Pages &pages) {
    for (std::size_t page = 0; page < pages.count; ++page) {
        if (pages.word(page) != page + 1) {
            throw std::runtime_error(fmt::format("page {} does not hold what was written", page));
        }
    }
}

struct Talker {
    int self, nodes;
};

void talk_to_everybody(Talker &talker) {
    constexpr unsigned kMessage = 256 << 10;
    for (int peer = 0; peer < talker.nodes; ++peer) {
        double time = 0;
        if (peer != talker.self) {
            check(norma_probe_am(peer, kMessage, kMessage, 1, 0, &time), "norma_probe_am");
        }
    }
}

class Job {
  public:
    explicit Job(std::size_t pages)
        : warm_(pages * kPage), dense_(pages * kPage),
          sparse_(pages / kSparser * kFarApart * kPage), work_{{&warm_.word(0), pages, 1},
                                                               {&dense_.word(0), pages, 1},
                                                               {&sparse_.word(0), pages / kSparser, kFarApart}} {
        for (std::size_t i = 0; i < std::size(work_); ++i) {
            shared_work_.span()[i] = work_[i];
        }
        for (int node = 0; node < norma_node_count(); ++node) {
            talkers_.span()[static_cast<std::size_t>(node)] = {node, norma_node_count()};
        }
        for (int node = 1; node < norma_node_count(); ++node) {
            tasks_.push_back(std::make_unique<RemoteTask>(node));
        }
    }

    void run() {
        report("started", 0);
        talk_to_everybody(*talkers_.data());
        for (std::size_t node = 1; node <= tasks_.size(); ++node) {
            on<&talk_to_everybody>(node, &talkers_.span()[node]);
        }
        report("connected", 0);
        const char *const names[] = {"warm", "dense", "sparse"};
        for (std::size_t stage = 0; stage < std::size(names); ++stage) {
            write_all(work_[stage]);
            for (std::size_t node = 1; node <= tasks_.size(); ++node) {
                on<&read_all>(node, &shared_work_.span()[stage]);
            }
            report(names[stage], work_[stage].count);
        }
    }

  private:
    static constexpr std::size_t kSparser = 32, kStages = 3;

    template <auto function, class Arguments> void on(std::size_t node, Arguments *arguments) {
        tasks_[node - 1]->start<function>(arguments);
        tasks_[node - 1]->join();
    }

    void report(const char *stage, std::size_t pages) {
        weigh(weights_.span()[0]);
        for (std::size_t node = 1; node <= tasks_.size(); ++node) {
            on<&weigh>(node, &weights_.span()[node]);
        }
        for (std::size_t node = 0; node <= tasks_.size(); ++node) {
            const auto &weight = weights_.span()[node];
            fmt::print(R"({{"stage": "{}", "node": {}, "pages": {}, "anonymous": {}, "shared": {}, "descriptors": {}}})"
                       "\n",
                       stage, node, pages, weight.anonymous, weight.shared, weight.descriptors);
        }
    }

    Memory warm_, dense_, sparse_;
    Pages work_[kStages];
    Array<Pages> shared_work_{kStages};
    Array<Talker> talkers_{static_cast<std::size_t>(norma_node_count())};
    Array<Weight> weights_{static_cast<std::size_t>(norma_node_count())};
    std::vector<std::unique_ptr<RemoteTask>> tasks_;
};

} // namespace

int main(int argc, char **argv) {
    CLI::App app{"Weighs the node servers of its job; bench/memory runs it.", "norma-memory"};
    std::size_t pages = 16384;
    app.add_option("-p,--pages", pages, "pages that every node reads")->check(CLI::Range(1024U, 1U << 20));
    CLI11_PARSE(app, argc, argv);
    try {
        if (norma_in_job() == 0) {
            throw std::runtime_error("this is the program of a job: use bench/memory");
        }
        Job(pages).run();
        return 0;
    } catch (const std::exception &error) {
        fmt::print(stderr, "norma-memory: {}\n", error.what());
        return 1;
    }
}
