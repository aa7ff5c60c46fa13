// SPDX-License-Identifier: BSD-3-Clause
#include "tests/exploration/refinement.hpp"

#include "tests/exploration/abstraction.hpp"

#include <cstring>
#include <memory>
#include <mutex>

namespace norma::exploration {

namespace {

const Model *model_for(const Job &job) {
    if (job.stretches > 1 || job.moves) {
        return nullptr; // that model has no snapshots
    }
    for (const Model *model :
         {&norma_model_2x1, &norma_model_3x1, &norma_model_4x1, &norma_model_2x2, &norma_model_3x2}) {
        if (model->nodes == job.nodes && model->pages == job.pages) {
            return model;
        }
    }
    return nullptr;
}

class Refinement {
  public:
    Refinement(const Job &job, const Model &model) : job_(job), model_(model) {}

    std::string compare(const Position &before, const Choice &choice, const Position &after) const {
        const std::lock_guard lock(mutex()); // the model is in globals
        const Abstraction from = abstraction_of(before);
        ModelState expected = from.state;
        if (!hits(before, choice)) {
            for (dsm::PageIndex page = 0; page < job_.pages; ++page) {
                if (before.world.latest(page) != after.world.latest(page)) {
                    make_old(expected, choice, before, page);
                }
            }
        }
        if (!follow(expected, from, before, choice)) {
            return "the model has no rule for this\n" + to_text(expected, job_.nodes, job_.pages);
        }
        ModelState actual = abstraction_of(after).state;
        model_.tidy(&expected);
        model_.tidy(&actual);
        if (const char *failure = model_.failure()) {
            return std::string("the model says: ") + failure;
        }
        return std::memcmp(&expected, &actual, sizeof(actual)) == 0
                   ? std::string()
                   : "the model and the core differ\n\nthe model:\n" + to_text(expected, job_.nodes, job_.pages) +
                         "\nthe core:\n" + to_text(actual, job_.nodes, job_.pages);
    }

  private:
    static std::mutex &mutex() {
        static std::mutex one;
        return one;
    }

    // A write to a page that is writable already.
    bool hits(const Position &before, const Choice &choice) const {
        if (choice.kind != Choice::Kind::touch && choice.kind != Choice::Kind::anything) {
            return false;
        }
        const Touch &touch = touch_of(choice, before);
        return touch.kind == Touch::Kind::write &&
               before.world.frame(choice.node, touch.page).mapping == dsm::Mapping::writable;
    }

    // In the core's world a thread that has waited writes at once, in the middle of the step, and before what it wrote
    // is sent on. In the model to write is a rule of its own, so what it makes old is made old first: all copies but
    // the writer's, and that which is just arriving there.
    static void make_old(ModelState &state, const Choice &choice, const Position &before, dsm::PageIndex page) {
        const bool arrives = choice.kind == Choice::Kind::deliver;
        const unsigned writer = arrives ? before.world.flying()[choice.index].to : choice.node;
        for (unsigned node = 0; node < kModelNodes; ++node) {
            if (node != writer) {
                state.cache[node][page].current = 0;
            }
        }
        for (unsigned i = 0; i < state.flying; ++i) {
            if (!arrives || i != choice.index) {
                state.net[i].current &= static_cast<std::uint8_t>(~(1U << page));
            }
        }
    }

    // The model's rule for the choice. What changes nothing in the core may have none.
    bool follow(ModelState &state, const Abstraction &from, const Position &before, const Choice &choice) const {
        switch (choice.kind) {
        case Choice::Kind::touch:
        case Choice::Kind::anything:
            touch(state, before, choice);
            return true;
        case Choice::Kind::deliver:
            return model_.deliver(&state, &from.flying[choice.index]) != 0;
        case Choice::Kind::lose:
            return model_.vanish(&state, &from.flying[choice.index]) != 0;
        case Choice::Kind::notice:
            return model_.notice(&state, choice.node, before.world.notices()[choice.index].dead) != 0;
        case Choice::Kind::kill:
            return model_.die(&state, choice.node) != 0;
        case Choice::Kind::suspect:
            break;
        }
        return false;
    }

    void touch(ModelState &state, const Position &before, const Choice &choice) const {
        const Touch &touch = touch_of(choice, before);
        const auto page = static_cast<unsigned>(touch.page);
        if (touch.kind == Touch::Kind::evict) {
            model_.evict(&state, choice.node, page, touch.window);
            return;
        }
        if (hits(before, choice)) {
            model_.store(&state, choice.node, page);
            return;
        }
        // A window matters only to the one who asks.
        const bool pending = before.world.node(choice.node).pending(touch.page);
        model_.fault(&state, choice.node, page, touch.kind == Touch::Kind::write ? 1 : 0, pending ? 1 : touch.window);
    }

    const Touch &touch_of(const Choice &choice, const Position &before) const {
        return choice.kind == Choice::Kind::touch ? job_.threads[choice.index].touches[before.next[choice.index]]
                                                  : job_.anything[choice.index];
    }

    const Job &job_;
    const Model &model_;
};

} // namespace

Observer refinement_of(const Job &job) {
    const Model *model = model_for(job);
    if (model == nullptr || job.suspicions > 0 || job.lossy) {
        return {};
    }
    const auto refinement = std::make_shared<Refinement>(job, *model);
    return [refinement](const Position &before, const Choice &choice, const Position &after) {
        return refinement->compare(before, choice, after);
    };
}

} // namespace norma::exploration
