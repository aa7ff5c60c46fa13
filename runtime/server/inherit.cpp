// SPDX-License-Identifier: BSD-3-Clause
// Copies of memory: of a child, by its parent's inheritance attributes, and of whoever asks for a copy of a range. What
// is copied by one call is of one moment, whatever its homes:
// first all homes freeze what they have of it; when the last has, that is the moment, and each makes its snapshots. If
// anything fails, nothing has changed: what was frozen is thawed, and snapshots that were made are given back.
#include "runtime/server/node.hpp"

#include "norma/mach.h"
#include "rpc/wire.hpp"

#include <algorithm>
#include <map>
#include <memory>

namespace norma::rt {

namespace {

// What one home is asked for.
struct Part {
    dsm::NodeId home = 0;
    std::vector<std::size_t> places; // in the list of all
};

struct Copying {
    std::uint64_t number = 0; // of the freeze, the same at all homes
    LedgerMarks payers;
    std::vector<Stretch> wanted;
    std::vector<Part> parts;
    std::vector<std::uint64_t> made; // 0: not yet
    std::size_t open = 0;            // answers awaited
    std::int32_t status = KERN_SUCCESS;
    std::function<void(std::int32_t, const std::vector<std::uint64_t> &)> done;
};

Request about(Op op, const Copying &copying) {
    Request request;
    request.op = op;
    request.args[0] = copying.number;
    return request;
}

Request freeze_request(const Copying &copying, const Part &part) {
    std::vector<Stretch> stretches;
    for (const auto place : part.places) {
        stretches.push_back(copying.wanted[place]);
    }
    rpc::Writer writer;
    put_stretches(writer, stretches);
    auto request = about(Op::freeze, copying);
    request.blob = writer.bytes();
    return request;
}

// The numbers of a home's snapshots, one for each stretch; empty if that is not what they are.
std::vector<std::uint64_t> numbers_of(const Reply &reply, const Part &part) {
    rpc::Reader reader(reply.blob);
    std::vector<std::uint64_t> numbers(part.places.size());
    for (auto &number : numbers) {
        number = reader.get<std::uint64_t>();
    }
    if (!reader.done()) {
        numbers.clear();
    }
    return numbers;
}

void take_over(Node &node, Copying &copying, const Part &part, const Reply &reply) {
    const auto numbers = numbers_of(reply, part);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto place = part.places[i];
        copying.made[place] = numbers[i];
        if (part.home != node.self) {
            node.use({.object = copying.wanted[place].object, .number = numbers[i]});
        }
    }
    if (numbers.empty()) {
        copying.status = KERN_FAILURE;
    }
}

void give_back(Node &node, const Copying &copying) {
    for (std::size_t i = 0; i < copying.wanted.size(); ++i) {
        if (copying.made[i] != 0) {
            node.release({.object = copying.wanted[i].object, .number = copying.made[i]});
        }
    }
}

void copied(Node &node, const Copying &copying) {
    if (copying.status != KERN_SUCCESS) {
        give_back(node, copying);
    }
    copying.done(copying.status, copying.made);
}

// Snapshots that come when nobody waits for them any more are given back.
void give_back_late(Node &node, const std::shared_ptr<Copying> &copying, const Part &part, const Reply &late) {
    if (late.status == KERN_SUCCESS) {
        Copying alone;
        alone.wanted = copying->wanted;
        alone.made.resize(copying->wanted.size());
        take_over(node, alone, part, late);
        give_back(node, alone);
    }
}

void ask_for_snapshots(Node &node, const std::shared_ptr<Copying> &copying) {
    copying->open = copying->parts.size();
    rpc::Writer writer;
    put_marks(writer, copying->payers);
    auto request = about(Op::snapshot, *copying);
    request.blob = writer.bytes();
    for (const auto &part : copying->parts) {
        node.router.call_to_the_end(
            part.home, request,
            [&node, copying, &part](const Reply &reply) {
                if (reply.status == KERN_SUCCESS) {
                    take_over(node, *copying, part, reply);
                } else {
                    copying->status = reply.status;
                }
                if (--copying->open == 0) {
                    copied(node, *copying);
                }
            },
            [&node, copying, &part](const Reply &late) { give_back_late(node, copying, part, late); });
    }
}

// All homes have answered.
void all_frozen(Node &node, const std::shared_ptr<Copying> &copying) {
    if (copying->status == KERN_SUCCESS) {
        ask_for_snapshots(node, copying);
        return;
    }
    for (const auto &part : copying->parts) {
        node.router.tell(part.home, about(Op::thaw, *copying));
    }
    copied(node, *copying);
}

void freeze_all(Node &node, const std::shared_ptr<Copying> &copying) {
    for (std::size_t i = 0; i < copying->wanted.size(); ++i) {
        const auto home = node.rehoming.home_of(copying->wanted[i].object);
        auto part = std::find_if(copying->parts.begin(), copying->parts.end(),
                                 [home](const Part &known) { return known.home == home; });
        if (part == copying->parts.end()) {
            part = copying->parts.insert(part, {.home = home, .places = {}});
        }
        part->places.push_back(i);
    }
    copying->open = copying->parts.size() + 1; // one more, until all have been asked
    const auto answered = [&node, copying](const Reply &reply) {
        copying->status = reply.status != KERN_SUCCESS ? reply.status : copying->status;
        if (--copying->open == 0) {
            all_frozen(node, copying);
        }
    };
    for (const auto &part : copying->parts) {
        node.router.call(part.home, freeze_request(*copying, part), answered);
    }
    answered(status_reply(KERN_SUCCESS));
}

// Makes snapshots of the stretches, of which some may be the same; they are charged to `payers`. The caller has a use
// of each stretch until then, and of each snapshot afterwards if the status is success.
void copy_all(Node &node, std::uint64_t number, std::vector<Stretch> wanted, LedgerMarks payers,
              std::function<void(std::int32_t, const std::vector<std::uint64_t> &)> done) {
    auto copying = std::make_shared<Copying>();
    copying->number = number;
    copying->payers = std::move(payers);
    copying->made.resize(wanted.size());
    copying->done = std::move(done);
    copying->wanted = std::move(wanted);
    std::vector<dsm::ObjectId> objects;
    for (const auto &stretch : copying->wanted) {
        objects.push_back(stretch.object);
    }
    node.rehoming.with_homes(std::move(objects), [&node, copying] { freeze_all(node, copying); });
}

// Which snapshots are needed for copies of entries: one for all that lead to the same stretch, unless they have a page
// in common. Then what is written in one copy is not to be seen in the other.
class Plan {
  public:
    // The snapshot that the copy of an entry is to lead to, as a place in wanted().
    std::size_t add(const MapEntry &entry) {
        auto &places = of_stretch_[entry.stretch];
        auto place = std::find_if(places.begin(), places.end(),
                                  [&](std::size_t other) { return !overlaps(taken_[other], entry); });
        if (place == places.end()) {
            place = places.insert(place, wanted_.size());
            wanted_.push_back(entry.stretch);
            taken_.emplace_back();
        }
        taken_[*place].emplace(entry.offset, entry.offset + entry.size);
        return *place;
    }
    const std::vector<Stretch> &wanted() const { return wanted_; }

  private:
    using Taken = std::map<std::uint64_t, std::uint64_t>; // of a stretch; start -> end

    static bool overlaps(const Taken &taken, const MapEntry &entry) {
        const auto next = taken.lower_bound(entry.offset + entry.size);
        return next != taken.begin() && std::prev(next)->second > entry.offset;
    }

    std::vector<Stretch> wanted_;
    std::vector<Taken> taken_; // for each of these
    std::map<Stretch, std::vector<std::size_t>> of_stretch_;
};

} // namespace

void Node::copy_pieces(Pieces pieces, const Ledgers &payers, std::function<void(std::int32_t, Pieces)> done) {
    Plan plan;
    std::vector<std::size_t> places;
    for (const auto &piece : pieces) {
        places.push_back(plan.add(piece));
    }
    copy_all(*this, next_freeze_++, plan.wanted(), marks_of(payers),
             [this, pieces = std::move(pieces), places = std::move(places),
              done = std::move(done)](std::int32_t status, const std::vector<std::uint64_t> &numbers) {
                 Pieces copies;
                 for (std::size_t i = 0; status == KERN_SUCCESS && i < pieces.size(); ++i) {
                     copies.push_back(pieces[i]);
                     copies.back().stretch.number = numbers[places[i]];
                 }
                 release_all(pieces);
                 done(status, std::move(copies));
             });
}

void Node::inherit(TaskImage image, std::function<void(std::int32_t, TaskImage)> done) {
    std::erase_if(image.entries, [](const MapEntry &entry) { return entry.inheritance == VM_INHERIT_NONE; });
    image.stretches = stretches_of(image.entries);
    for (const auto &shared : image.stretches) {
        use(shared.stretch);
    }
    Plan plan;
    std::vector<std::size_t> places; // of the entries that are copied
    for (const auto &entry : image.entries) {
        if (entry.inheritance == VM_INHERIT_COPY) {
            places.push_back(plan.add(entry));
        }
    }
    const auto wanted = plan.wanted();
    const auto payers = image.ledgers;
    const auto finish = [this, image = std::move(image), wanted, places,
                         done = std::move(done)](std::int32_t status, const std::vector<std::uint64_t> &numbers) {
        auto inherited = image;
        auto place = places.begin();
        for (auto &entry : inherited.entries) {
            if (status == KERN_SUCCESS && entry.inheritance == VM_INHERIT_COPY) {
                entry.stretch.number = numbers[*place++];
            }
        }
        inherited.stretches = stretches_of(inherited.entries);
        done(status, std::move(inherited));
        for (std::size_t i = 0; status == KERN_SUCCESS && i < wanted.size(); ++i) {
            release({.object = wanted[i].object, .number = numbers[i]});
        }
        for (const auto &shared : image.stretches) {
            release(shared.stretch);
        }
    };
    if (wanted.empty()) {
        finish(KERN_SUCCESS, {});
    } else {
        copy_all(*this, next_freeze_++, wanted, payers, finish);
    }
}

} // namespace norma::rt
