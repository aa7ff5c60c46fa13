/* SPDX-License-Identifier: BSD-3-Clause */
/* Compiled once for each size of the model, together with what murphi2c has made of it (MODEL_SOURCE). All names but
 * that of the table at the end (MODEL_NAME) are made local afterwards, so that several sizes fit into one program. */
#include "tests/exploration/model.h"

#include MODEL_SOURCE

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(msg_get == 1 && msg_data == 5 && msg_release == 9, "kinds are numbered as in the core");
_Static_assert(access_none == 0 && access_write == 2 && access_lost == 3, "access is numbered as in the core");
_Static_assert(COUNT(net.data) <= kModelNet && COUNT(deferred.data) < kModelDeferred, "room for all messages");
_Static_assert(COUNT(queue.data) < kModelQueue && COUNT(owner.data) <= kModelPages, "room for all pages");
_Static_assert(COUNT(status.data) <= kModelNodes, "room for all nodes");

enum { kNodeCount = COUNT(status.data), kPageCount = COUNT(owner.data) };

static const char *first_failure;

static void note_failure(const char *message) {
    first_failure = first_failure != 0 ? first_failure : message;
}

static uint8_t pages_to_bits(PageSet set) {
    uint8_t result = 0;
    for (unsigned i = 0; i < kPageCount; ++i) {
        result |= (uint8_t)((set.data[i] ? 1U : 0U) << i);
    }
    return result;
}

static uint8_t nodes_to_bits(NodeSet set) {
    uint8_t result = 0;
    for (unsigned i = 0; i < kNodeCount; ++i) {
        result |= (uint8_t)((set.data[i] ? 1U : 0U) << i);
    }
    return result;
}

static PageSet bits_to_pages(uint8_t bits) {
    PageSet result;
    for (unsigned i = 0; i < kPageCount; ++i) {
        result.data[i] = (bits >> i & 1U) != 0;
    }
    return result;
}

static NodeSet bits_to_nodes(uint8_t bits) {
    NodeSet result;
    for (unsigned i = 0; i < kNodeCount; ++i) {
        result.data[i] = (bits >> i & 1U) != 0;
    }
    return result;
}

static Message message_in(const struct ModelMessage *from) {
    Message result;
    memset(&result, 0, sizeof(result));
    result.kind = (MsgType)from->kind;
    result.from = from->from;
    result.dest = from->dest;
    result.write = from->write;
    result.have = from->have;
    result.lost = from->lost;
    result.request = from->request;
    result.requester = from->requester;
    result.count = from->count;
    result.txn = from->txn;
    result.base = from->base;
    result.mask = bits_to_pages(from->mask);
    result.current = bits_to_pages(from->current);
    return result;
}

static struct ModelMessage message_out(const Message *from) {
    return (struct ModelMessage){.kind = (uint8_t)from->kind,
                                 .from = (uint8_t)from->from,
                                 .dest = (uint8_t)from->dest,
                                 .write = from->write,
                                 .have = from->have,
                                 .lost = from->lost,
                                 .request = from->request,
                                 .requester = (uint8_t)from->requester,
                                 .count = (uint8_t)from->count,
                                 .txn = (uint8_t)from->txn,
                                 .base = (uint8_t)from->base,
                                 .mask = pages_to_bits(from->mask),
                                 .current = pages_to_bits(from->current)};
}

static Get get_in(const struct ModelGet *from) {
    return (Get){.used = from->used,
                 .from = from->from,
                 .request = from->request,
                 .write = from->write,
                 .have = from->have,
                 .release = from->release,
                 .base = from->base,
                 .count = from->count};
}

static struct ModelGet get_out(const Get *from) {
    return (struct ModelGet){.used = from->used,
                             .from = (uint8_t)from->from,
                             .request = from->request,
                             .write = from->write,
                             .have = from->have,
                             .release = from->release,
                             .base = (uint8_t)from->base,
                             .count = (uint8_t)from->count};
}

static void saw(unsigned number) {
    if ((unsigned)next_transaction <= number) {
        next_transaction = (Txn)(number + 1);
    }
}

static void load_record(const struct ModelRecord *record, unsigned page) {
    const struct ModelTransaction *from = &record->transaction;
    owner.data[page] = record->owner;
    sharers.data[page] = bits_to_nodes(record->sharers);
    lost.data[page] = record->lost;
    transactions.data[page] = (Transaction){.busy = from->busy,
                                            .number = from->number,
                                            .get = get_in(&from->get),
                                            .mask = bits_to_pages(from->mask),
                                            .waiting = bits_to_nodes(from->waiting),
                                            .supplier = from->supplier,
                                            .phase = from->answering ? answering : invalidating,
                                            .upgrade = from->upgrade};
    saw(from->number);
}

static void load_node(const struct ModelState *state, unsigned node) {
    status.data[node] = (state->dead >> node & 1U) != 0 ? dead : up;
    down.data[node] = bits_to_nodes(state->down[node]);
    for (unsigned page = 0; page < kPageCount; ++page) {
        const struct ModelCache *from = &state->cache[node][page];
        access.data[node].data[page] = (Access)from->access;
        epoch.data[node].data[page] = from->epoch;
        want_read.data[node].data[page] = from->want_read;
        want_write.data[node].data[page] = from->want_write;
        current.data[node].data[page] = from->current;
        request.data[node].data[page] = from->request;
        request_write.data[node].data[page] = from->request_write;
        saw(from->epoch);
    }
}

/* What the explorer counts itself (deaths, releases) starts at none, so that no rule is refused for being too many. */
static void load(const struct ModelState *state) {
    startstate_a_fresh_object();
    if (state->flying > COUNT(net.data) || state->deferred[COUNT(deferred.data)].kind != 0 ||
        state->queue[COUNT(queue.data)].used) {
        note_failure("no room for the state; model_sizes.sed makes more");
    }
    for (unsigned node = 0; node < kNodeCount; ++node) {
        load_node(state, node);
    }
    for (unsigned page = 0; page < kPageCount; ++page) {
        load_record(&state->records[page], page);
    }
    for (unsigned i = 0; i < COUNT(deferred.data); ++i) {
        deferred.data[i] = message_in(&state->deferred[i]);
        saw(state->deferred[i].txn);
    }
    for (unsigned i = 0; i < COUNT(queue.data); ++i) {
        queue.data[i] = get_in(&state->queue[i]);
    }
    flying = state->flying;
    for (unsigned i = 0; i < COUNT(net.data); ++i) {
        net.data[i] = message_in(&state->net[i]);
        saw(state->net[i].txn);
    }
}

static void save_record(struct ModelRecord *record, unsigned page) {
    const Transaction *from = &transactions.data[page];
    record->owner = (uint8_t)owner.data[page];
    record->sharers = nodes_to_bits(sharers.data[page]);
    record->lost = lost.data[page];
    record->transaction = (struct ModelTransaction){.busy = from->busy,
                                                    .number = (uint8_t)from->number,
                                                    .mask = pages_to_bits(from->mask),
                                                    .waiting = nodes_to_bits(from->waiting),
                                                    .supplier = (uint8_t)from->supplier,
                                                    .answering = from->phase == answering,
                                                    .upgrade = from->upgrade,
                                                    .get = get_out(&from->get)};
}

static void save_node(struct ModelState *state, unsigned node) {
    state->dead |= (uint8_t)((status.data[node] == dead ? 1U : 0U) << node);
    state->down[node] = nodes_to_bits(down.data[node]);
    for (unsigned page = 0; page < kPageCount; ++page) {
        state->cache[node][page] = (struct ModelCache){.access = (uint8_t)access.data[node].data[page],
                                                       .epoch = (uint8_t)epoch.data[node].data[page],
                                                       .want_read = want_read.data[node].data[page],
                                                       .want_write = want_write.data[node].data[page],
                                                       .current = current.data[node].data[page],
                                                       .request = (uint8_t)request.data[node].data[page],
                                                       .request_write = request_write.data[node].data[page]};
    }
}

/* The model keeps one list of all deferred forwards and one of all gets; only the order within a node or page matters.
 */
static void save_lists(struct ModelState *state) {
    unsigned place = 0;
    for (unsigned node = 0; node < kNodeCount; ++node) {
        for (unsigned i = 0; i < COUNT(deferred.data); ++i) {
            if (deferred.data[i].kind != msg_none && (unsigned)deferred.data[i].dest == node) {
                state->deferred[place++] = message_out(&deferred.data[i]);
            }
        }
    }
    place = 0;
    for (unsigned page = 0; page < kPageCount; ++page) {
        for (unsigned i = 0; i < COUNT(queue.data); ++i) {
            if (queue.data[i].used && (unsigned)queue.data[i].base == page) {
                state->queue[place++] = get_out(&queue.data[i]);
            }
        }
    }
}

static void save(struct ModelState *state) {
    memset(state, 0, sizeof(*state));
    for (unsigned node = 0; node < kNodeCount; ++node) {
        save_node(state, node);
    }
    for (unsigned page = 0; page < kPageCount; ++page) {
        save_record(&state->records[page], page);
    }
    save_lists(state);
    state->flying = (uint8_t)flying;
    for (int i = 0; i < flying; ++i) {
        state->net[i] = message_out(&net.data[i]);
    }
}

static void model_tidy(struct ModelState *state) {
    load(state);
    Tidy();
    save(state);
}

/* RULE: what to call; GUARD: whether it is enabled. */
#define TAKE(GUARD, RULE)                                                                                              \
    load(state);                                                                                                       \
    failed_assertion = note_failure;                                                                                   \
    if (!(GUARD)) {                                                                                                    \
        return 0;                                                                                                      \
    }                                                                                                                  \
    RULE;                                                                                                              \
    save(state);                                                                                                       \
    return 1

static int model_fault(struct ModelState *state, unsigned node, unsigned page, int write, unsigned window) {
    TAKE(guard_Fault((Node)node, (Page)page, write != 0, (Count)window),
         rule_Fault((Node)node, (Page)page, write != 0, (Count)window));
}

static int model_store(struct ModelState *state, unsigned node, unsigned page) {
    TAKE(guard_Store((Node)node, (Page)page), rule_Store((Node)node, (Page)page));
}

static int model_evict(struct ModelState *state, unsigned node, unsigned page, unsigned window) {
    TAKE(guard_Evict((Node)node, (Page)page, (Count)window), rule_Evict((Node)node, (Page)page, (Count)window));
}

/* Of messages that are alike the first, which is the one that the rules are about. */
static int find(const struct ModelState *state, const struct ModelMessage *message) {
    int i = 0;
    while (i < state->flying && memcmp(&state->net[i], message, sizeof(*message)) != 0) {
        ++i;
    }
    return i;
}

static int model_deliver(struct ModelState *state, const struct ModelMessage *message) {
    const int slot = find(state, message);
    TAKE(slot < state->flying && guard_Deliver(slot), rule_Deliver(slot));
}

static int model_vanish(struct ModelState *state, const struct ModelMessage *message) {
    const int slot = find(state, message);
    TAKE(slot < state->flying && guard_Vanish(slot), rule_Vanish(slot));
}

static int model_die(struct ModelState *state, unsigned node) {
    TAKE(guard_Die((Node)node), rule_Die((Node)node));
}

static int model_notice(struct ModelState *state, unsigned node, unsigned dead_node) {
    TAKE(guard_Notice((Node)node, (Node)dead_node), rule_Notice((Node)node, (Node)dead_node));
}

static const char *model_failure(void) {
    return first_failure;
}

const struct Model MODEL_NAME = {.nodes = kNodeCount,
                                 .pages = kPageCount,
                                 .tidy = model_tidy,
                                 .fault = model_fault,
                                 .store = model_store,
                                 .evict = model_evict,
                                 .deliver = model_deliver,
                                 .vanish = model_vanish,
                                 .die = model_die,
                                 .notice = model_notice,
                                 .failure = model_failure};
