// SPDX-License-Identifier: BSD-3-Clause
// Measuring the transport as norma uses it: between the node servers themselves, without tasks and memory. The calling
// task asks its node server, which does the work and the timing. Each returns one of the KERN_ values.
#pragma once

#include <norma/mach.h>

extern "C" {

// Round trips to node `peer`, one after the other: a message with `request_bytes` of payload, answered by one with
// `reply_bytes`. The first `warmup` are not counted; samples_us receives `iterations` times in microseconds.
NORMA_EXPORT int norma_probe_am(int peer, unsigned request_bytes, unsigned reply_bytes, unsigned iterations,
                                unsigned warmup, double *samples_us);

// A stream of `messages` messages with `message_bytes` of payload each to node `peer`; *seconds is the time from the
// first until the peer has said that it has received the last.
NORMA_EXPORT int norma_probe_bw(int peer, unsigned message_bytes, unsigned messages, double *seconds);

// What the node server of the calling task has counted since it began: "name=value name=value ...", cut short to fit
// `bytes` with its terminating zero.
NORMA_EXPORT int norma_probe_stats(char *text, unsigned bytes);
}
