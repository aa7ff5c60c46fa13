/* SPDX-License-Identifier: BSD-3-Clause */
/* The Murphi model (tests/model/coherence.m), translated to C, behind functions that do not depend on its constants: a
 * state of the model as plain bytes, and its rules. Sets of nodes and pages are bits. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { kModelNodes = 4, kModelPages = 4, kModelNet = 20, kModelDeferred = 8, kModelQueue = 12, kModelTxn = 30 };

struct ModelMessage {
    uint8_t kind, from, dest, write, have, lost, request, requester, count, txn, base, mask, current;
};

struct ModelGet {
    uint8_t used, from, request, write, have, release, base, count;
};

struct ModelTransaction {
    uint8_t busy, number, mask, waiting, supplier, answering, upgrade;
    struct ModelGet get;
};

struct ModelCache {
    uint8_t access, epoch, want_read, want_write, current, request, request_write;
};

struct ModelRecord {
    uint8_t owner, sharers, lost;
    struct ModelTransaction transaction; /* of which the page is the base */
};

struct ModelState {
    uint8_t dead, flying;
    uint8_t down[kModelNodes];
    struct ModelCache cache[kModelNodes][kModelPages];
    struct ModelRecord records[kModelPages];
    struct ModelMessage deferred[kModelDeferred]; /* node by node, the rest is zero */
    struct ModelGet queue[kModelQueue];           /* page by page, the rest is zero */
    struct ModelMessage net[kModelNet];           /* the rest is zero */
};

/* Each rule changes the state, unless it is not enabled there: then the result is 0. */
struct Model {
    unsigned nodes, pages;
    void (*tidy)(struct ModelState *state); /* brings the state into the form in which the rules leave it */
    int (*fault)(struct ModelState *state, unsigned node, unsigned page, int write, unsigned window);
    int (*store)(struct ModelState *state, unsigned node, unsigned page);
    int (*evict)(struct ModelState *state, unsigned node, unsigned page, unsigned window);
    int (*deliver)(struct ModelState *state, const struct ModelMessage *message);
    int (*vanish)(struct ModelState *state, const struct ModelMessage *message);
    int (*die)(struct ModelState *state, unsigned node);
    int (*notice)(struct ModelState *state, unsigned node, unsigned dead);
    const char *(*failure)(void); /* the first assertion of the model that failed, or null */
};

/* One for each size that is compiled in; the model keeps its state in globals, so one thread at a time. */
extern const struct Model norma_model_2x1, norma_model_3x1, norma_model_4x1, norma_model_2x2, norma_model_3x2;

#ifdef __cplusplus
}
#endif
