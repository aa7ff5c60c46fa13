// SPDX-License-Identifier: BSD-3-Clause
// <norma/pthread.h>: data of threads. The keys are everybody's; what a thread has under them is in memory of its node.
#include "runtime/pthread/thread.hpp"

#include <cerrno>
#include <climits>
#include <cstdlib>

namespace norma::threads {

namespace {

struct Key {
    Word generation; // odd: in use
    void (*destructor)(void *);
};
struct Value {
    Word generation; // of the key it belongs to; 0: none
    const void *value;
};

constexpr unsigned kKeys = 128;
alignas(4096) Key keys[kKeys];
thread_local Value *values;

bool is_used(Word generation) {
    return generation % 2 != 0;
}

// Calls one round of destructors; true if there was one to call.
bool destroy_once() {
    bool called = false;
    for (unsigned key = 0; key < kKeys; ++key) {
        auto &mine = values[key];
        const void *value = mine.value;
        if (value == nullptr || mine.generation != at(keys[key].generation).load()) {
            continue;
        }
        mine.value = nullptr;
        if (auto *destructor = keys[key].destructor; destructor != nullptr) {
            destructor(const_cast<void *>(value));
            called = true;
        }
    }
    return called;
}

} // namespace

void run_destructors() {
    if (values == nullptr) {
        return;
    }
    for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS && destroy_once(); ++round) {
    }
    std::free(values);
    values = nullptr;
}

} // namespace norma::threads

using norma::threads::at;
using norma::threads::is_used;
using norma::threads::keys;
using norma::threads::kKeys;
using norma::threads::Value;
using norma::threads::values;

extern "C" {

int norma_pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
    for (unsigned number = 0; number < kKeys; ++number) {
        auto &free = keys[number];
        auto generation = at(free.generation).load();
        if (!is_used(generation) && at(free.generation).compare_exchange_strong(generation, generation + 1)) {
            free.destructor = destructor;
            *key = number;
            return 0;
        }
    }
    return EAGAIN;
}

int norma_pthread_key_delete(pthread_key_t key) {
    if (key >= kKeys) {
        return EINVAL;
    }
    auto generation = at(keys[key].generation).load();
    const bool deleted =
        is_used(generation) && at(keys[key].generation).compare_exchange_strong(generation, generation + 1);
    return deleted ? 0 : EINVAL;
}

int norma_pthread_setspecific(pthread_key_t key, const void *value) {
    const auto generation = key < kKeys ? at(keys[key].generation).load() : 0;
    if (!is_used(generation)) {
        return EINVAL;
    }
    if (values == nullptr) {
        values = static_cast<Value *>(std::calloc(kKeys, sizeof(Value)));
    }
    if (values == nullptr) {
        return ENOMEM;
    }
    values[key] = {.generation = generation, .value = value};
    return 0;
}

void *norma_pthread_getspecific(pthread_key_t key) {
    if (values == nullptr || key >= kKeys || values[key].generation != at(keys[key].generation).load()) {
        return nullptr;
    }
    return const_cast<void *>(values[key].value);
}
}
