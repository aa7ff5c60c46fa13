// SPDX-License-Identifier: BSD-3-Clause
// What a processor has of a thread: each kind of register is filled, held while the task is moved, and looked at.
#include "tests/migration/moving.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <immintrin.h>
#include <numeric>
#include <span>
#include <vector>

namespace {

using namespace moving;

// No two bytes that are neighbours are the same.
template <class Value, std::size_t count> std::array<Value, count> numbered() {
    std::array<Value, count> values{};
    std::uint8_t next = 1;
    for (auto &byte : std::as_writable_bytes(std::span(values))) {
        byte = std::byte{next++};
    }
    return values;
}

// An instruction for each of a list of registers, whose values lie one behind the other.
#define EACH(list, bytes, instruction)                                                                                 \
    ".set at, 0\n\t.irp register," list "\n\t" instruction "\n\t.set at, at + " #bytes "\n\t.endr\n\t"
// What comes between filling and looking, for those that need no register of the twelve.
#define HOLD                                                                                                           \
    "movl $1, (%[ready])\n1: cmpb $0, (%[over])\n\t"                                                                   \
    "je 1b\n\t"

#define GENERAL "rbx,rcx,rdx,rsi,r8,r9,r10,r11,r12,r13,r14,r15"
using General = std::array<std::uint64_t, 12>;

// With the direction flag set; returns the flags.
[[gnu::noinline]] std::uint64_t hold_general(General &values) {
    std::uint64_t flags = 0;
    const auto *const end = &over;
    asm volatile(EACH(GENERAL, 8, "mov at(%%rdi), %%\\register") //
                 "std\n\t"
                 "movl $1, (%%rax)\n"
                 "1: mov %[end], %%rax\n\t"
                 "cmpb $0, (%%rax)\n\t"
                 "je 1b\n\t" EACH(GENERAL, 8, "mov %%\\register, at(%%rdi)") //
                 "lea -128(%%rsp), %%rsp\n\t"                                // what is below may be in use
                 "pushfq\n\t"
                 "pop %%rax\n\t"
                 "lea 128(%%rsp), %%rsp\n\t"
                 "cld"
                 : "=&a"(flags)
                 : "D"(values.data()), "0"(&ready), [end] "m"(end)
                 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    return flags;
}

SYSTEM_CASE(general_registers_move) {
    return moved_when_ready(2, [] {
        constexpr std::uint64_t kDirection = 0x400;
        auto values = numbered<std::uint64_t, std::size(General{})>();
        CHECK((hold_general(values) & kDirection) != 0);
        CHECK((values == numbered<std::uint64_t, std::size(General{})>()));
    });
}

#define SIXTEEN "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"

// All 32 bytes of each, on a processor that has as many.
using Vectors = std::array<std::byte, std::size_t{16} * 32>;
[[gnu::noinline]] void hold_ymm(Vectors &values) {
    asm volatile(EACH(SIXTEEN, 32, "vmovups at(%[values]), %%ymm\\register")
                     HOLD EACH(SIXTEEN, 32, "vmovups %%ymm\\register, at(%[values])") "vzeroupper"
                 :
                 : [values] "r"(values.data()), [over] "r"(&over), [ready] "r"(&ready)
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                   "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
}

SYSTEM_CASE(ymm_registers_move) {
    return moved_when_ready(2, [] {
        const auto expected = numbered<std::byte, sizeof(Vectors)>();
        static Vectors values;
        values = expected;
        __builtin_cpu_supports("avx") ? hold_ymm(values) : be_moved();
        CHECK(values == expected);
    });
}

// Those of AVX-512 that the compiler does not use by itself: sixteen more registers, and masks.
[[gnu::noinline]] void hold_zmm(std::byte *values, std::uint64_t *masks) {
    asm volatile(
        EACH("16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31", 64, "vmovups at(%[values]), %%zmm\\register")
            EACH("1,2,3,4,5,6,7", 8, "kmovq at(%[masks]), %%k\\register") //
        HOLD EACH("16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31", 64, "vmovups %%zmm\\register, at(%[values])")
            EACH("1,2,3,4,5,6,7", 8, "kmovq %%k\\register, at(%[masks])") "vzeroupper"
        :
        : [values] "r"(values), [masks] "r"(masks), [over] "r"(&over), [ready] "r"(&ready)
        : "memory", "cc");
}

SYSTEM_CASE(zmm_and_mask_registers_move) {
    return moved_when_ready(2, [] {
        static std::array<std::byte, std::size_t{16} * 64> values;
        const auto expected = numbered<std::byte, sizeof values>();
        const auto expected_masks = numbered<std::uint64_t, 7>();
        values = expected;
        auto masks = expected_masks;
        __builtin_cpu_supports("avx512bw") ? hold_zmm(values.data(), masks.data()) : be_moved();
        CHECK(values == expected);
        CHECK(masks == expected_masks);
    });
}

// All eight places of the x87 stack, with numbers that no double has.
[[gnu::noinline]] void hold_x87(std::array<long double, 8> &values) {
    asm volatile("fldt (%[values])\n\tfldt 16(%[values])\n\tfldt 32(%[values])\n\tfldt 48(%[values])\n\t"
                 "fldt 64(%[values])\n\tfldt 80(%[values])\n\tfldt 96(%[values])\n\tfldt 112(%[values])\n\t" HOLD
                 "fstpt (%[values])\n\tfstpt 16(%[values])\n\tfstpt 32(%[values])\n\tfstpt 48(%[values])\n\t"
                 "fstpt 64(%[values])\n\tfstpt 80(%[values])\n\tfstpt 96(%[values])\n\tfstpt 112(%[values])"
                 :
                 : [values] "r"(&values), [over] "r"(&over), [ready] "r"(&ready)
                 : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "memory", "cc");
}

SYSTEM_CASE(x87_stack_moves) {
    return moved_when_ready(2, [] {
        std::array<long double, 8> values{};
        for (std::size_t i = 0; i < values.size(); ++i) {
            values.at(i) = 1 + static_cast<long double>(i) * 0x1p-63L;
        }
        auto expected = values;
        std::ranges::reverse(expected);
        hold_x87(values);
        CHECK(values == expected);
    });
}

// How both units round, what they make of the smallest numbers, how exact they are, and what has happened in them.
SYSTEM_CASE(floating_point_modes_and_flags_move) {
    return moved_when_ready(2, [] {
        constexpr unsigned kDownFlushAndInexact = 0x1f80 | 0x2000 | 0x8000 | 0x0040 | 0x0020;
        constexpr std::uint16_t kToZeroOf53Bits = 0x0e7f, kDividedByZero = 4;
        _mm_setcsr(kDownFlushAndInexact);
        asm volatile("fldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfstp %%st(0)" ::"m"(kToZeroOf53Bits) : "st", "st(1)");
        be_moved();
        std::uint16_t control = 0, status = 0;
        asm volatile("fnstcw %0\n\tfnstsw %1\n\tfnclex" : "=m"(control), "=m"(status));
        const auto vectors = _mm_getcsr();
        _mm_setcsr(0x1f80);
        CHECK_EQ(kDownFlushAndInexact, vectors);
        CHECK_EQ(kToZeroOf53Bits, control);
        CHECK((status & kDividedByZero) != 0);
    });
}

// Below the stack pointer a function that calls no other has 128 bytes of its own.
[[gnu::noinline]] bool hold_red_zone() {
    std::uint64_t wrong = 0;
    asm volatile("lea -128(%%rsp), %%rsp\n\t" // what is below may be in use, but not below that
                 "mov $16, %%ecx\n"
                 "2: neg %%rcx\n\t"
                 "mov %%rcx, (%%rsp,%%rcx,8)\n\t"
                 "neg %%rcx\n\t"
                 "dec %%ecx\n\t"
                 "jnz 2b\n\t" HOLD "mov $16, %%ecx\n\t"
                 "xor %0, %0\n"
                 "3: neg %%rcx\n\t"
                 "mov (%%rsp,%%rcx,8), %%rdx\n\t"
                 "xor %%rcx, %%rdx\n\t"
                 "or %%rdx, %0\n\t"
                 "neg %%rcx\n\t"
                 "dec %%ecx\n\t"
                 "jnz 3b\n\t"
                 "lea 128(%%rsp), %%rsp"
                 : "=&r"(wrong)
                 : [over] "r"(&over), [ready] "r"(&ready)
                 : "rcx", "rdx", "memory", "cc");
    return wrong == 0;
}

SYSTEM_CASE(red_zone_moves) {
    return moved_when_ready(2, [] { CHECK(hold_red_zone()); });
}

// One instruction that lasts long, is interrupted in its midst, and touches pages that are still elsewhere.
SYSTEM_CASE(string_instruction_goes_on) {
    return moved_while(
        4,
        [] {
            constexpr std::size_t kWords = std::size_t{1} << 18;
            std::vector<std::uint64_t> from(kWords), to(kWords);
            std::iota(from.begin(), from.end(), 1);
            while (!over) {
                std::ranges::fill(to, 0);
                const auto *source = from.data();
                auto *target = to.data();
                auto count = kWords * sizeof(std::uint64_t);
                asm volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
                CHECK(from == to);
            }
        },
        NORMA_MIGRATE_LAZY);
}

} // namespace
