// SPDX-License-Identifier: BSD-3-Clause
// `norma info`: prints what runtime/info found, for people or as JSON.
#include "runtime/build_info.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/cli/json.hpp"
#include "runtime/info.hpp"

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <fmt/format.h>
#include <unistd.h>

namespace norma::rt {
namespace {

std::string facts_object(const std::vector<Fact> &facts) {
    json::Members members;
    for (const Fact &fact : facts) {
        members.emplace_back(fact.name, json::text(fact.value));
    }
    return json::object(members);
}

std::string_view word(Requirement::State state) {
    constexpr std::array<std::string_view, 3> kWords = {"ok", "limited", "missing"};
    return kWords.at(std::size_t(state));
}

void print_json(const Findings &findings, const std::vector<Requirement> &requirements) {
    json::Members members;
    const auto sections = describe(findings);
    for (const Section &section : sections) {
        members.emplace_back(section.title, facts_object(section.facts));
    }
    std::vector<std::string> rows;
    for (const Setting &s : settings(environ)) {
        rows.push_back(facts_object({{"name", s.name},
                                     {"value", s.value},
                                     {"default", s.fallback},
                                     {"allowed", s.allowed},
                                     {"meaning", s.meaning}}));
    }
    members.emplace_back("Configuration", json::lines(rows));
    rows.clear();
    for (const Requirement &r : requirements) {
        rows.push_back(facts_object(
            {{"name", r.name}, {"state", std::string(word(r.state))}, {"found", r.found}, {"mend", r.mend}}));
    }
    members.emplace_back("Requirements", json::lines(rows));
    members.emplace_back("mode", json::text(mode_name(findings.host.userfault.mode)));
    members.emplace_back("can_run", json::boolean(can_run(requirements)));
    fmt::print("{}\n", json::object(members));
}

void print_check(const Findings &findings, const std::vector<Requirement> &requirements) {
    for (const Requirement &r : requirements) {
        fmt::print("{:<8} {:<24} {}\n", word(r.state), r.name, r.found);
        if (!r.mend.empty()) {
            fmt::print("{:<8} {:<24} to mend: {}\n", "", "", r.mend);
        }
    }
    const auto mode = findings.host.userfault.mode;
    if (can_run(requirements)) {
        fmt::print("norma can run here, mode: {}: {}\n", mode_name(mode), mode_meaning(mode));
    } else {
        fmt::print("norma cannot run here until what is missing has been mended\n");
    }
}

void print(const Section &section) {
    fmt::print("{}\n", section.title);
    for (const Fact &fact : section.facts) {
        fmt::print("  {:<28} {}\n", fact.name, fact.value);
    }
    fmt::print("\n");
}

// One line for each device and address, for people who look for the right name.
void print_devices(const Findings &findings) {
    const auto rows = [](const char *title, const std::vector<std::string> &items) {
        fmt::print("{}\n", title);
        for (const auto &item : items) {
            fmt::print("  {}\n", item);
        }
        if (items.empty()) {
            fmt::print("  none\n");
        }
    };
    rows("UCX transports", findings.transports);
    rows("RDMA devices", findings.rdma_devices);
    rows("RDMA addresses", findings.rdma.addresses);
    rows("-x verbs would use", {findings.rdma.choice});
}

void print_all(const Findings &findings) {
    for (const Section &section : describe(findings)) {
        print(section);
    }
    fmt::print("Configuration (* set in the environment)\n");
    for (const Setting &s : settings(environ)) {
        fmt::print("{} {}={}\n      {}\n      {}; default {}\n", s.set ? '*' : ' ', s.name, s.value, s.meaning,
                   s.allowed, s.fallback);
    }
    for (const std::string &mistake : findings.config_mistakes) {
        fmt::print("! {}\n", mistake);
    }
}

} // namespace

int info_command(int argc, char **argv) {
    CLI::App app("What was built, what this machine can do, and every configuration variable.", "norma info");
    bool check = false;
    bool json = false;
    bool devices = false;
    app.add_flag("-d,--devices", devices, "Only list the network devices, and which RDMA address -x verbs would use");
    app.add_flag("--check", check,
                 "Only say whether norma can run here, and how to mend what is missing; exit status 1 "
                 "if it cannot");
    app.add_flag("--json", json, "Print everything as one JSON object");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    const Findings findings = find_out(environ);
    const auto requirements = judge(findings);
    if (json) {
        print_json(findings, requirements);
    } else if (devices) {
        print_devices(findings);
    } else if (check) {
        print_check(findings, requirements);
    } else {
        print_all(findings);
    }
    return check && !can_run(requirements) ? 1 : 0;
}

} // namespace norma::rt
