// SPDX-License-Identifier: BSD-3-Clause
// The file of a checkpoint, what its pieces say, and the launcher's part in making one.
#include "runtime/checkpoint_file.hpp"
#include "runtime/launcher_checkpoint.hpp"
#include "runtime/launcher_restore.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace norma::rt {
namespace {

using checkpoint::FileError;
using checkpoint::Kind;
using checkpoint::Piece;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Folder {
  public:
    Folder() {
        std::string name = std::filesystem::temp_directory_path() / "checkpoint-XXXXXX";
        path_ = ::mkdtemp(name.data());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;
    std::string file(const char *name = "file") const { return path_ / name; }
    std::size_t files() const {
        return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
    }

  private:
    std::filesystem::path path_;
};

std::vector<std::byte> some_bytes(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::byte>(i * 7 + size);
    }
    return bytes;
}

const std::vector<Piece> kPieces{{.kind = Kind::task, .node = 1, .bytes = some_bytes(100)},
                                 {.kind = Kind::pages, .node = 0, .bytes = some_bytes(checkpoint::kMostPieceBytes)},
                                 {.kind = Kind::sync, .node = 255, .bytes = {}}};

void write(const std::string &path, std::span<const Piece> pieces) {
    checkpoint::Writer writer(path);
    for (const auto &piece : pieces) {
        writer.add(piece);
    }
    writer.finish();
}

std::vector<Piece> read(const std::string &path) {
    checkpoint::Reader reader(path);
    std::vector<Piece> pieces;
    while (auto piece = reader.next()) {
        pieces.push_back(std::move(*piece));
    }
    return pieces;
}

std::string content_of(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(CheckpointFile, WhatIsWrittenIsRead) {
    const Folder folder;
    write(folder.file(), kPieces);
    EXPECT_EQ(read(folder.file()), kPieces);
    EXPECT_EQ(folder.files(), 1U);
}

TEST(CheckpointFile, CanBeReadAgain) {
    const Folder folder;
    write(folder.file(), kPieces);
    checkpoint::Reader reader(folder.file());
    EXPECT_EQ(reader.next(), kPieces[0]);
    reader.rewind();
    EXPECT_EQ(reader.next(), kPieces[0]);
}

TEST(CheckpointFile, IsThereOnlyOnceItIsComplete) {
    const Folder folder;
    write(folder.file(), kPieces);
    const auto before = content_of(folder.file());
    {
        checkpoint::Writer writer(folder.file());
        writer.add(kPieces[1]);
    }
    EXPECT_EQ(content_of(folder.file()), before);
    EXPECT_EQ(folder.files(), 1U);
}

TEST(CheckpointFile, EveryDamageIsFound) {
    const Folder folder;
    const std::vector<Piece> pieces{{.kind = Kind::ended, .node = 0, .bytes = some_bytes(37)},
                                    {.kind = Kind::sync, .node = 2, .bytes = some_bytes(8)}};
    write(folder.file(), pieces);
    const auto good = content_of(folder.file());
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (const char bit : {1, 16, -128}) {
            auto bad = good;
            bad[at] = static_cast<char>(bad[at] ^ bit);
            std::ofstream(folder.file("bad"), std::ios::binary) << bad;
            EXPECT_THROW(read(folder.file("bad")), FileError) << at;
        }
        std::ofstream(folder.file("bad"), std::ios::binary) << good.substr(0, at);
        EXPECT_THROW(read(folder.file("bad")), FileError) << at;
    }
}

checkpoint::SavedTask some_task() {
    return {.id = 5,
            .image = some_bytes(9),
            .next_thread = 3,
            .registers = 7,
            .child_node = 1,
            .threads = {{.number = 2, .state = 4096, .identity = 9, .stack = 1, .stack_bytes = 2, .key = {3, 4}}},
            .names = {{.name = 16, .sends = 2, .right = {.kind = Right::Kind::task, .task = 5, .thread = 0}}},
            .process = some_bytes(50)};
}

SavedSync saved(SyncId id, SyncKind kind, std::uint32_t value = 0) {
    SavedSync object;
    object.id = id;
    object.kind = kind;
    object.value = value;
    return object;
}

std::vector<SavedSync> some_sync() {
    auto barrier = saved(make_sync_id(1, 1, 4), SyncKind::barrier, 3);
    barrier.users = {{5, 1}, {6, 0}};
    auto mutex = saved(make_sync_id(2, 1, 9), SyncKind::mutex);
    mutex.tainted = true;
    mutex.holder = Waiter{.node = 1, .task = 5, .thread = 9, .call = 0};
    return {barrier, mutex};
}
const std::vector<SavedSync> kSync = some_sync();

TEST(CheckpointPieces, MeanTheSameWhenTheyAreDecoded) {
    const checkpoint::Job job{
        .nodes = 2, .window_base = 1 << 30, .window_size = 1 << 30, .heap_parts = 2, .program = "/bin/x"};
    EXPECT_EQ(checkpoint::decode_job(checkpoint::encode(job)), job);
    const std::vector<checkpoint::SavedStretch> stretches{
        {.stretch = {.object = {1, 1, 7}, .number = 3}, .pages = 12, .name = "name"}};
    EXPECT_EQ(checkpoint::decode_stretches(checkpoint::encode(std::span(stretches))), stretches);
    EXPECT_EQ(checkpoint::decode_task(checkpoint::encode(some_task())), some_task());
    const std::vector<checkpoint::SavedEnd> ends{{.id = 3, .successor = 4, .threads_moved = true, .status = 256}};
    EXPECT_EQ(checkpoint::decode_ends(checkpoint::encode(std::span(ends))), ends);
    EXPECT_EQ(checkpoint::decode_sync(checkpoint::encode(std::span(kSync))), kSync);
    const auto content = some_bytes(2 * kMapPage);
    const auto bytes = checkpoint::encode(checkpoint::Pages{.stretch = 4, .first = 9, .mask = 5, .content = content});
    EXPECT_LE(bytes.size(), checkpoint::kMostPieceBytes);
    const auto pages = checkpoint::decode_pages(bytes);
    ASSERT_TRUE(pages);
    EXPECT_TRUE(std::ranges::equal(pages->content, content));
    EXPECT_FALSE(checkpoint::decode_pages(
        checkpoint::encode(checkpoint::Pages{.stretch = 4, .first = 9, .mask = 7, .content = content})));
}

TEST(CheckpointPieces, CutOffAreNone) {
    const auto task = checkpoint::encode(some_task()), sync = checkpoint::encode(std::span(kSync));
    for (std::size_t size = 0; size < task.size(); ++size) {
        EXPECT_FALSE(checkpoint::decode_task(std::span(task).first(size))) << size;
    }
    for (std::size_t size = 0; size < sync.size(); ++size) {
        EXPECT_FALSE(checkpoint::decode_sync(std::span(sync).first(size))) << size;
    }
}

TEST(CheckpointSync, ObjectsComeBackUnderTheirIds) {
    SyncHome before(1, 1);
    SyncId mutex = 0, semaphore = 0;
    ASSERT_EQ(before.create(SyncKind::mutex, 0, mutex), KERN_SUCCESS);
    ASSERT_EQ(before.create(SyncKind::semaphore, 3, semaphore), KERN_SUCCESS);
    Outcomes out;
    before.request(SyncOp::mutex_lock, mutex, {.node = 0, .task = 5, .thread = 9, .call = 1}, out);
    SyncHome after(0, 1); // one node less
    for (const auto &object : before.save()) {
        EXPECT_EQ(after.restore(object), KERN_SUCCESS);
        EXPECT_EQ(after.restore(object), KERN_INVALID_ARGUMENT);
    }
    out.clear();
    after.request(SyncOp::mutex_trylock, mutex, {.node = 0, .task = 6, .thread = 7, .call = 2}, out);
    after.request(SyncOp::mutex_unlock, mutex, {.node = 0, .task = 5, .thread = 9, .call = 3}, out);
    ASSERT_EQ(out.size(), 2U);
    EXPECT_EQ(out[0].status, KERN_RESOURCE_SHORTAGE);
    EXPECT_EQ(out[1].status, KERN_SUCCESS);
    EXPECT_EQ(after.save()[1].value, 3U);
    SyncId fresh = 0;
    ASSERT_EQ(after.create(SyncKind::mutex, 0, fresh), KERN_SUCCESS);
    EXPECT_GT(split_sync_id(fresh).serial, split_sync_id(semaphore).serial);
    EXPECT_EQ(sync_home(mutex, 1), 0);
    EXPECT_EQ(sync_home(mutex, 2), 1);
}

TEST(CheckpointSync, WhatCannotHaveBeenIsRefused) {
    SyncHome home(0, 1);
    const auto id = make_sync_id(0, 1, 1);
    EXPECT_EQ(home.restore(saved(id, SyncKind::word)), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(home.restore(saved(id, SyncKind::barrier, 0)), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(home.restore(saved(make_sync_id(0, 1, 0), SyncKind::mutex)), KERN_INVALID_ARGUMENT);
    auto used = saved(id, SyncKind::mutex);
    used.users = {{1, 1}};
    EXPECT_EQ(home.restore(used), KERN_INVALID_ARGUMENT);
    auto held = saved(id, SyncKind::semaphore);
    held.holder = Waiter{.node = 0, .task = 1, .thread = 1, .call = 1};
    EXPECT_EQ(home.restore(held), KERN_INVALID_ARGUMENT);
    EXPECT_EQ(home.objects(), 0U);
}

// ---- the launcher ----

using launch::CheckpointStep;

class CheckpointRunTest : public ::testing::Test {
  protected:
    void begin() {
        run.begin(
            42, 2,
            [this](std::size_t node, const launch::Record &record) {
                if (const auto *step = std::get_if<launch::TakeStep>(&record)) {
                    number = step->number;
                    asked.emplace_back(node, step->step);
                }
            },
            [this](const launch::Record &record) { answers.push_back(record); });
    }
    void reach(std::size_t node, CheckpointStep step, const std::string &why = "", bool changed = false) {
        run.reached(node, {.number = number, .step = step, .changed = changed, .why = why});
    }
    std::vector<std::pair<std::size_t, CheckpointStep>> take_asked() { return std::exchange(asked, {}); }
    auto to_all(CheckpointStep step) { return ElementsAre(std::pair(0U, step), std::pair(1U, step)); }

    CheckpointRun run;
    std::uint64_t number = 0;
    std::vector<std::pair<std::size_t, CheckpointStep>> asked;
    std::vector<launch::Record> answers;
};

TEST_F(CheckpointRunTest, AllStopUntilNothingIsNewThenTakeThenGoOn) {
    begin();
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::stop));
    reach(0, CheckpointStep::stop);
    reach(0, CheckpointStep::stop); // twice counts once
    EXPECT_THAT(take_asked(), ElementsAre());
    reach(1, CheckpointStep::stop, "", true);
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::stop));
    reach(0, CheckpointStep::stop);
    reach(1, CheckpointStep::stop);
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::take));
    reach(1, CheckpointStep::take);
    reach(0, CheckpointStep::take);
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::go_on));
    reach(0, CheckpointStep::go_on);
    EXPECT_TRUE(answers.empty());
    reach(1, CheckpointStep::go_on);
    const auto &taken = std::get<launch::CheckpointTaken>(answers.at(0));
    EXPECT_EQ(taken.number, 42U);
    EXPECT_EQ(taken.nodes, 2U);
    EXPECT_EQ(taken.why, "");
    EXPECT_FALSE(run.idle());
    run.end();
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::drop));
    EXPECT_TRUE(run.idle());
}

TEST_F(CheckpointRunTest, WhenOneCannotAllGoOnAndNothingIsKept) {
    begin();
    reach(0, CheckpointStep::stop, "a port");
    take_asked();
    reach(1, CheckpointStep::stop); // late
    reach(1, CheckpointStep::go_on);
    reach(0, CheckpointStep::go_on);
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::drop));
    EXPECT_EQ(std::get<launch::CheckpointTaken>(answers.at(0)).why, "a port");
    EXPECT_TRUE(run.idle());
}

TEST_F(CheckpointRunTest, WhenANodeDiesTheOthersGoOn) {
    begin();
    reach(0, CheckpointStep::stop);
    take_asked();
    run.node_ended(1);
    EXPECT_THAT(take_asked(), ElementsAre(std::pair(0U, CheckpointStep::go_on)));
    reach(0, CheckpointStep::go_on);
    EXPECT_THAT(std::get<launch::CheckpointTaken>(answers.at(0)).why, HasSubstr("node 1 has died"));
    EXPECT_TRUE(run.idle());
}

TEST_F(CheckpointRunTest, WhoHasAskedMayGoAtAnyTime) {
    begin();
    take_asked();
    run.end();
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::go_on));
    reach(0, CheckpointStep::go_on);
    EXPECT_FALSE(run.idle());
    reach(1, CheckpointStep::go_on);
    EXPECT_THAT(take_asked(), to_all(CheckpointStep::drop));
    EXPECT_TRUE(run.idle());
    EXPECT_TRUE(answers.empty());
}

TEST_F(CheckpointRunTest, PiecesOfAnEarlierOneAreNotHandedOn) {
    begin();
    for (const auto step : {CheckpointStep::stop, CheckpointStep::take, CheckpointStep::go_on}) {
        reach(0, step);
        reach(1, step);
    }
    answers.clear();
    run.piece(0, {.number = number, .node = 0, .kind = 3, .bytes = {}}); // nobody has asked
    run.read({.number = 50, .node = 0});
    run.piece(0, {.number = number - 1, .node = 0, .kind = 3, .bytes = {}});
    run.piece(1, {.number = number, .node = 1, .kind = 3, .bytes = {}});
    EXPECT_TRUE(answers.empty());
    run.piece(0, {.number = number, .node = 0, .kind = 3, .bytes = {}});
    EXPECT_EQ(std::get<launch::CheckpointPiece>(answers.at(0)).number, 50U);
    run.read({.number = 51, .node = 7});
    const auto &none = std::get<launch::CheckpointPiece>(answers.at(1));
    EXPECT_EQ(none.kind, 0);
    EXPECT_FALSE(none.bytes.empty());
}

} // namespace
} // namespace norma::rt
