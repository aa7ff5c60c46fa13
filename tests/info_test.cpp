// SPDX-License-Identifier: BSD-3-Clause
// What `norma info --check` makes of machines of all kinds, and that the one we are on can be looked at.
#include "runtime/info.hpp"

#include <algorithm>
#include <cerrno>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace norma::rt;
using norma::dsm::FaultMode;
using testing::HasSubstr;
using State = Requirement::State;

constexpr std::uint64_t kGiB = 1u << 30;

// A machine on which nothing is missing.
Findings good_machine() {
    const char *const nothing = nullptr;
    Findings findings;
    findings.config = load_config(&nothing);
    findings.transports = {"posix/memory", "self/memory0", "tcp/lo"};
    HostReport &host = findings.host;
    host.kernel = "6.1.0";
    host.kernel_major = 6;
    host.kernel_minor = 1;
    host.userfault.mode = FaultMode::full;
    host.fixed_addresses = host.memfd = host.pidfd = true;
    host.shm_free = kGiB;
    host.max_map_count = 65530;
    host.overcommit = 0;
    host.lock_limit = 8 << 20;
    host.file_limit = 1024;
    host.space_limit = ~std::uint64_t{0};
    return findings;
}

Requirement find(const Findings &findings, std::string_view name) {
    const auto all = judge(findings);
    const auto found = std::ranges::find(all, name, &Requirement::name);
    EXPECT_NE(found, all.end()) << name;
    return found == all.end() ? Requirement{} : *found;
}

void expect(const Findings &findings, std::string_view name, State state, const char *found, const char *mend) {
    const Requirement requirement = find(findings, name);
    EXPECT_EQ(requirement.state, state) << name;
    EXPECT_THAT(requirement.found, HasSubstr(found));
    EXPECT_THAT(requirement.mend, HasSubstr(mend));
    EXPECT_EQ(can_run(judge(findings)), state != State::missing);
}

TEST(Requirements, NothingIsMissingOnAGoodMachine) {
    const auto all = judge(good_machine());
    for (const Requirement &requirement : all) {
        EXPECT_EQ(requirement.state, State::ok) << requirement.name << ": " << requirement.found;
        EXPECT_EQ(requirement.mend, "") << requirement.name;
    }
    EXPECT_TRUE(can_run(all));
}

TEST(Requirements, AnOldKernelIsRefused) {
    Findings findings = good_machine();
    findings.host.kernel = "5.10.0-30-amd64";
    findings.host.kernel_major = 5;
    findings.host.kernel_minor = 10;
    expect(findings, "kernel", State::missing, "5.10.0-30-amd64", "5.19");
}

TEST(Requirements, UserModeIsEnoughToRun) {
    Findings findings = good_machine();
    findings.host.userfault.mode = FaultMode::user_only;
    expect(findings, "userfaultfd", State::limited, "user-mode only", "vm.unprivileged_userfaultfd=1");
    findings.config.uffd = UffdMode::user;
    expect(findings, "userfaultfd", State::limited, "NORMA_UFFD=user", "unset NORMA_UFFD");
}

TEST(Requirements, WithoutUserfaultfdNothingRuns) {
    Findings findings = good_machine();
    findings.host.userfault.mode = FaultMode::none;
    findings.host.userfault.error = EPERM;
    expect(findings, "userfaultfd", State::missing, "Operation not permitted", "seccomp");
    findings.host.userfault.missing_features = {"WP_HUGETLBFS_SHMEM"};
    expect(findings, "userfaultfd", State::missing, "WP_HUGETLBFS_SHMEM", "5.19");
}

TEST(Requirements, AContainerThatForbidsPersonalityIsNamed) {
    Findings findings = good_machine();
    findings.host.fixed_addresses = false;
    expect(findings, "fixed addresses", State::missing, "cannot be switched off", "personality");
}

TEST(Requirements, MissingSystemCallsAreNamed) {
    Findings findings = good_machine();
    findings.host.pidfd = false;
    expect(findings, "memfd, pidfd", State::missing, "no pidfd_open", "container");
    findings.host.memfd = false;
    expect(findings, "memfd, pidfd", State::missing, "memfd_create, pidfd_open", "container");
}

TEST(Requirements, AWindowThatDoesNotFitNamesTheLimit) {
    Findings findings = good_machine();
    findings.host.window_error = EEXIST;
    expect(findings, "address window", State::missing, "16T at 0x200000000000: File exists", "NORMA_WINDOW_BASE");
    findings.host.window_error = ENOMEM;
    findings.host.overcommit = 2;
    expect(findings, "address window", State::missing, "Cannot allocate memory", "vm.overcommit_memory=0");
    findings.host.space_limit = kGiB;
    expect(findings, "address window", State::missing, "Cannot allocate memory", "ulimit -v unlimited");
}

TEST(Requirements, TightLimitsAreNamedButDoNotStopIt) {
    Findings findings = good_machine();
    findings.host.max_map_count = 1000;
    expect(findings, "mappings", State::limited, "1000", "vm.max_map_count=65530");
    findings.host.file_limit = 64;
    expect(findings, "open files", State::limited, "64", "ulimit -n 1024");
}

TEST(Requirements, LockedMemoryMattersWithAnAdapterOnly) {
    Findings findings = good_machine();
    EXPECT_EQ(find(findings, "locked memory").state, State::ok);
    findings.rdma_devices = {"rxe0"};
    expect(findings, "locked memory", State::limited, "8M", "ulimit -l unlimited");
    findings.host.lock_limit = ~std::uint64_t{0};
    expect(findings, "locked memory", State::ok, "unlimited", "");
}

TEST(Requirements, AnRdmaDeviceIsMissedWhenItIsAskedFor) {
    Findings findings = good_machine();
    findings.rdma.choice = "transport 'verbs': there is: nothing";
    expect(findings, "RDMA (verbs)", State::ok, "no device", "");
    findings.config.transport = "verbs";
    expect(findings, "RDMA (verbs)", State::missing, "nothing", "IP address");
    findings.rdma = {.addresses = {}, .choice = "rxe0 port 1", .usable = true};
    expect(findings, "RDMA (verbs)", State::ok, "rxe0", "");
}

TEST(Requirements, AMissingTransportIsNamed) {
    Findings findings = good_machine();
    findings.transports = {"posix/memory"};
    expect(findings, "UCX over TCP", State::missing, "no network device", "ip link set lo up");
    findings.config.transport = "shm";
    expect(findings, "UCX over TCP", State::limited, "no network device", "ip link set lo up");
    findings = good_machine();
    findings.host.shm_free = 1 << 20;
    expect(findings, "UCX over shared memory", State::limited, "1M free", "--shm-size");
    findings.transports = {"tcp/lo"};
    expect(findings, "UCX over shared memory", State::limited, "no", "/dev/shm");
}

TEST(Requirements, AWrongVariableIsMissing) {
    Findings findings = good_machine();
    findings.config_mistakes = {"NORMA_WAIT=x: it must be one of: adaptive spin block"};
    expect(findings, "configuration", State::missing, "NORMA_WAIT=x", "unset");
}

TEST(Info, ThisMachineCanBeLookedAt) {
    const char *const environment[] = {"NORMA_SPIN=1ms", nullptr};
    const Findings findings = find_out(environment);
    EXPECT_EQ(findings.config.spin, std::chrono::milliseconds(1));
    EXPECT_NE(findings.host.kernel_major, 0u);
    EXPECT_GT(findings.host.memory, 0u);
    for (const Section &section : describe(findings)) {
        EXPECT_FALSE(section.facts.empty()) << section.title;
        for (const Fact &fact : section.facts) {
            EXPECT_NE(fact.value, "") << section.title << ": " << fact.name;
        }
    }
}

TEST(Info, SettingsShowValueAndDefault) {
    const char *const environment[] = {"NORMA_SPIN=1ms", nullptr};
    bool seen = false;
    for (const Setting &setting : settings(environment)) {
        EXPECT_NE(setting.name, "NORMA_TASK_FD") << "it is not for users";
        if (setting.name == "NORMA_SPIN") {
            seen = true;
            EXPECT_TRUE(setting.set);
            EXPECT_EQ(setting.value, "1ms");
            EXPECT_EQ(setting.fallback, "50us");
        } else {
            EXPECT_FALSE(setting.set);
            EXPECT_EQ(setting.value, setting.fallback);
        }
    }
    EXPECT_TRUE(seen);
}

} // namespace
