// SPDX-License-Identifier: BSD-3-Clause
// A job of real node servers with the test in the place of the launcher: so the test knows the job's key and where the
// node servers are, and can take a node's part itself.
#pragma once

#include "runtime/launch.hpp"
#include "runtime/launcher_node.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace siege {

inline constexpr std::uint64_t kJobKey = 0x6a6f6273206b6579;
inline constexpr std::uint32_t kIncarnation = 1; // of every node

class Job {
  public:
    using Address = std::vector<std::byte>;

    // Starts `servers` node servers as the first nodes of a job of `nodes`, with these settings (NAME=VALUE), and waits
    // until they are ready.
    Job(unsigned servers, unsigned nodes, const std::string &transport, std::vector<std::string> settings = {});
    ~Job();
    Job(const Job &) = delete;
    Job &operator=(const Job &) = delete;

    const Address &address(unsigned node) const { return addresses_.at(node); }
    // Has them connect: with each other, and with the nodes the test stands in for, whose addresses these are.
    void connect(const std::vector<Address> &others);
    // Runs a program with these words as the first task.
    void run(std::vector<std::string> words);
    void wait_for_output(const std::string &text);
    // The next record of a node; throws std::runtime_error if none comes in time.
    norma::rt::launch::Record next_record(unsigned node);
    // Whether a node says nothing for that long.
    bool is_silent(unsigned node, std::chrono::milliseconds time);
    void send(unsigned node, const norma::rt::launch::Record &record);
    // The status of the first task, as wait(2) has it.
    int wait_for_end();
    // Tells the node servers to end, and waits until they have.
    void shut_down();

    std::string out() const; // of node servers and tasks
    std::string err() const;

    // What a task of the job finds in its environment.
    const std::vector<std::string> &environment() const { return environment_; }

  private:
    template <class Record> Record expect(unsigned node);

    std::filesystem::path folder_;
    std::vector<std::string> environment_;
    std::vector<std::unique_ptr<norma::rt::NodeProcess>> servers_;
    std::vector<Address> addresses_;
};

} // namespace siege
