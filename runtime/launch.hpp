// SPDX-License-Identifier: BSD-3-Clause
// What the launcher (`norma run`) and the node servers say to each other, over one SOCK_SEQPACKET socket pair each; and
// what the launcher and the joiners (`norma node --join`) of other hosts say, over a TCP connection each, which carries
// the records of the joiner's node server too (record_stream.hpp); and what the launcher and those who look at the job
// (`norma ps`), move a task of it (`norma migrate`) or write it down (`norma checkpoint`), say, over a local connection
// each.
// Each packet is one record: its type, then its fields in the order in which they stand here, in rpc/wire encoding.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "runtime/report.hpp"

namespace norma::rt {

inline constexpr int kLaunchFd = 3;                         // the node server finds its end here
inline constexpr std::size_t kMaxLaunchBytes = 1024 * 1024; // SO_SNDBUF is raised to hold it
inline constexpr std::size_t kMaxJoinBytes = 16 * 1024;     // of the first record of a connection from outside
inline constexpr std::uint16_t kJoinVersion = 7;            // of the records between hosts

enum class LaunchMsg : std::uint8_t {
    ready = 1,
    exited,
    fatal,
    connected,
    hosting,
    suspect,
    seen,
    migrated,
    here,
    draining = 16,
    drained,
    leaves,
    served,
    checkpoint_reached = 24,
    restored,
    join = 32,
    welcome,
    refused,
    ended,
    challenge,
    proof,
    job = 64,
    start,
    run,
    node_down,
    shutdown,
    look,
    migrate,
    still_here,
    checkpoint_step = 80,
    restore,
    drain = 84,
    serve,
    node_left,
    overview = 96,
    unseen,
    newcomer,
    joined,
    met,
    add_node,
    node_added,
    checkpoint = 104,
    checkpoint_taken,
    checkpoint_read,
    checkpoint_piece,
};

// How many nodes a job has. What is laid out once for the whole job goes by the other two, which do not change.
struct JobSize {
    unsigned nodes = 1;         // so far, those that have died included
    unsigned founders = nodes;  // when its program was started
    unsigned places = founders; // at most, with those that join while it runs
};

namespace launch {

// ---- node server -> launcher ----
struct Ready {
    std::vector<std::byte> address; // of its transport
    bool operator==(const Ready &) const = default;
};
struct Exited {              // the first task has ended, the job is over
    std::int32_t status = 0; // as wait(2) has it
    std::string note;        // empty, or why
    bool operator==(const Exited &) const = default;
};
struct Fatal { // this node server cannot go on; it exits after this
    std::string why;
    bool operator==(const Fatal &) const = default;
};
struct Connected { // to every peer
    bool operator==(const Connected &) const = default;
};
struct Hosting { // the first task runs on this node from now on
    bool operator==(const Hosting &) const = default;
};
struct Suspect { // the connection to this node broke; answered by NodeDown once it is down for sure, if it is that one
    std::uint16_t node = 0;
    std::string why;
    bool operator==(const Suspect &) const = default;
};

struct Seen { // the answer to Look; the launcher hands it on with the number that it has been asked with
    std::uint64_t number = 0;
    NodeReport report;
    bool operator==(const Seen &) const = default;
};
struct Here { // the answer to StillHere
    bool operator==(const Here &) const = default;
};
struct Met { // the answer to Newcomer
    std::uint16_t node = 0;
    std::string why; // the connection to it cannot be made; empty: it has been
    bool operator==(const Met &) const = default;
};
struct Migrated { // the answer to Migrate; handed on likewise
    std::uint64_t number = 0;
    TaskId task = 0; // what it is called now; 0: it has not moved
    std::string why; // not
    bool operator==(const Migrated &) const = default;
};

// A node leaves the job (docs/draining.md).
struct Draining { // how far it is; handed on likewise to who wants it
    std::uint64_t number = 0;
    std::uint32_t tasks = 0; // that are still there
    std::uint64_t bytes = 0; // of frames
    bool operator==(const Draining &) const = default;
};
struct Drained { // the answer to Drain; handed on likewise, or to the joiner
    std::uint64_t number = 0;
    std::uint32_t moved = 0; // tasks
    std::string why;         // it has not left; empty: it has
    bool operator==(const Drained &) const = default;
};
struct Leaves { // nothing is there any more that the successor does not have
    std::uint64_t number = 0;
    std::uint32_t moved = 0;
    std::uint16_t successor = 0;
    bool operator==(const Leaves &) const = default;
};
struct Served { // the answer to Serve
    std::uint16_t node = 0;
    bool operator==(const Served &) const = default;
};

// A checkpoint (docs/checkpoint.md): what the launcher has each node do, all nodes one step before any does the next.
enum class CheckpointStep : std::uint8_t {
    stop, // the threads of all tasks; until a round has found nothing new anywhere
    take, // snapshots of the memory with its home there, and note the rest
    go_on,
    drop, // what was taken; also if nothing was
};
struct CheckpointReached { // the answer
    std::uint64_t number = 0;
    CheckpointStep step{};
    bool changed = false; // stop: something has stopped since the last round
    std::string why;      // it cannot be done; empty: it has been
    bool operator==(const CheckpointReached &) const = default;
};
struct Restored {    // the answer to Restore
    std::string why; // not; empty: it has been
    bool operator==(const Restored &) const = default;
};

// ---- between a joiner and the launcher ----
// Join, Challenge, Proof, Welcome; or Refused, after which nothing comes. What a proof is: job_proof.hpp.
using Number = std::array<std::byte, 32>;
struct Join { // the first record of a joiner
    std::uint16_t version = kJoinVersion;
    std::uint16_t wire = 0;            // the version of what node servers say to each other
    Number number{};                   // drawn by the joiner for this connection
    std::uint16_t node = 0;            // the place it is to have; 0, which no joiner gets: any
    std::string host;                  // for messages; or, of another version, all that comes after the versions
    std::vector<std::string> settings; // NAME=VALUE: what was set there of what must be equal everywhere
    bool operator==(const Join &) const = default;
};
struct Challenge {   // launcher to joiner
    Number number{}; // drawn by the launcher for this connection
    bool operator==(const Challenge &) const = default;
};
struct Proof { // joiner to launcher: it knows the key
    Number proof{};
    bool operator==(const Proof &) const = default;
};
struct Welcome {    // launcher to joiner: it has a place
    Number proof{}; // the launcher knows the key, and has written this
    std::uint16_t node = 0, nodes = 0;
    std::uint16_t founders = 0, places = 0; // as JobSize has them
    std::vector<std::string> settings;      // NAME=VALUE: what was set for the job
    std::string program, cwd;               // have to be there too
    bool operator==(const Welcome &) const = default;
};
struct Refused {
    std::string why;
    bool operator==(const Refused &) const = default;
};
struct Ended {               // joiner to launcher: the end of its node server, with nothing after it
    std::int32_t status = 0; // as wait(2) has it
    bool operator==(const Ended &) const = default;
};

// ---- launcher -> node server ----
struct JobKey { // the first record of all
    std::uint64_t key = 0;
    bool operator==(const JobKey &) const = default;
};
inline constexpr std::uint32_t kOnlyLife = 1; // a node server that has died does not come back
struct Start {
    struct Node {
        std::uint32_t incarnation = 0;
        std::vector<std::byte> address;
        bool operator==(const Node &) const = default;
    };
    std::vector<Node> nodes; // u16 how many; all nodes of the job, by number
    bool operator==(const Start &) const = default;
};
struct Run { // node 0 only, after all are connected
    std::string program;
    std::vector<std::string> argv, env; // u32 how many, each
    std::string cwd;
    bool operator==(const Run &) const = default;
};
struct NodeDown {
    std::uint16_t node = 0;
    std::string why;
    bool operator==(const NodeDown &) const = default;
};
struct Shutdown { // end every task and exit; sent to all nodes
    bool operator==(const Shutdown &) const = default;
};
struct Look { // how does it stand; also to the launcher from who looks at the job
    std::uint64_t number = 0;
    TaskId task = 0; // whose threads are wanted as well; 0: no task's
    bool operator==(const Look &) const = default;
};
struct StillHere { // does it answer (launcher_leases.hpp)
    bool operator==(const StillHere &) const = default;
};
struct Newcomer { // a node wants to join while the job runs: connect to it. Its number is that of the nodes so far
    std::uint16_t node = 0;
    std::uint32_t incarnation = 0;
    std::vector<std::byte> address;
    bool nearby = false; // it shares the launcher's machine
    bool operator==(const Newcomer &) const = default;
};
struct Joined { // everybody has met it: tasks may be told of it. Also to the node itself
    std::uint16_t node = 0;
    bool operator==(const Joined &) const = default;
};
struct Migrate { // move a task that is there; also to the launcher from who wants it
    std::uint64_t number = 0;
    TaskId task = 0;
    std::uint16_t node = 0; // where it is to go
    std::uint8_t flags = 0; // of norma_task_migrate()
    bool operator==(const Migrate &) const = default;
};

inline constexpr std::uint16_t kAnyNode = 0xffff;
struct Drain { // leave the job; also to the launcher from who wants it, or from the node's joiner
    std::uint64_t number = 0;
    std::uint16_t node = 0;
    std::uint16_t to = kAnyNode; // where its tasks are to go, and what its services know
    bool operator==(const Drain &) const = default;
};
struct Serve { // what a node that leaves has entrusted to this one is this one's
    std::uint16_t node = 0;
    bool operator==(const Serve &) const = default;
};
struct NodeLeft { // to all others; it gets Shutdown
    std::uint16_t node = 0, successor = 0;
    bool operator==(const NodeLeft &) const = default;
};
struct TakeStep {
    std::uint64_t number = 0;
    CheckpointStep step{};
    bool operator==(const TakeStep &) const = default;
};
// Of a job that goes on from a checkpoint, before its tasks run: a piece of it (runtime/checkpoint.hpp), and to node 0
// at last one of kind 0, which says that there are no more. The next follows the answer.
struct Restore {
    std::uint8_t kind = 0;
    std::uint16_t node = 0; // that has said it
    std::vector<std::byte> bytes;
    bool operator==(const Restore &) const = default;
};

// ---- who makes a checkpoint -> launcher. What was taken is read, node by node, and dropped when the connection ends
struct Checkpoint {
    std::uint64_t number = 0;
    bool operator==(const Checkpoint &) const = default;
};
struct CheckpointRead { // the next piece of that node; handed on to it
    std::uint64_t number = 0;
    std::uint16_t node = 0;
    bool operator==(const CheckpointRead &) const = default;
};
// ---- and the answers ----
struct CheckpointTaken {
    std::uint64_t number = 0;
    std::uint16_t nodes = 0;
    std::uint64_t pause_us = 0;
    std::string why; // it was not taken; empty: it was
    bool operator==(const CheckpointTaken &) const = default;
};
struct CheckpointPiece { // from a node by way of the launcher
    std::uint64_t number = 0;
    std::uint16_t node = 0;
    std::uint8_t kind = 0; // 0: there are no more; with bytes: text, why there will not be
    std::vector<std::byte> bytes;
    bool operator==(const CheckpointPiece &) const = default;
};

// ---- launcher -> who looks at the job; for each node, in any order, there follows Seen or Unseen ----
struct Overview {
    std::uint64_t number = 0;
    std::uint16_t nodes = 0, first_task_at = 0;
    bool running = false; // the program has been started, and the job is not ending
    std::string program;
    bool operator==(const Overview &) const = default;
};
struct Unseen {
    std::uint64_t number = 0;
    std::uint16_t node = 0;
    std::string why;
    bool operator==(const Unseen &) const = default;
};

// ---- who wants one more node on the launcher's machine, and the answer ----
struct AddNode {
    std::uint64_t number = 0;
    bool operator==(const AddNode &) const = default;
};
struct NodeAdded {
    std::uint64_t number = 0;
    std::uint16_t node = 0;
    std::string why; // there is none; empty: there is
    bool operator==(const NodeAdded &) const = default;
};

using Record = std::variant<Ready, Exited, Fatal, Connected, Hosting, Suspect, Join, Challenge, Proof, Welcome, Refused,
                            Ended, JobKey, Start, Run, NodeDown, Shutdown, Seen, Here, Migrated, Look, StillHere,
                            Migrate, Draining, Drained, Leaves, Served, Drain, Serve, NodeLeft, Overview, Unseen,
                            Newcomer, Joined, Met, AddNode, NodeAdded, CheckpointReached, Restored, TakeStep, Restore,
                            Checkpoint, CheckpointRead, CheckpointTaken, CheckpointPiece>;

std::vector<std::byte> encode(const Record &record);
// No value: not one whole record.
std::optional<Record> decode(std::span<const std::byte> bytes);

} // namespace launch

} // namespace norma::rt
