// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_remote.hpp"

#include "runtime/launch.hpp"

namespace norma::rt {

NodeServer::Received RemoteNode::receive(std::vector<std::byte> &buffer) {
    if (over_) {
        return Received::nothing;
    }
    stream_.flush(); // that the connection is gone shows when it is read
    for (;;) {
        switch (stream_.receive(buffer)) {
        case RecordStream::Received::record:
            if (const auto record = launch::decode(buffer); record && std::holds_alternative<launch::Ended>(*record)) {
                status_ = std::get<launch::Ended>(*record).status;
                break;
            }
            return Received::record;
        case RecordStream::Received::nothing:
            return Received::nothing;
        case RecordStream::Received::garbage:
            why_ = "it sent what is no record";
            over_ = true;
            return Received::closed;
        case RecordStream::Received::closed:
            why_ = "the connection to its host has ended";
            over_ = true;
            return Received::closed;
        }
    }
}

NodeServer::End RemoteNode::take_end() {
    alive_ = false;
    stream_.hang_up();
    return status_ ? describe_end(*status_) : End{.why = why_, .violent = true};
}

} // namespace norma::rt
