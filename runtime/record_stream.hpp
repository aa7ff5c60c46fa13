// SPDX-License-Identifier: BSD-3-Clause
// Records on a TCP connection: each is preceded by its length, four bytes, the lowest first. Nothing here waits, and
// what comes from the network is bounded.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace norma::rt {

class RecordStream {
  public:
    // Takes the descriptor, which is non-blocking, and refuses records longer than `most`.
    RecordStream(int fd, std::size_t most) : fd_(fd), most_(most) {}
    RecordStream(RecordStream &&other) noexcept;
    RecordStream &operator=(RecordStream &&) = delete;
    ~RecordStream();

    int fd() const { return fd_; }
    short events() const; // what to poll for
    void set_limit(std::size_t most) { most_ = most; }

    // What the socket does not take now waits for flush(). False, and errno, if the connection is gone, the record is
    // too long (EMSGSIZE), or the other side has long stopped reading (ENOBUFS).
    bool send(std::span<const std::byte> record);
    // False if the connection is gone.
    bool flush();
    bool waiting() const { return !out_.empty(); }

    enum class Received { record, nothing, closed, garbage };
    // The next record, in `record`. After `closed` and `garbage` (a length that cannot be) nothing more comes.
    Received receive(std::vector<std::byte> &record);

    // Nothing comes and goes any more: receive() finds it closed.
    void hang_up();

  private:
    bool read_some();
    Received take(std::vector<std::byte> &record);

    int fd_;
    std::size_t most_;
    std::vector<std::byte> in_, out_;
    bool at_end_ = false;
};

} // namespace norma::rt
