// SPDX-License-Identifier: BSD-3-Clause
#include "tests/system/job.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/c_strings.hpp"

namespace systest {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::string_view kMarker = "SYSTEM_TEST_JOB";
constexpr uid_t kNobody = 65534;
constexpr auto kSettle = 3s; // for the last processes of a job to be gone when its launcher is

[[noreturn]] void throw_errno(const char *what) {
    throw std::system_error(errno, std::generic_category(), what);
}

// As much as there is: a file of /proc cannot be read to its end when the process ends meanwhile.
std::string contents(const fs::path &path) {
    const std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf(); // reading through iterators throws then
    return text.str();
}

std::vector<pid_t> all_processes() {
    std::vector<pid_t> found;
    std::error_code ignored;
    for (const auto &entry : fs::directory_iterator("/proc", ignored)) {
        const auto name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") == std::string::npos) {
            found.push_back(static_cast<pid_t>(std::stol(name)));
        }
    }
    return found;
}

std::string of_process(pid_t pid, const char *what) {
    return contents(fs::path("/proc") / std::to_string(pid) / what);
}

std::string command_line(pid_t pid) {
    auto text = of_process(pid, "cmdline");
    std::replace(text.begin(), text.end(), '\0', ' ');
    return std::to_string(pid) + " " + text;
}

// Shared memory with a name: files in /dev/shm, and System V segments.
std::vector<std::string> named_memory() {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto &entry : fs::directory_iterator("/dev/shm", ignored)) {
        names.push_back(entry.path().string());
    }
    std::istringstream table(contents("/proc/sysvipc/shm"));
    std::string line;
    std::getline(table, line); // the heading
    while (std::getline(table, line)) {
        std::istringstream fields(line);
        std::string key;
        std::string id;
        std::string mode;
        std::string size;
        std::string creator;
        std::string last;
        std::string attached;
        if (fields >> key >> id >> mode >> size >> creator >> last >> attached && attached == "0") {
            names.push_back("segment " + id);
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

// Other jobs may run beside this one; their files are in use.
bool in_use(const std::string &file) {
    const auto pids = all_processes();
    return std::any_of(pids.begin(), pids.end(),
                       [&](pid_t pid) { return of_process(pid, "maps").find(file) != std::string::npos; });
}

// userfaultfd(2), and the request by which /dev/userfaultfd gives one, end with EPERM.
void forbid_userfaultfd() {
    constexpr auto at = [](std::size_t offset) { return static_cast<std::uint32_t>(offset); };
    std::array<sock_filter, 7> program{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at(offsetof(seccomp_data, nr))),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at(offsetof(seccomp_data, args) + sizeof(std::uint64_t))),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, USERFAULTFD_IOC_NEW, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    const sock_fprog filter{.len = program.size(), .filter = program.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        ::_exit(125);
    }
}

// The programs where every user can read them, which the build folder may not be; gone with the test.
class PublicCopy {
  public:
    PublicCopy() {
        std::string pattern = (fs::temp_directory_path() / "norma-system-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw_errno("mkdtemp");
        }
        folder_ = pattern;
        const auto bin = fs::path(NORMA_PROGRAM).parent_path();
        for (const auto &file : {bin / "norma", bin / "normad", fs::path(SYSTEM_APP)}) {
            fs::copy_file(file, folder_ / file.filename());
        }
        for (const auto &file : fs::directory_iterator(bin.parent_path() / "lib")) {
            const auto name = file.path().filename().string();
            if (name.starts_with("libnorma.so") || name == "libnorma_one_sided.so") {
                fs::copy(file.path(), folder_ / name, fs::copy_options::copy_symlinks);
            }
        }
        fs::permissions(folder_, fs::perms(0755));
    }
    ~PublicCopy() {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    PublicCopy(const PublicCopy &) = delete;
    PublicCopy &operator=(const PublicCopy &) = delete;
    std::string program(const std::string &original) const {
        return (folder_ / fs::path(original).filename()).string();
    }
    std::string library_path() const { return "LD_LIBRARY_PATH=" + folder_.string(); }

  private:
    fs::path folder_;
};

const PublicCopy &public_copy() {
    static const PublicCopy copy;
    return copy;
}

void become_user() {
    if (::geteuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) {
        ::_exit(125);
    }
    if (::chdir("/") != 0) { // where this is may be out of reach now
        ::_exit(125);
    }
}

std::vector<std::string> environment(const JobSetup &setup, const std::string &marker) {
    std::vector<std::string> variables;
    for (char **variable = environ; *variable != nullptr; ++variable) {
        if (!std::string_view(*variable).starts_with("NORMA_")) {
            variables.emplace_back(*variable);
        }
    }
    variables.push_back(marker);
    variables.insert(variables.end(), setup.env.begin(), setup.env.end());
    return variables;
}

} // namespace

Job::Job(const JobSetup &setup, std::vector<std::string> words)
    : setup_(setup), memory_before_(named_memory()), begin_(Clock::now()), deadline_(begin_ + setup.limit) {
    static int number = 0;
    marker_ = std::string(kMarker) + "=" + std::to_string(::getpid()) + "." + std::to_string(++number);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1); // what loses its parent comes here, and is found
    std::vector<std::string> argv{NORMA_PROGRAM, "run", "-N", std::to_string(setup.nodes)};
    if (!setup.transport.empty()) {
        argv.insert(argv.end(), {"-x", setup.transport});
    }
    argv.insert(argv.end(), words.begin(), words.end());
    auto variables = environment(setup, marker_);
    if (setup.as_user) {
        for (auto &word : argv) {
            word = word == NORMA_PROGRAM || word == SYSTEM_APP ? public_copy().program(word) : word;
        }
        variables.push_back(public_copy().library_path());
    }
    const auto argv_list = norma::rt::c_strings(argv);
    const auto env_list = norma::rt::c_strings(variables);
    int out[2];
    int err[2];
    if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) {
        throw_errno("pipe2");
    }
    pid_ = ::fork();
    if (pid_ < 0) {
        throw_errno("fork");
    }
    if (pid_ == 0) {
        const int null = ::open("/dev/null", O_RDONLY);
        ::dup2(null, STDIN_FILENO);
        ::dup2(out[1], STDOUT_FILENO);
        ::dup2(err[1], STDERR_FILENO);
        if (setup.as_user) {
            become_user();
        }
        if (setup.no_userfaultfd) {
            forbid_userfaultfd();
        }
        ::execve(argv_list[0], argv_list.data(), env_list.data());
        ::_exit(125);
    }
    ::close(out[1]);
    ::close(err[1]);
    out_ = out[0];
    err_ = err[0];
}

Job::~Job() {
    kill_everything();
    if (!reaped_) {
        ::waitpid(pid_, nullptr, 0);
    }
    for (const int fd : {out_, err_}) {
        if (fd >= 0) {
            ::close(fd);
        }
    }
}

// Both pipes until there is something, or until then; false: nothing more will come, or the time is over.
bool Job::read_some(Clock::time_point until) {
    std::array<pollfd, 2> fds{{{out_, POLLIN, 0}, {err_, POLLIN, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if ((out_ < 0 && err_ < 0) || left <= 0ms || ::poll(fds.data(), fds.size(), static_cast<int>(left.count())) <= 0) {
        return false;
    }
    for (auto *stream : {&out_, &err_}) {
        std::array<char, 65536> buffer;
        const auto &ready = fds.at(stream == &out_ ? 0 : 1);
        if (*stream < 0 || ready.revents == 0) {
            continue;
        }
        const auto size = ::read(*stream, buffer.data(), buffer.size());
        if (size > 0) {
            (stream == &out_ ? end_.out : end_.err).append(buffer.data(), static_cast<std::size_t>(size));
        } else {
            ::close(*stream);
            *stream = -1;
        }
    }
    return true;
}

bool Job::wait_for_output(const std::string &text) {
    while (end_.out.find(text) == std::string::npos) {
        if (out_ < 0 || !read_some(deadline_)) {
            return false;
        }
    }
    return true;
}

JobEnd Job::finish() {
    int status = 0;
    while (!reaped_) {
        read_some(std::min(deadline_, Clock::now() + 10ms));
        if (::waitpid(pid_, &status, WNOHANG) == pid_) {
            reaped_ = true;
            end_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        } else if (Clock::now() >= deadline_) {
            end_.timed_out = true;
            end_.left_behind = processes();
            kill_everything();
            ::waitpid(pid_, &status, 0);
            reaped_ = true;
        } else if (out_ < 0 && err_ < 0) {
            ::usleep(1000);
        }
    }
    end_.time = Clock::now() - begin_;
    const auto settled = Clock::now() + kSettle;
    while (read_some(settled)) {
    }
    auto left = remains();
    while (!left.empty() && Clock::now() < settled) {
        ::usleep(20'000);
        left = remains();
    }
    end_.left_behind.insert(end_.left_behind.end(), left.begin(), left.end());
    kill_everything();
    return end_;
}

std::vector<pid_t> Job::members() const {
    auto pids = all_processes();
    std::erase_if(pids, [this](pid_t pid) {
        const auto variables = '\0' + of_process(pid, "environ");
        return pid == ::getpid() || variables.find('\0' + marker_ + '\0') == std::string::npos;
    });
    return pids;
}

std::vector<std::string> Job::processes() const {
    std::vector<std::string> lines;
    for (const auto pid : members()) {
        lines.push_back(command_line(pid));
    }
    return lines;
}

pid_t Job::node_server(int node) const {
    const auto words = " --node " + std::to_string(node) + " ";
    const auto pids = members();
    const auto found =
        std::ranges::find_if(pids, [&](pid_t pid) { return command_line(pid).find(words) != std::string::npos; });
    return found == pids.end() ? -1 : *found;
}

// Orphans of the job that have ended are this process's children now, and are no remains.
std::vector<std::string> Job::remains() const {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    auto left = processes();
    for (const auto &name : named_memory()) {
        if (!std::binary_search(memory_before_.begin(), memory_before_.end(), name) && !in_use(name)) {
            left.push_back(name);
        }
    }
    return left;
}

void Job::kill_everything() const {
    for (const auto pid : members()) {
        ::kill(pid, SIGKILL);
    }
}

JobEnd run_words(const JobSetup &setup, std::vector<std::string> words) {
    return Job(setup, std::move(words)).finish();
}

JobEnd run_case(const JobSetup &setup, std::vector<std::string> words) {
    words.insert(words.begin(), SYSTEM_APP);
    return run_words(setup, std::move(words));
}

} // namespace systest
