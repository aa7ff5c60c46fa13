// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/launcher_input.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include "runtime/config.hpp"

namespace norma::rt {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestKey = 256;

bool executable_file(const fs::path &path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

} // namespace

std::vector<std::string> choices(std::string_view name) {
    for (const auto &variable : variables()) {
        if (variable.name == name) {
            return CLI::detail::split(std::string(variable.choices), '|');
        }
    }
    throw std::logic_error(fmt::format("no variable {}", name));
}

std::string find_program(const std::string &name) {
    if (name.find('/') != std::string::npos) {
        std::error_code error;
        if (!fs::exists(name, error)) {
            throw std::invalid_argument(fmt::format("program '{}' does not exist", name));
        }
        if (!executable_file(name)) {
            throw std::invalid_argument(fmt::format("program '{}' is not an executable file", name));
        }
        return fs::absolute(name);
    }
    const char *path = std::getenv("PATH");
    std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
    while (!name.empty()) {
        const auto colon = rest.find(':');
        const auto directory = rest.substr(0, colon);
        const auto candidate = fs::path(directory.empty() ? "." : directory) / name;
        if (executable_file(candidate)) {
            return fs::absolute(candidate);
        }
        if (colon == std::string_view::npos) {
            break;
        }
        rest.remove_prefix(colon + 1);
    }
    throw std::invalid_argument(fmt::format("program '{}' is not in PATH", name));
}

std::string find_node_server() {
    const auto path = fs::read_symlink("/proc/self/exe").parent_path() / "normad";
    if (!executable_file(path)) {
        throw std::runtime_error(
            fmt::format("the node server '{}' does not exist or is not executable", path.string()));
    }
    return path;
}

std::optional<std::string> cannot_run(const std::string &program, const std::string &directory) {
    std::error_code ignored;
    if (!executable_file(program)) {
        return fmt::format("the program '{}' is not there, or is not an executable file", program);
    }
    if (!fs::is_directory(directory, ignored)) {
        return fmt::format("the working directory '{}' is not there", directory);
    }
    return std::nullopt;
}

std::optional<std::string> given_key(const std::string &file) {
    std::string key;
    std::string origin = "NORMA_JOB_KEY";
    if (!file.empty()) {
        origin = fmt::format("the key file '{}'", file);
        std::ifstream stream(file);
        if (!stream) {
            throw std::invalid_argument(fmt::format("{}: {}", origin, std::strerror(errno)));
        }
        std::getline(stream, key);
        key.erase(key.find_last_not_of(" \t\r\n") + 1);
        if (key.empty()) {
            throw std::invalid_argument(fmt::format("{}: its first line is empty", origin));
        }
    } else if (const char *value = std::getenv(origin.c_str()); value != nullptr && *value != '\0') {
        key = value;
    } else {
        return std::nullopt;
    }
    if (key.size() > kLongestKey) {
        throw std::invalid_argument(
            fmt::format("{}: a job key of {} characters; at most {}", origin, key.size(), kLongestKey));
    }
    return key;
}

std::uint64_t random_number() {
    std::uint64_t number = 0;
    while (number == 0) {
        if (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number) && errno != EINTR) {
            throw std::system_error(errno, std::generic_category(), "getrandom");
        }
    }
    return number;
}

} // namespace norma::rt
