// SPDX-License-Identifier: BSD-3-Clause
// A node of the job that the test plays: it sees what node 0 asks of it, and answers when and what the test says.
#pragma once

#include "rpc/transport.hpp"
#include "runtime/server/router.hpp"
#include "tests/siege/job.hpp"

#include <deque>
#include <map>
#include <memory>

namespace siege {

class Partner {
  public:
    Partner(norma::dsm::NodeId self, const std::string &transport);
    std::vector<std::byte> address() const { return transport_->address(); }
    void connect(const Job &job);                          // to node 0
    void stand_by(Partner &other) { stands_by_ = &other; } // takes messages too while this one waits

    // The next thing node 0 asks; throws std::runtime_error if nothing comes in time, or something else. What the
    // synchronisation services tell each other is acknowledged unseen.
    norma::rt::Request expect(norma::rt::Op op);
    void answer(const norma::rt::Request &request, const norma::rt::Reply &reply);
    // Asks node 0.
    std::uint64_t ask(norma::rt::Request request); // the number of the call
    norma::rt::Reply answer_to(std::uint64_t call);
    // Lets messages come until the program of the job has said this.
    void wait_for_output(const Job &job, const std::string &text);

  private:
    void message(std::span<const std::byte> record);
    template <class Done> void wait_until(Done done, const std::string &what);

    norma::dsm::NodeId self_;
    std::uint64_t calls_ = 0;
    std::deque<norma::rt::Request> requests_;
    std::map<std::uint64_t, norma::rt::Reply> replies_;
    std::unique_ptr<norma::rpc::Transport> transport_;
    Partner *stands_by_ = nullptr;
};

} // namespace siege
