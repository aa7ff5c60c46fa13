// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/client/program.hpp"

#include "norma/mach.h"
#include "runtime/client/channel.hpp"
#include "runtime/client/job.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <link.h>

// Of libnorma_program.
extern "C" {
[[gnu::weak]] void norma_program_begin(void *heap, std::size_t part_bytes, unsigned parts, unsigned node,
                                       std::uint64_t (*lost_from)(const void *address));
[[gnu::weak]] void norma_program_lose(unsigned part, bool with_its_node);
[[gnu::weak]] void norma_program_allocate_privately(bool from_now_on);
}

namespace norma::rt {

namespace {

constexpr std::uint64_t kPage = 4096;

[[noreturn]] void refuse(const char *why, const char *what = "") {
    std::fprintf(stderr,
                 "norma: %s%s; a whole program is compiled with -fPIE -mno-direct-extern-access and linked with "
                 "-pie -Wl,-z,now,-z,relro (the CMake target norma::program does so)\n",
                 why, what);
    std::_Exit(126);
}

// The GNU build id of an object as hexadecimal digits, or "none".
std::string build_id(const dl_phdr_info &object) {
    for (int i = 0; i < object.dlpi_phnum; ++i) {
        const auto &header = object.dlpi_phdr[i];
        if (header.p_type != PT_NOTE) {
            continue;
        }
        const auto *at = reinterpret_cast<const char *>(object.dlpi_addr + header.p_vaddr);
        const auto *end = at + header.p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            const auto *note = reinterpret_cast<const ElfW(Nhdr) *>(at);
            const auto *name = at + sizeof *note;
            const auto *bytes = name + ((note->n_namesz + 3) & ~3U);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
                std::string text;
                for (unsigned byte = 0; byte < note->n_descsz; ++byte) {
                    char digits[3];
                    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(bytes[byte]));
                    text += digits;
                }
                return text;
            }
            at = bytes + ((note->n_descsz + 3) & ~3U);
        }
    }
    return "none";
}

const ElfW(Phdr) * find_header(const dl_phdr_info &object, ElfW(Word) type, ElfW(Word) flags = 0) {
    const ElfW(Phdr) *found = nullptr;
    for (int i = 0; i < object.dlpi_phnum; ++i) {
        if (object.dlpi_phdr[i].p_type == type && (object.dlpi_phdr[i].p_flags & flags) == flags) {
            found = &object.dlpi_phdr[i];
        }
    }
    return found;
}

ProgramRange code_of(const dl_phdr_info &object) {
    const auto *header = find_header(object, PT_LOAD, PF_X);
    return header == nullptr ? ProgramRange{}
                             : ProgramRange{.start = object.dlpi_addr + header->p_vaddr, .size = header->p_memsz};
}

// Calls `visit` for the main program, which is the first object.
template <class Visit> void with_program(Visit visit) {
    dl_iterate_phdr(
        [](dl_phdr_info *info, std::size_t, void *what) {
            (*static_cast<Visit *>(what))(*info);
            return 1;
        },
        &visit);
}

template <class Visit> void for_each_dynamic(const dl_phdr_info &program, Visit visit) {
    if (const auto *header = find_header(program, PT_DYNAMIC)) {
        for (const auto *entry = reinterpret_cast<const ElfW(Dyn) *>(program.dlpi_addr + header->p_vaddr);
             entry->d_tag != DT_NULL; ++entry) {
            visit(*entry);
        }
    }
}

struct Dynamic {
    const ElfW(Rela) *relocations = nullptr;
    std::size_t relocation_bytes = 0;
    bool bound_at_start = false;
    ElfW(Addr) init = 0, init_array = 0;
    std::size_t init_array_bytes = 0;
};

Dynamic dynamic_of(const dl_phdr_info &program) {
    Dynamic found;
    for_each_dynamic(program, [&](const ElfW(Dyn) & entry) {
        const auto value = entry.d_un.d_val;
        switch (entry.d_tag) {
        case DT_RELA: // which the dynamic linker has relocated already
            found.relocations = reinterpret_cast<const ElfW(Rela) *>(value);
            break;
        case DT_RELASZ:
            found.relocation_bytes = value;
            break;
        case DT_FLAGS:
            found.bound_at_start = found.bound_at_start || (value & DF_BIND_NOW) != 0;
            break;
        case DT_FLAGS_1:
            found.bound_at_start = found.bound_at_start || (value & DF_1_NOW) != 0;
            break;
        case DT_INIT:
            found.init = program.dlpi_addr + value;
            break;
        case DT_INIT_ARRAY:
            found.init_array = program.dlpi_addr + value;
            break;
        case DT_INIT_ARRAYSZ:
            found.init_array_bytes = value;
            break;
        default:
            break;
        }
    });
    return found;
}

} // namespace

bool is_whole_program() {
    return norma_program_begin != nullptr;
}

std::string program_identity() {
    std::string identity;
    dl_iterate_phdr(
        [](dl_phdr_info *info, std::size_t, void *out) {
            auto &text = *static_cast<std::string *>(out);
            if (text.empty()) {
                text = build_id(*info);
                return is_whole_program() ? 0 : 1; // the first object is the main program
            }
            char where[32];
            std::snprintf(where, sizeof where, " at %#lx ", static_cast<unsigned long>(info->dlpi_addr));
            const auto *slash = std::strrchr(info->dlpi_name, '/');
            text += '\n';
            text += slash == nullptr ? info->dlpi_name : slash + 1;
            text += where + build_id(*info);
            return 0;
        },
        &identity);
    return identity;
}

ProgramRange coherent_data() {
    ProgramRange data;
    if (!is_whole_program()) {
        return data;
    }
    with_program([&](const dl_phdr_info &program) {
        const auto *writable = find_header(program, PT_LOAD, PF_W);
        const auto *fixed = find_header(program, PT_GNU_RELRO);
        const auto dynamic = dynamic_of(program);
        if (writable == nullptr || fixed == nullptr || !dynamic.bound_at_start) {
            refuse("the dynamic linker writes to the program's variables while it runs");
        }
        // Up to here nothing is written once the program runs: it is each process's own.
        const auto start = program.dlpi_addr + fixed->p_vaddr + fixed->p_memsz;
        const auto end = program.dlpi_addr + writable->p_vaddr + writable->p_memsz;
        if (start % kPage != 0 || end < start) {
            refuse("the program's variables do not start with a page");
        }
        for (std::size_t i = 0; i < dynamic.relocation_bytes / sizeof(ElfW(Rela)); ++i) {
            if (ELF64_R_TYPE(dynamic.relocations[i].r_info) == R_X86_64_COPY) {
                refuse("the program has variables of a shared library among its own");
            }
        }
        data = {.start = start, .size = (end - start + kPage - 1) / kPage * kPage};
    });
    return data;
}

ProgramRange program_code() {
    ProgramRange code;
    with_program([&](const dl_phdr_info &program) { code = code_of(program); });
    return code;
}

ProgramRange code_around(const void *address) {
    struct Search {
        const void *address;
        ProgramRange found;
    } search{address, {}};
    dl_iterate_phdr(
        [](dl_phdr_info *object, std::size_t, void *what) {
            auto &wanted = *static_cast<Search *>(what);
            const auto code = code_of(*object);
            if (!code.holds(wanted.address)) {
                return 0;
            }
            wanted.found = code;
            return 1;
        },
        &search);
    return search.found;
}

ProgramRange thread_variables() {
    ProgramRange variables;
    with_program([&](const dl_phdr_info &program) {
        if (const auto *header = find_header(program, PT_TLS)) {
            variables = {.start = reinterpret_cast<std::uint64_t>(program.dlpi_tls_data), .size = header->p_memsz};
        }
    });
    return variables;
}

namespace {

std::uint64_t lost_from(const void *address) {
    const auto answer = call(Op::pages_lost, MACH_PORT_NULL, {reinterpret_cast<std::uint64_t>(address)});
    return answer.status == KERN_SUCCESS ? answer.vals[0] : ~std::uint64_t{0};
}

} // namespace

void begin_heap(std::uint64_t address, std::uint64_t part_bytes, unsigned parts) {
    if (is_whole_program()) {
        norma_program_begin(reinterpret_cast<void *>(address), part_bytes, parts, static_cast<unsigned>(job.node),
                            lost_from);
    }
}

void lose_heap_of(unsigned part, bool with_its_node) {
    if (is_whole_program()) {
        norma_program_lose(part, with_its_node);
    }
}

void allocate_privately(bool from_now_on) {
    if (is_whole_program()) {
        norma_program_allocate_privately(from_now_on);
    }
}

void run_constructors(int argc, char **argv, char **env) {
    Dynamic dynamic;
    with_program([&](const dl_phdr_info &program) { dynamic = dynamic_of(program); });
    using Constructor = void (*)(int, char **, char **);
    if (dynamic.init != 0) {
        reinterpret_cast<Constructor>(dynamic.init)(argc, argv, env);
    }
    const auto *array = reinterpret_cast<const Constructor *>(dynamic.init_array);
    for (std::size_t i = 0; i < dynamic.init_array_bytes / sizeof(Constructor); ++i) {
        array[i](argc, argv, env);
    }
}

} // namespace norma::rt
