/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sampling of program counters on norma; part of <norma/mach.h>, which a program includes instead.
 */
#ifndef NORMA_MACH_SAMPLE_H
#define NORMA_MACH_SAMPLE_H

#include <norma/mach.h>
#include <norma/mach_port.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NORMA_SAMPLES_ID 4510 /* msgh_id */
#define NORMA_SAMPLES_MAX 64  /* of a message */

/* What task_sample sends: where one thread was, in order. As long as `count` says; the trailer is behind the last. */
typedef struct norma_samples {
    mach_msg_header_t header;
    mach_msg_body_t body;              /* one descriptor */
    mach_msg_port_descriptor_t thread; /* a send right to it */
    natural_t lost;                    /* samples of the task that came before these, and were not sent */
    mach_msg_type_number_t count;
    uint64_t pc[NORMA_SAMPLES_MAX];
    mach_msg_trailer_t trailer; /* where it is if `count` is NORMA_SAMPLES_MAX */
} norma_samples_t;

/**
 * Has the program counters of a task's threads sampled from now on, on whatever node it is, about every 10 ms of
 * processor time that a thread uses, and sent to `port` several times a second: a norma_samples_t for each thread that
 * has run. MACH_PORT_NULL stops it, and so does the end of the port; another port replaces the one before. Children,
 * made in whatever way, are sampled to the same port, and a task goes on being sampled where it is teleported to.
 * While the port's queue is full samples are kept, NORMA_SAMPLES_MAX of each thread; any more are counted as lost.
 * A thread that sleeps is not disturbed; one that runs gets a signal, SIGRTMAX-3, as any timer's, for which system
 * calls are restarted where Linux restarts them (signal(7)). A thread that lives for less than a quarter of a second
 * may not be seen, nor the last quarter of a task's life.
 * KERN_INVALID_TASK, KERN_INVALID_CAPABILITY (`port` is no send right that messages can be sent to), KERN_NODE_DOWN.
 * (OSF Mach task_sample.)
 */
kern_return_t task_sample(task_t task, mach_port_t port) NORMA_MACH_NOEXCEPT NORMA_MACH_CALL(task_sample);

#ifdef __cplusplus
}
#endif
#endif
