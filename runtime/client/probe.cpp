// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/probe.hpp"

#include "runtime/client/channel.hpp"

#include <algorithm>
#include <cstring>

namespace {

// As many samples as one answer can bring back.
constexpr unsigned kSamplesPerCall = 8000;

} // namespace

extern "C" {

int norma_probe_am(int peer, unsigned request_bytes, unsigned reply_bytes, unsigned iterations, unsigned warmup,
                   double *samples_us) {
    if (peer < 0 || iterations == 0 || samples_us == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    for (unsigned done = 0; done < iterations;) {
        const auto count = std::min(iterations - done, kSamplesPerCall);
        const auto answer = norma::rt::call(
            norma::rt::Op::probe_am, MACH_PORT_NULL,
            {static_cast<std::uint64_t>(peer), request_bytes, reply_bytes, count, done == 0 ? warmup : 0});
        if (answer.status != KERN_SUCCESS) {
            return answer.status;
        }
        if (answer.blob.size() != count * sizeof(double)) {
            return KERN_FAILURE;
        }
        std::memcpy(samples_us + done, answer.blob.data(), answer.blob.size());
        done += count;
    }
    return KERN_SUCCESS;
}

int norma_probe_bw(int peer, unsigned message_bytes, unsigned messages, double *seconds) {
    if (peer < 0 || seconds == nullptr) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = norma::rt::call(norma::rt::Op::probe_bw, MACH_PORT_NULL,
                                        {static_cast<std::uint64_t>(peer), message_bytes, messages});
    if (answer.status == KERN_SUCCESS) {
        *seconds = static_cast<double>(answer.vals[0]) * 1e-9;
    }
    return answer.status;
}

int norma_probe_stats(char *text, unsigned bytes) {
    if (text == nullptr || bytes == 0) {
        return KERN_INVALID_ARGUMENT;
    }
    const auto answer = norma::rt::call(norma::rt::Op::stats, MACH_PORT_NULL);
    if (answer.status == KERN_SUCCESS) {
        const auto size = std::min<std::size_t>(answer.blob.size(), bytes - 1);
        std::memcpy(text, answer.blob.data(), size);
        text[size] = '\0';
    }
    return answer.status;
}
}
