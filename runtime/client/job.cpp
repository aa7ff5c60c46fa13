// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/job.hpp"

#include "norma/norma.h"
#include "runtime/protocol.hpp"
#include "runtime/sockets.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <link.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace norma::rt {

Job job;

namespace {

[[noreturn]] void give_up(const char *what, int error) {
    std::fprintf(stderr, "norma: %s: %s\n", what, std::strerror(error));
    std::_Exit(126);
}

// The GNU build id of the main program as hexadecimal digits, or "none".
std::string build_id() {
    std::string id = "none";
    dl_iterate_phdr(
        [](dl_phdr_info *info, std::size_t, void *out) {
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const auto &header = info->dlpi_phdr[i];
                if (header.p_type != PT_NOTE) {
                    continue;
                }
                const auto *at = reinterpret_cast<const char *>(info->dlpi_addr + header.p_vaddr);
                const auto *end = at + header.p_memsz;
                while (at + sizeof(ElfW(Nhdr)) <= end) {
                    const auto *note = reinterpret_cast<const ElfW(Nhdr) *>(at);
                    const auto *name = at + sizeof *note;
                    const auto *bytes = name + ((note->n_namesz + 3) & ~3U);
                    if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
                        auto &text = *static_cast<std::string *>(out);
                        text.clear();
                        for (unsigned byte = 0; byte < note->n_descsz; ++byte) {
                            char digits[3];
                            std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(bytes[byte]));
                            text += digits;
                        }
                        return 1;
                    }
                    at = bytes + ((note->n_descsz + 3) & ~3U);
                }
            }
            return 1; // the first object is the main program
        },
        &id);
    return id;
}

void reserve_window() {
    void *const base = reinterpret_cast<void *>(job.window_base);
    const void *const got = mmap(base, job.window_size, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != base) {
        std::fprintf(stderr,
                     "norma: the window of %zu bytes at %p cannot be reserved: %s; NORMA_WINDOW_BASE and "
                     "NORMA_WINDOW_SIZE choose another one\n",
                     static_cast<std::size_t>(job.window_size), base, std::strerror(errno));
        std::_Exit(126);
    }
}

} // namespace

bool join_job() {
    if (std::getenv("NORMA_TASK_FD") == nullptr) {
        return false;
    }
    Config config;
    try {
        config = load_config(environ);
    } catch (const ConfigError &error) {
        std::fprintf(stderr, "norma: %s\n", error.what());
        std::_Exit(126);
    }
    job.control = config.task_fd;
    job.window_base = config.window_base;
    job.window_size = config.window_size;
    unsetenv("NORMA_TASK_FD"); // programs that this one starts are not this task
    if (fcntl(job.control, F_SETFD, FD_CLOEXEC) != 0) {
        give_up("NORMA_TASK_FD is no descriptor", errno);
    }
    reserve_window();
    TaskMsgHead hello{};
    hello.type = static_cast<std::uint32_t>(TaskMsg::hello);
    hello.args[0] = kTaskProtocol;
    const int userfault = dsm::Userfault::open(config.uffd == UffdMode::user, job.fault_mode);
    hello.args[1] = static_cast<std::uint64_t>(job.fault_mode);
    hello.args[2] = userfault < 0 ? static_cast<std::uint64_t>(errno) : 0;
    const auto id = build_id();
    if (const int error = send_packet(job.control, std::as_bytes(std::span(&hello, 1)),
                                      std::as_bytes(std::span(id.data(), id.size())), userfault);
        error != 0) {
        if (error == EPIPE || error == ECONNRESET) {
            std::_Exit(126); // the node server is gone; the launcher says which
        }
        give_up("the node server cannot be reached", error);
    }
    close_if_open(userfault);
    job.active = true;
    return true;
}

} // namespace norma::rt

extern "C" {

int norma_node_count(void) noexcept {
    return norma::rt::job.nodes;
}
int norma_node(void) noexcept {
    return norma::rt::job.node;
}
int norma_in_job(void) noexcept {
    return norma::rt::job.active ? 1 : 0;
}
}
