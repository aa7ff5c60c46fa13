// SPDX-License-Identifier: BSD-3-Clause
// Where other hosts join a job: a listening socket, and those who have connected and not yet been judged. Whoever does
// not prove that he knows the key (job_proof.hpp) learns nothing of the job but that it is there.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include <poll.h>

#include "runtime/job_settings.hpp"
#include "runtime/launch.hpp"
#include "runtime/network.hpp"
#include "runtime/record_stream.hpp"

namespace norma::rt {

class Gate {
  public:
    using Clock = std::chrono::steady_clock;
    struct Terms {
        JobSize size;      // when its program is started
        unsigned most = 0; // nodes there can be of those who come by this gate
        std::string key;
        Environment env; // of the job
        std::string program, cwd;
    };
    struct Guest {
        RecordStream stream;
        std::string name; // for messages
    };
    using FindPlace = std::function<std::optional<unsigned>(unsigned wanted)>; // 0: any
    using Admit = std::function<void(unsigned node, Guest guest)>;

    // Takes over a listening socket.
    Gate(int listener, Terms terms) : terms_(std::move(terms)), listener_(listener) {}
    ~Gate();
    Gate(const Gate &) = delete;
    Gate &operator=(const Gate &) = delete;

    std::string address() const { return format_endpoint(local_endpoint(listener_)); }
    void add_to(std::vector<pollfd> &fds) const;
    std::optional<Clock::time_point> deadline() const; // for somebody who has connected and says nothing

    // Hears those who have connected, and judges who has said all. `free_place` is asked for a node without a server;
    // `admit` gets who has it, and has been told so. Everybody else is told why not; true if one was among them who
    // knows the key. At most one is admitted.
    bool serve(const FindPlace &free_place, const Admit &admit);

  private:
    struct Visitor {
        RecordStream stream;
        std::string address;
        Clock::time_point deadline;
        std::optional<launch::Join> join{}; // there is one: the challenge has been sent
        launch::Challenge challenge{};
    };

    void accept_all();
    // Each says whether the visitor has been served.
    bool hear(Visitor &visitor, const FindPlace &free_place, const Admit &admit);
    bool challenge(Visitor &visitor, const launch::Join &join) const;
    bool judge(Visitor &visitor, const launch::Proof &proof, const FindPlace &free_place, const Admit &admit);
    std::optional<std::string> objection(const Visitor &visitor) const;
    void count_stranger(const Visitor &visitor);

    Terms terms_;
    int listener_ = -1;
    std::list<Visitor> visitors_;
    unsigned strangers_ = 0;
    bool turned_away_ = false; // somebody who knows the key
    bool admitted_ = false;
};

} // namespace norma::rt
