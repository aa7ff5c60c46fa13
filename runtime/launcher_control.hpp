// SPDX-License-Identifier: BSD-3-Clause
// Those who look at a running job, move tasks of it, add nodes, take nodes out or write it down, and what they wait
// for. Owned and used by the launcher's loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <poll.h>

#include "runtime/launch.hpp"
#include "runtime/launcher_checkpoint.hpp"
#include "runtime/record_stream.hpp"

namespace norma::rt {

class Control {
  public:
    using Clock = std::chrono::steady_clock;
    // What the launcher knows by itself when it is asked, and whom it can ask.
    struct Job {
        launch::Overview overview;
        std::vector<bool> alive, left; // by node
        std::string busy;              // why no checkpoint can be made now; empty: nothing
        std::function<void(std::size_t node, const launch::Record &question)> ask;
        std::function<std::string(std::uint64_t number, const launch::Drain &order)> drain; // why it does not
    };

    Control(); // throws std::system_error
    ~Control();
    Control(const Control &) = delete;
    Control &operator=(const Control &) = delete;

    void add_to(std::vector<pollfd> &fds) const;
    std::optional<Clock::time_point> deadline() const; // for a node that has been asked

    void serve(const std::function<Job()> &job); // which is called for each question
    void seen(std::size_t node, const launch::Seen &answer);
    void migrated(std::size_t node, const launch::Migrated &answer);
    // The next wish for one more node, and what has become of it.
    std::optional<std::uint64_t> next_wish();
    void wish_ends(std::uint64_t wish, std::uint16_t node, const std::string &why_not);
    bool writing_down() const { return writer_ || !checkpoint_.idle(); }
    void draining(const launch::Draining &news);
    void drained(const launch::Drained &answer);
    void reached(std::size_t node, const launch::CheckpointReached &answer) { checkpoint_.reached(node, answer); }
    void piece(std::size_t node, const launch::CheckpointPiece &piece) { checkpoint_.piece(node, piece); }
    void node_ended(std::size_t node);

  private:
    struct Client {
        RecordStream stream;
        bool over = false;
    };
    struct Question {
        std::list<Client>::iterator client;
        std::uint64_t number = 0; // the client's
        std::set<std::size_t> awaited;
        Clock::time_point deadline;
    };

    // A task that moves, or a node that leaves. It has no deadline of its own: the node server has, and says how it
    // went.
    struct Move {
        std::list<Client>::iterator client;
        std::uint64_t number = 0; // the client's
        std::size_t node = 0;     // that has been asked
        bool leaves = false;      // it is a node that leaves
    };

    struct Wish { // for one more node
        std::list<Client>::iterator client;
        std::uint64_t number = 0; // the client's
        bool taken = false;
    };

    void accept_all();
    void hear(std::list<Client>::iterator client, const std::function<Job()> &job);
    void begin(std::list<Client>::iterator client, const launch::Look &look, const Job &job);
    void begin(std::list<Client>::iterator client, const launch::Migrate &move, const Job &job);
    void begin(std::list<Client>::iterator client, const launch::Drain &order, const Job &job);
    void begin(std::list<Client>::iterator client, const launch::Checkpoint &wanted, const Job &job);
    void give_up_the_late();
    void drop_those_gone();
    static void say_to(Client &client, const launch::Record &record);

    int listener_ = -1;
    std::list<Client> clients_;
    std::map<std::uint64_t, Question> questions_; // by the number that node servers get
    std::map<std::uint64_t, Move> moves_;         // likewise
    std::map<std::uint64_t, Wish> wishes_;
    std::uint64_t next_question_ = 1;
    CheckpointRun checkpoint_;
    std::optional<std::list<Client>::iterator> writer_; // who has asked for it
};

} // namespace norma::rt
