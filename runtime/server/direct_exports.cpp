// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/server/direct_exports.hpp"

#include "runtime/local_socket.hpp"
#include "runtime/server/node.hpp"
#include "runtime/sockets.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace norma::rt {

namespace {

constexpr int kBacklog = 64;
constexpr std::chrono::microseconds kPause{50}; // between two looks whether an access is over
constexpr std::chrono::milliseconds kLongPause{100};
constexpr std::size_t kControlBytes = kMapPage;

// A page that nobody can make smaller, or who has it here would get SIGBUS. -1 if there is none to be had.
int make_page() {
    const int fd = ::memfd_create("norma-control", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const bool good = fd >= 0 && ::ftruncate(fd, kControlBytes) == 0 &&
                      ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
    if (!good) {
        close_if_open(fd);
    }
    return good ? fd : -1;
}

// The same file for reading only, whatever is done with the descriptor.
int for_reading(int fd) {
    return ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_RDONLY | O_CLOEXEC);
}

template <class Packet> bool say(int socket, const Packet &packet, int fd = -1) {
    return send_packet(socket, std::as_bytes(std::span(&packet, 1)), {}, fd) == 0;
}

} // namespace

DirectExports::~DirectExports() {
    for (const auto &[socket, grant] : grants_) {
        ::close(socket);
    }
    close_if_open(listener_);
}

void DirectExports::open() {
    name_ = fmt::format("norma-direct-{}", random_part());
    listener_ = listen_as(name_, SOCK_SEQPACKET, kBacklog);
    if (listener_ < 0) {
        name_.clear();
        throw std::system_error(errno, std::generic_category(), "a socket for importers of this machine");
    }
    listen();
}

// Whoever cannot be taken in for want of descriptors waits, and the node server does not look at him all the time; he
// uses the network if he has waited in vain.
void DirectExports::listen() {
    node_.loop.watch(listener_, [this](std::uint32_t) {
        if (!arrive()) {
            node_.loop.unwatch(listener_);
            node_.loop.at(Clock::now() + kLongPause, [this] { listen(); });
        }
    });
}

void DirectExports::add(const Export &made, const Key &secret) {
    if (listener_ >= 0) {
        exports_[secret] = made;
    }
}

// ---- importers ----

// False: somebody could not be taken in.
bool DirectExports::arrive() {
    for (;;) {
        const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (socket < 0) {
            return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
        }
        const auto peer = peer_behind(socket);
        if (!peer || peer->user != ::geteuid()) {
            ::close(socket);
            continue;
        }
        grants_[socket] = {};
        node_.loop.watch(socket, [this, socket](std::uint32_t) { hear(socket); });
    }
}

// Nobody says anything twice: what comes behind the question is the end, or not from libnorma.
void DirectExports::hear(int socket) {
    DirectAsk ask{};
    int passed = -1;
    const auto size = receive_packet(socket, std::as_writable_bytes(std::span(&ask, 1)), passed);
    close_if_open(passed);
    if (size < 0) {
        return;
    }
    const auto found = grants_.find(socket);
    if (size != sizeof ask || found->second.owner != 0) { // a packet that comes later is not from libnorma
        end(found);
        return;
    }
    if (!begin(socket, found->second, ask)) {
        end(found);
    }
}

// False: the importer has been refused, or finds the connection ended and uses the network.
bool DirectExports::begin(int socket, Grant &grant, const DirectAsk &ask) {
    const auto wanted = exports_.find(ask.secret);
    if (wanted == exports_.end() || wanted->second.owner != ask.owner || wanted->second.place != ask.place) {
        say(socket, DirectGrant{.status = KERN_INVALID_CAPABILITY, .pieces = 0, .bytes = 0, .lead = 0, .access = 0});
        return false;
    }
    const auto pieces = pieces_of(wanted->second);
    grant.page = make_page();
    auto *const mapped = grant.page < 0 || pieces.size() > kMostDirectPieces
                             ? MAP_FAILED
                             : ::mmap(nullptr, kControlBytes, PROT_READ | PROT_WRITE, MAP_SHARED, grant.page, 0);
    if (mapped == MAP_FAILED) {
        return false;
    }
    grant.control = static_cast<DirectControl *>(mapped);
    grant.owner = ask.owner;
    grant.secret = ask.secret;
    grant.about = wanted->second;
    grant.unsettled = pieces.size();
    for (const auto &piece : pieces) {
        node_.use(piece.stretch);
        node_.pager.wire(piece.stretch.object, piece.first, piece.size / kMapPage,
                         [this, socket, piece](dsm::WiringResult result) { settled(socket, piece, result); });
    }
    return true;
}

// Pages that are wired already are so at once, as a rule.
void DirectExports::settled(int socket, const WiredPiece &piece, dsm::WiringResult result) {
    const auto found = grants_.find(socket);
    auto &grant = found->second;
    if (result == dsm::WiringResult::wired) {
        grant.pieces.push_back(piece);
    } else {
        grant.ended = true;
        node_.release(piece.stretch);
    }
    if (--grant.unsettled == 0 && (grant.ended || !share(socket, grant))) {
        end(found);
    }
}

// The whole pages of an export, by what the task has wired.
std::vector<WiredPiece> DirectExports::pieces_of(const Export &wanted) const {
    std::vector<WiredPiece> pieces;
    const auto from = page_floor(wanted.address);
    const auto to = wanted.address + wanted.bytes;
    for (const auto &[start, piece] : node_.tasks.at(wanted.owner)->wired) {
        if (piece.end() <= from || start >= to) {
            continue;
        }
        auto part = piece;
        part.start = std::max(start, from);
        part.size = std::min(piece.end(), *page_ceil(to)) - part.start;
        part.first += (part.start - start) / kMapPage;
        pieces.push_back(part);
    }
    return pieces;
}

// Tells the importer all of it. False: it does not go.
bool DirectExports::share(int socket, Grant &grant) {
    const auto &wanted = grant.about;
    bool good = say(socket,
                    DirectGrant{.status = KERN_SUCCESS,
                                .pieces = static_cast<std::uint32_t>(grant.pieces.size()),
                                .bytes = wanted.bytes,
                                .lead = wanted.address - page_floor(wanted.address),
                                .access = static_cast<std::uint64_t>(wanted.access)},
                    grant.page);
    close_if_open(std::exchange(grant.page, -1));
    for (const auto &piece : grant.pieces) {
        const int frames = node_.pager.frames_fd(piece.stretch.object);
        const int shown = (wanted.access & VM_PROT_WRITE) != 0 ? frames : for_reading(frames);
        good =
            good && shown >= 0 && say(socket, DirectPiece{.offset = piece.first * kMapPage, .size = piece.size}, shown);
        if (shown != frames) {
            close_if_open(shown);
        }
    }
    return good;
}

// ---- the end ----

void DirectExports::close(std::map<Key, Export>::iterator ended, DirectControl::State why) {
    for (auto &[socket, grant] : grants_) {
        if (grant.owner != 0 && !grant.closed && grant.secret == ended->first) {
            grant.closed = true;
            grant.control->state.store(why, std::memory_order_seq_cst);
        }
    }
    exports_.erase(ended);
    look_again();
}

void DirectExports::close(TaskId owner, Range range) {
    for (auto next = exports_.begin(); next != exports_.end();) {
        const auto one = next++;
        const auto &about = one->second;
        if (about.owner == owner && about.address < range.end() && range.start < about.address + about.bytes) {
            close(one, DirectControl::withdrawn);
        }
    }
}

bool DirectExports::close(TaskId owner, const Key &secret) {
    const auto found = exports_.find(secret);
    if (found == exports_.end() || found->second.owner != owner) {
        return false;
    }
    close(found, DirectControl::withdrawn);
    return true;
}

void DirectExports::close_all(TaskId owner) {
    for (auto next = exports_.begin(); next != exports_.end();) {
        const auto one = next++;
        if (one->second.owner == owner) {
            close(one, DirectControl::owner_gone);
        }
    }
}

// Ends what is closed and nobody is in, and looks again if there is more. An importer whose process has ended is heard
// of by its socket; one that is suspended in the middle of an access keeps the pages until it goes on.
void DirectExports::look_again() {
    bool again = false;
    for (auto next = grants_.begin(); next != grants_.end();) {
        const auto one = next++;
        if (!one->second.closed) {
            continue;
        }
        if (one->second.unsettled == 0 && one->second.control->users.load(std::memory_order_seq_cst) == 0) {
            end(one);
        } else {
            again = true;
        }
    }
    if (again && !looking_) {
        looking_ = true;
        node_.loop.at(Clock::now() + kPause, [this] {
            looking_ = false;
            look_again();
        });
    }
}

// With the connection: of a process that has ended nobody is in, whatever the page says.
void DirectExports::end(Grants::iterator ended) {
    if (ended->second.unsettled > 0) {
        node_.loop.unwatch(ended->first);
        ended->second.ended = true;
        return;
    }
    const auto grant = std::move(ended->second);
    node_.loop.unwatch(ended->first);
    ::close(ended->first);
    close_if_open(grant.page);
    grants_.erase(ended);
    if (grant.owner == 0) {
        return;
    }
    ::munmap(grant.control, kControlBytes);
    for (const auto &piece : grant.pieces) {
        node_.pager.unwire(piece.stretch.object, piece.first, piece.size / kMapPage);
        node_.release(piece.stretch);
    }
    std::vector<std::function<void()>> quiet;
    std::erase_if(waiting_, [&](auto &waiter) {
        const bool over = is_quiet(waiter.first);
        if (over) {
            quiet.push_back(std::move(waiter.second));
        }
        return over;
    });
    if (!quiet.empty()) { // not from here: whoever closes something is in the middle of it
        node_.loop.at(Clock::now(), [quiet = std::move(quiet)] {
            for (const auto &done : quiet) {
                done();
            }
        });
    }
}

bool DirectExports::is_quiet(TaskId owner) const {
    return std::none_of(grants_.begin(), grants_.end(),
                        [owner](const auto &entry) { return entry.second.closed && entry.second.owner == owner; });
}

void DirectExports::when_quiet(TaskId owner, std::function<void()> done) {
    if (is_quiet(owner)) {
        done();
    } else {
        waiting_.emplace_back(owner, std::move(done));
    }
}

} // namespace norma::rt
