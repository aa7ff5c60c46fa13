// SPDX-License-Identifier: BSD-3-Clause
// Regions of an owner on this machine, which are in the importer's memory: not over a network.
#include "runtime/direct.hpp"
#include "runtime/local_socket.hpp"
#include "runtime/sockets.hpp"
#include "tests/one_sided/owner.hpp"

#include <array>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>

namespace {

using systest::import;
using systest::kBoth;
using systest::OwnerState;
using systest::shared;
using systest::start_owner;
using systest::wait_for_turn;

constexpr vm_size_t kPage = 4096;

// Sends the bytes to every node server of this machine that lets importers come. How many have answered with `status`.
template <class Packet> int ask_all(const Packet &packet, std::int32_t status) {
    int answered = 0;
    for (const auto &name : norma::rt::names_listened_at()) {
        const int socket = name.starts_with("norma-direct-") ? norma::rt::connect_to(name, SOCK_SEQPACKET) : -1;
        if (socket < 0) {
            continue;
        }
        norma::rt::send_packet(socket, std::as_bytes(std::span(&packet, 1)), {});
        norma::rt::DirectGrant grant{};
        int passed = -1;
        ssize_t size = -1;
        while (size < 0) { // an answer, or the end
            size = norma::rt::receive_packet(socket, std::as_writable_bytes(std::span(&grant, 1)), passed);
        }
        CHECK_EQ(-1, passed);
        answered += size == sizeof grant && grant.status == status ? 1 : 0;
        ::close(socket);
    }
    return answered;
}

} // namespace

// Nothing of its process runs, not even the library's threads.
SYSTEM_CASE(owner_stands_still) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kPage, kBoth, [](OwnerState *s) { wait_for_turn(s, 1); });
    const auto region = import(state->key);
    auto stopper = systest::spawn(1, [state] { ::kill(state->pid, SIGSTOP); });
    JOIN(stopper);
    std::uint64_t word = 5, before = 0;
    CHECK_KERN(KERN_SUCCESS, norma_put(region, 8, &word, sizeof word));
    CHECK_KERN(KERN_SUCCESS, norma_fetch_add(region, 8, 2, &before));
    CHECK_KERN(KERN_SUCCESS, norma_get(region, 8, &word, sizeof word));
    CHECK_EQ(5U, before);
    CHECK_EQ(7U, word);
    auto goer = systest::spawn(1, [state] { ::kill(state->pid, SIGCONT); });
    JOIN(goer);
    state->turn = 1;
    JOIN(owner);
    return 0;
}

// Several tasks have wired parts of it, in pieces, and it begins and ends within pages.
SYSTEM_CASE(wired_in_pieces) {
    auto *state = shared<OwnerState>();
    auto owner = systest::spawn(1, [state] {
        vm_address_t address = 0;
        CHECK_KERN(KERN_SUCCESS, vm_allocate(mach_task_self(), &address, 4 * kPage, TRUE));
        for (const vm_size_t page : {3, 0, 2, 1}) {
            CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), mach_task_self(), address + page * kPage, kPage, kBoth));
        }
        CHECK_KERN(KERN_SUCCESS, norma_region_export(address + 100, 4 * kPage - 200, kBoth, &state->key));
        auto *bytes = reinterpret_cast<std::atomic<unsigned char> *>(address);
        for (vm_size_t i = 0; i < 4 * kPage; ++i) {
            bytes[i] = static_cast<unsigned char>(i % 251);
        }
        state->ready = 1;
        wait_for_turn(state, 1);
        for (vm_size_t i = 0; i < 4 * kPage; ++i) {
            const auto expected = i >= 100 && i < 4 * kPage - 100 ? (i + 7) % 251 : i % 251;
            CHECK_EQ(static_cast<unsigned>(expected), unsigned{bytes[i]});
        }
        // A part that is unwired ends all of it, and only then.
        CHECK_KERN(KERN_SUCCESS, vm_wire(mach_host_self(), mach_task_self(), address + 2 * kPage, kPage, VM_PROT_NONE));
        state->ready = 2;
        wait_for_turn(state, 2);
    });
    CHECK_SOON(state->ready == 1);
    const auto region = import(state->key);
    std::vector<unsigned char> bytes(4 * kPage - 200);
    CHECK_KERN(KERN_SUCCESS, norma_get(region, 0, bytes.data(), bytes.size()));
    for (vm_size_t i = 0; i < bytes.size(); ++i) {
        CHECK_EQ(static_cast<unsigned>((i + 100) % 251), unsigned{bytes[i]});
        bytes[i] = static_cast<unsigned char>((i + 107) % 251);
    }
    CHECK_KERN(KERN_SUCCESS, norma_put(region, 0, bytes.data(), bytes.size()));
    CHECK_KERN(KERN_INVALID_ADDRESS, norma_get(region, bytes.size() - 1, bytes.data(), 2));
    state->turn = 1;
    CHECK_SOON(state->ready == 2);
    CHECK_KERN(KERN_INVALID_CAPABILITY, norma_get(region, 0, bytes.data(), 1));
    CHECK_KERN(KERN_INVALID_CAPABILITY, norma_put(region, bytes.size() - 1, bytes.data(), 1));
    state->turn = 2;
    JOIN(owner);
    return 0;
}

// Who is not libnorma gets nothing, and harms nobody.
SYSTEM_CASE(strangers) {
    auto *state = shared<OwnerState>();
    auto owner = start_owner(1, state, kPage, kBoth, [](OwnerState *s) { wait_for_turn(s, 1); });
    const auto region = import(state->key);
    const auto &words = state->key.words;
    const norma::rt::DirectAsk good{.owner = words[0], .place = words[1], .secret = {words[2], words[3]}};
    CHECK_EQ(0, ask_all('x', KERN_SUCCESS));
    CHECK_EQ(0, ask_all(std::array<char, 4000>{}, KERN_SUCCESS));
    CHECK_EQ(0, ask_all(norma::rt::DirectAsk{}, KERN_SUCCESS));
    for (auto *const part : {"owner", "place", "high", "low"}) {
        auto wrong = good;
        const std::string which = part;
        wrong.owner += which == "owner" ? 1 : 0;
        wrong.place += which == "place" ? 1 : 0;
        wrong.secret.high ^= which == "high" ? 1 : 0;
        wrong.secret.low ^= which == "low" ? 1 : 0;
        CHECK_EQ(0, ask_all(wrong, KERN_SUCCESS));
        CHECK(ask_all(wrong, KERN_INVALID_CAPABILITY) >= 2);
    }
    char byte = 0;
    CHECK_KERN(KERN_SUCCESS, norma_get(region, 0, &byte, 1));
    CHECK_KERN(KERN_SUCCESS, norma_get(import(state->key), 0, &byte, 1));
    state->turn = 1;
    JOIN(owner);
    return 0;
}
