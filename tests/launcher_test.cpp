// SPDX-License-Identifier: BSD-3-Clause
// The launcher with fake node servers: what it prints, its exit status, and that nothing is left behind.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

// The marker is in the environment of everything a test starts.
std::string marker() {
    return "LAUNCHER_TEST_ID=" + std::to_string(::getpid());
}

Words leftovers() {
    Words found;
    for (const auto &entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream environment(entry.path() / "environ", std::ios::binary);
        std::stringstream text;
        text << environment.rdbuf();
        if (text.str().find(marker()) != std::string::npos) {
            found.push_back(entry.path().filename());
        }
    }
    return found;
}

bool nothing_left(std::chrono::milliseconds limit) {
    const auto deadline = Clock::now() + limit;
    while (!leftovers().empty()) {
        if (Clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

class Launcher {
  public:
    explicit Launcher(const Words &arguments, const std::string &what_goes_wrong = "", bool terminal = false) {
        start_ = Clock::now();
        int pipe_ends[2] = {-1, -1};
        if (terminal) {
            pid_ = ::forkpty(&output_, nullptr, nullptr, nullptr);
        } else {
            EXPECT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
            pid_ = ::fork();
        }
        if (pid_ == 0) {
            if (!terminal) {
                ::dup2(pipe_ends[1], 1);
                ::dup2(pipe_ends[1], 2);
            }
            execute(arguments, what_goes_wrong);
        }
        if (!terminal) {
            ::close(pipe_ends[1]);
            output_ = pipe_ends[0];
        }
    }
    ~Launcher() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
        ::close(output_);
    }
    Launcher(const Launcher &) = delete;
    Launcher &operator=(const Launcher &) = delete;

    // Reads until the output contains `text`.
    bool says(const std::string &text) {
        while (said_.find(text) == std::string::npos) {
            if (!read_some()) {
                return false;
            }
        }
        return true;
    }
    void signal(int number) const { ::kill(pid_, number); }
    void type(char key) const { EXPECT_EQ(::write(output_, &key, 1), 1); }
    // Its status as wait(2) has it; everything it said is in said() then.
    int wait() {
        while (read_some()) {
        }
        int status = -1;
        EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
        pid_ = -1;
        return status;
    }
    int exit_status() {
        const int status = wait();
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    const std::string &said() const { return said_; }
    unsigned times_heard(const std::string &text) const {
        unsigned times = 0;
        for (auto at = said_.find(text); at != std::string::npos; at = said_.find(text, at + 1)) {
            ++times;
        }
        return times;
    }
    bool heard(const std::string &text) const { return said_.find(text) != std::string::npos; }
    std::chrono::milliseconds age() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_);
    }

  private:
    [[noreturn]] static void execute(const Words &arguments, const std::string &what_goes_wrong) {
        ::setenv("LAUNCHER_TEST", what_goes_wrong.c_str(), 1);
        const auto mark = marker();
        ::putenv(const_cast<char *>(mark.c_str()));
        std::vector<char *> raw{const_cast<char *>(LAUNCHER_DRIVER)};
        for (const auto &argument : arguments) {
            raw.push_back(const_cast<char *>(argument.c_str()));
        }
        raw.push_back(nullptr);
        ::execv(LAUNCHER_DRIVER, raw.data());
        ::_exit(99);
    }

    bool read_some() {
        pollfd ready{output_, POLLIN, 0};
        if (::poll(&ready, 1, 15'000) <= 0) {
            ADD_FAILURE() << "silent for 15 s after: " << said_;
            ::kill(pid_, SIGKILL);
            return false;
        }
        char bytes[4096];
        const auto size = ::read(output_, bytes, sizeof bytes);
        if (size <= 0) {
            return false;
        }
        said_.append(bytes, static_cast<std::size_t>(size));
        return true;
    }

    pid_t pid_ = -1;
    int output_ = -1;
    std::string said_;
    Clock::time_point start_;
};

Words job(unsigned nodes, const Words &program) {
    Words words{FAKE_NODE, std::to_string(nodes)};
    words.insert(words.end(), program.begin(), program.end());
    return words;
}

Words shell(const std::string &script) {
    return {"/bin/sh", "-c", script};
}

const Words kSleeper = shell("echo task began; exec sleep 100");

class LauncherTest : public ::testing::Test {
  protected:
    void TearDown() override { EXPECT_TRUE(nothing_left(1s)) << "processes are left behind"; }
};

TEST_F(LauncherTest, ForwardsOutputArgumentsAndExitStatus) {
    Launcher launcher(job(3, {"/bin/sh", "-c", "echo \"[$1] [$2] $(pwd)\"; exit 7", "sh", "a b", "-N"}));
    EXPECT_EQ(launcher.exit_status(), 7);
    EXPECT_TRUE(launcher.heard("[a b] [-N] " + std::filesystem::current_path().string())) << launcher.said();
    EXPECT_LT(launcher.age(), 2s);
}

TEST_F(LauncherTest, SuccessIsSilent) {
    Launcher launcher(job(1, {"/bin/true"}));
    EXPECT_EQ(launcher.exit_status(), 0);
    EXPECT_EQ(launcher.said(), "");
}

TEST_F(LauncherTest, OnlyTheFirstNodeReadsTheInput) {
    Launcher launcher(job(2, shell("for p in $(pgrep -P $(ps -o ppid= -p $PPID)); do readlink /proc/$p/fd/0; done")));
    EXPECT_EQ(launcher.exit_status(), 0);
    EXPECT_TRUE(launcher.heard("/dev/null")) << launcher.said();
}

TEST_F(LauncherTest, ReportsTheSignalThatKilledTheTask) {
    Launcher launcher(job(2, shell("kill -SEGV $$")));
    EXPECT_EQ(launcher.exit_status(), 128 + SIGSEGV);
    EXPECT_TRUE(launcher.heard("norma: task killed by signal 11 (Segmentation fault)\n")) << launcher.said();
}

TEST_F(LauncherTest, NodeServerThatDiesBeforeItIsReady) {
    Launcher launcher(job(3, kSleeper), "1:die-before-ready");
    EXPECT_EQ(launcher.exit_status(), 1);
    EXPECT_TRUE(launcher.heard("norma: node 1 is gone (killed by signal 11)\n")) << launcher.said();
    EXPECT_FALSE(launcher.heard("task began"));
}

TEST_F(LauncherTest, OtherNodesGoOnWithoutOneThatDied) {
    Launcher launcher(job(3, shell("sleep 1; exit 5")), "2:die-running");
    EXPECT_EQ(launcher.exit_status(), 5);
    EXPECT_TRUE(launcher.heard("norma: node 2 is gone (killed by signal 9)\n")) << launcher.said();
    for (const auto *told : {"fake node 0: told that 2 is down: killed by signal 9",
                             "fake node 1: told that 2 is down: killed by signal 9"}) {
        EXPECT_TRUE(launcher.heard(told)) << launcher.said();
    }
}

TEST_F(LauncherTest, OfTwoNodesThatLostEachOtherOneIsEndedBeforeTheOthersAreTold) {
    Launcher launcher(job(3, shell("sleep 1; exit 5")), "1:suspect-2,2:suspect-1");
    EXPECT_EQ(launcher.exit_status(), 5);
    for (const auto *said : {"norma: nodes 1 and 2 have lost each other (a fake wire): node ", " is ended\n",
                             " is gone (killed by signal 9)\n", "fake node 0: told that "}) {
        EXPECT_EQ(launcher.times_heard(said), 1U) << said << ":\n" << launcher.said();
    }
}

TEST_F(LauncherTest, TheFirstTasksNodeStaysWhenAnotherHasLostIt) {
    Launcher launcher(job(3, shell("sleep 1; exit 5")), "1:suspect-0");
    EXPECT_EQ(launcher.exit_status(), 5);
    EXPECT_TRUE(launcher.heard("norma: nodes 0 and 1 have lost each other (a fake wire): node 1 is ended\n"))
        << launcher.said();
    EXPECT_TRUE(launcher.heard("fake node 0: told that 1 is down: killed by signal 9")) << launcher.said();
}

TEST_F(LauncherTest, ASuspicionOfNobodyIsAnUnexpectedMessage) {
    Launcher launcher(job(2, kSleeper), "1:suspect-1");
    EXPECT_EQ(launcher.exit_status(), 1);
    EXPECT_TRUE(launcher.heard("norma: node 1 sent an unexpected message (type 6, ")) << launcher.said();
}

// It ends between the look at it and the reading of SIGCHLD.
TEST_F(LauncherTest, NoDeathGoesUnnoticed) {
    ::setenv("LAUNCHER_SLOW_WAIT", "1", 1);
    Launcher launcher(job(2, kSleeper), "0:hang-up,1:end-when-peer-dies");
    ::unsetenv("LAUNCHER_SLOW_WAIT");
    EXPECT_EQ(launcher.exit_status(), 3);
    EXPECT_TRUE(launcher.heard("norma: node 0 is gone (killed by signal 9)\n")) << launcher.said();
}

TEST_F(LauncherTest, EndsWhenTheFirstTaskIsLost) {
    Launcher launcher(job(3, kSleeper), "0:die-running");
    EXPECT_EQ(launcher.exit_status(), 1);
    EXPECT_TRUE(launcher.heard("norma: node 0 is gone")) << launcher.said();
    EXPECT_LT(launcher.age(), 4s);
}

TEST_F(LauncherTest, AnotherNodeMayReportTheEndOfTheFirstTask) {
    Launcher launcher(job(2, kSleeper), "0:die-running,1:end-when-peer-dies");
    EXPECT_EQ(launcher.exit_status(), 3);
    EXPECT_TRUE(launcher.heard("norma: the fake first task is lost\n")) << launcher.said();
    EXPECT_LT(launcher.age(), 2s);
}

TEST_F(LauncherTest, TheFirstTaskMayHaveLeftTheNodeThatDies) {
    Launcher launcher(job(2, kSleeper), "0:die-running,1:take-over");
    EXPECT_EQ(launcher.exit_status(), 4) << launcher.said();
}

TEST_F(LauncherTest, ANodeThatTheFirstTaskHasLeftDoesNotReportItsEnd) {
    Launcher launcher(job(3, kSleeper), "0:believe-it-lost,1:take-over,2:die-running");
    EXPECT_EQ(launcher.exit_status(), 4) << launcher.said();
    EXPECT_FALSE(launcher.heard("lost")) << launcher.said();
}

TEST_F(LauncherTest, NodeServerThatDoesNotAnswerIsEnded) {
    ::setenv("NORMA_LEASE", "2s", 1);
    Launcher launcher(job(2, kSleeper), "0:end-when-peer-dies,1:not-answer");
    ::unsetenv("NORMA_LEASE");
    EXPECT_EQ(launcher.exit_status(), 3);
    EXPECT_TRUE(launcher.heard("norma: node 1 has not answered for NORMA_LEASE (2 s): it is ended\n"))
        << launcher.said();
    EXPECT_TRUE(launcher.heard("norma: node 1 is gone (killed by signal 9)\n")) << launcher.said();
    EXPECT_TRUE(launcher.heard("fake node 0: told that 1 is down")) << launcher.said();
    EXPECT_FALSE(launcher.heard("node 0 has not answered")) << launcher.said();
}

TEST_F(LauncherTest, FatalErrorOfANodeServer) {
    Launcher launcher(job(2, kSleeper), "1:fatal");
    EXPECT_EQ(launcher.exit_status(), 1);
    EXPECT_TRUE(launcher.heard("norma: node 1: no userfaultfd for a fake\n")) << launcher.said();
    EXPECT_FALSE(launcher.heard("gone")) << launcher.said();
}

TEST_F(LauncherTest, GarbageFromANodeServer) {
    Launcher launcher(job(2, kSleeper), "1:garbage");
    EXPECT_EQ(launcher.exit_status(), 1);
    EXPECT_TRUE(launcher.heard("node 1 sent an unexpected message")) << launcher.said();
}

TEST_F(LauncherTest, NodeServerThatIsNotThere) {
    Launcher launcher({"/nonexistent/normad", "2", "/bin/true"});
    EXPECT_EQ(launcher.exit_status(), 1);
    EXPECT_TRUE(launcher.heard("/nonexistent/normad")) << launcher.said();
}

TEST_F(LauncherTest, NodeServerThatDoesNotShutDownIsKilled) {
    Launcher launcher(job(2, {"/bin/true"}), "1:ignore-shutdown");
    EXPECT_EQ(launcher.exit_status(), 0);
    EXPECT_TRUE(launcher.heard("norma: node 1 did not end within 3 s: killed\n")) << launcher.said();
}

TEST_F(LauncherTest, SignalsEndTheJob) {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        Launcher launcher(job(2, kSleeper));
        ASSERT_TRUE(launcher.says("task began"));
        launcher.signal(number);
        EXPECT_EQ(launcher.exit_status(), 128 + number) << launcher.said();
    }
}

TEST_F(LauncherTest, SignalBeforeTheJobRuns) {
    Launcher launcher(job(2, kSleeper), "1:never-connect");
    std::this_thread::sleep_for(200ms);
    launcher.signal(SIGTERM);
    EXPECT_EQ(launcher.exit_status(), 128 + SIGTERM) << launcher.said();
}

TEST_F(LauncherTest, SecondSignalKillsAtOnce) {
    Launcher launcher(job(2, kSleeper), "0:ignore-shutdown,1:ignore-shutdown");
    ASSERT_TRUE(launcher.says("task began"));
    launcher.signal(SIGINT);
    std::this_thread::sleep_for(200ms);
    launcher.signal(SIGINT);
    EXPECT_EQ(launcher.exit_status(), 128 + SIGINT) << launcher.said();
    EXPECT_LT(launcher.age(), 2s);
}

TEST_F(LauncherTest, CtrlCReachesTheLauncherOnly) {
    const auto script = "trap 'echo task-got-it' INT; echo task began; while :; do sleep 0.05; done";
    Launcher launcher(job(2, shell(script)), "0:ignore-shutdown", true);
    ASSERT_TRUE(launcher.says("task began"));
    launcher.type('\x03');
    EXPECT_EQ(launcher.exit_status(), 128 + SIGINT) << launcher.said();
    EXPECT_FALSE(launcher.heard("task-got-it")) << launcher.said();
}

TEST_F(LauncherTest, KilledLauncherLeavesNothing) {
    Launcher launcher(job(3, kSleeper));
    ASSERT_TRUE(launcher.says("task began"));
    launcher.signal(SIGKILL);
    EXPECT_EQ(launcher.exit_status(), -SIGKILL);
}

TEST_F(LauncherTest, ProcessesOfADeadNodeServerAreKilled) {
    Launcher launcher(job(2, shell("sleep 100 & echo task began; wait")), "0:die-running");
    EXPECT_EQ(launcher.exit_status(), 1) << launcher.said();
}

TEST_F(LauncherTest, EnvironmentThatDoesNotFit) {
    Words words = job(1, {"/bin/true"});
    for (int part = 0; part < 12; ++part) {
        words.push_back(std::string(120'000, 'x'));
    }
    Launcher launcher(words);
    EXPECT_EQ(launcher.exit_status(), 1);
    EXPECT_TRUE(launcher.heard("are too long")) << launcher.said();
}

struct WrongInput {
    Words arguments;
    std::string message;
};

TEST_F(LauncherTest, WrongConfigurationIsNamed) {
    ::setenv("NORMA_TRANSPROT", "tcp", 1);
    ::setenv("NORMA_WAIT", "dozing", 1);
    Launcher launcher({"run", "/bin/true"});
    ::unsetenv("NORMA_TRANSPROT");
    ::unsetenv("NORMA_WAIT");
    EXPECT_EQ(launcher.exit_status(), 2) << launcher.said();
    EXPECT_TRUE(launcher.heard("NORMA_TRANSPROT")) << launcher.said();
    EXPECT_TRUE(launcher.heard("dozing")) << launcher.said();
}

TEST_F(LauncherTest, WrongInputIsNamed) {
    const std::vector<WrongInput> cases{
        {{"run", "-N", "0", "/bin/true"}, "0"},
        {{"run", "-N", "257", "/bin/true"}, "257"},
        {{"run", "-N", "two", "/bin/true"}, "two"},
        {{"run", "-N", "-1", "/bin/true"}, "-1"},
        {{"run", "-N", "2"}, "no program"},
        {{"run", "-N", "2", "--"}, "no program"},
        {{"run", "-x", "pigeon", "/bin/true"}, "pigeon"},
        {{"run", "--wait", "dozing", "/bin/true"}, "dozing"},
        {{"run", "--frobnicate", "/bin/true"}, "--frobnicate"},
        {{"run", "./no-such-program"}, "program './no-such-program' does not exist"},
        {{"run", "no-such-program"}, "program 'no-such-program' is not in PATH"},
        {{"run", ""}, "program '' is not in PATH"},
        {{"run", "/etc/passwd"}, "program '/etc/passwd' is not an executable file"},
        {{"run", "/tmp"}, "program '/tmp' is not an executable file"},
    };
    for (const auto &[arguments, message] : cases) {
        Launcher launcher(arguments);
        EXPECT_EQ(launcher.exit_status(), 2) << launcher.said();
        EXPECT_TRUE(launcher.heard(message)) << launcher.said();
        EXPECT_TRUE(launcher.said().starts_with("norma run: ")) << launcher.said();
    }
}

} // namespace
