// SPDX-License-Identifier: BSD-3-Clause
// What nodes write to NORMA_ACCOUNT, of a program of which is known where its time goes. Only lower bounds and sums: on
// a busy machine everything takes longer.
#include "tests/system/job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>

namespace systest {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Account = std::map<std::string, std::int64_t>;

Account account_in(const std::string &line) {
    static const std::regex member(R"~("(\w+)": (\d+)[,}])~");
    Account account;
    for (std::sregex_iterator next(line.begin(), line.end(), member), end; next != end; ++next) {
        account[(*next)[1]] = std::stoll((*next)[2]);
    }
    return account;
}

class Accounts : public ::testing::Test {
  protected:
    void SetUp() override { std::filesystem::create_directory(folder_); }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    // Of each node, by number.
    std::map<std::int64_t, Account> run(int nodes, const std::vector<std::string> &words) {
        const auto end = run_words({.nodes = nodes, .env = {"NORMA_ACCOUNT=" + file_.string()}}, words);
        EXPECT_EQ(end.status, 0) << end.err;
        EXPECT_EQ(end.err, "");
        EXPECT_THAT(end.left_behind, IsEmpty());
        job_us_ = std::chrono::duration_cast<std::chrono::microseconds>(end.time).count();
        std::map<std::int64_t, Account> accounts;
        std::ifstream in(file_);
        for (std::string line; std::getline(in, line);) {
            EXPECT_EQ(line.back(), '}') << line;
            auto account = account_in(line);
            EXPECT_EQ(account.size(), 10) << line;
            accounts[account.at("node")] = account;
        }
        EXPECT_EQ(accounts.size(), nodes);
        for (auto &[node, account] : accounts) {
            EXPECT_EQ(account["threads_us"], account["compute_us"] + account["fault_us"] + account["wait_us"]);
            EXPECT_GT(account["cpu_us"], 0);
        }
        return accounts;
    }

    const std::filesystem::path folder_ =
        std::filesystem::temp_directory_path() / ("norma-account-" + std::to_string(::getpid()));
    const std::filesystem::path file_ = folder_ / "account";
    std::int64_t job_us_ = 0;
};

TEST_F(Accounts, TellWaitingFromFaultsAndComputing) {
    constexpr std::int64_t kSecond = 1'000'000, kPages = 512;
    auto accounts = run(2, {SYSTEM_APP, "account"});
    auto &waiter = accounts[0], &reader = accounts[1];
    EXPECT_GT(waiter["wait_us"], kSecond / 10); // it has said that it waits before the second began
    EXPECT_GE(reader["compute_us"], kSecond);   // asleep, which is none of norma's business
    EXPECT_GE(reader["faults_read"], kPages);
    EXPECT_GE(reader["pages_in"], kPages);
    EXPECT_GE(waiter["pages_out"], kPages);
    EXPECT_GE(reader["fault_us"], kPages); // to the other node and back in less than 1 us nobody gets
    for (auto &[node, account] : accounts) {
        EXPECT_LE(account["threads_us"], job_us_) << node; // of one thread
    }
}

TEST_F(Accounts, CountThreadsThatHaveEnded) {
    auto accounts = run(2, {SYSTEM_APP, "counters", "10", "10"});
    for (auto &[node, account] : accounts) {
        EXPECT_GT(account["threads_us"], 0) << node;
        EXPECT_GT(account["wait_us"], 0) << node; // for the lock
    }
}

TEST_F(Accounts, ThatCannotBeWrittenAreSaid) {
    const auto file = folder_ / "nowhere" / "account";
    const auto end = run_words({.env = {"NORMA_ACCOUNT=" + file.string()}}, {SYSTEM_APP, "counters", "1", "1"});
    EXPECT_EQ(end.status, 0);
    EXPECT_THAT(end.err, HasSubstr("NORMA_ACCOUNT=" + file.string() + ": No such file or directory"));
}

} // namespace
} // namespace systest
