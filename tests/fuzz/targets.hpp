// SPDX-License-Identifier: BSD-3-Clause
// The targets, one for each thing that reads bytes from outside.
#pragma once

#include "tests/fuzz/target.hpp"

namespace fuzz {

// From other node servers.
void message(Bytes input);      // rpc/record: the header in front of every message
void inbox(Bytes input);        // rpc/inbox: the order of messages
void reader(Bytes input);       // rpc/wire: what all records are read with
void verbs_hello(Bytes input);  // rpc/verbs/hello: what comes with a connection
void verbs_frame(Bytes input);  // rpc/verbs/frame: what comes with a send
void peer(Bytes input);         // runtime/server/wire: coherence messages, requests, replies
void image(Bytes input);        // runtime/server/image: the task that a clone or a teleport brings
void services(Bytes input);     // runtime/server/services: what a node that leaves has made
void port_message(Bytes input); // runtime/message: between nodes, and as a task lays it out; moved_names
void core(Bytes input);         // dsm/core: any events in any order
void sync(Bytes input);         // runtime/sync: any requests and deaths in any order

// From the launcher, from tasks, from the environment.
void launch(Bytes input);      // runtime/launch; what ranks of a cluster's launcher tell each other
void address(Bytes input);     // rpc/address
void packet(Bytes input);      // runtime/packets: the heads of runtime/protocol, names of ports
void config(Bytes input);      // runtime/config, runtime/values
void address_map(Bytes input); // runtime/address_map: the vm calls

// Files.
void matrix(Bytes input);  // apps/cg/matrix_market
void picture(Bytes input); // apps/heat/picture

} // namespace fuzz
