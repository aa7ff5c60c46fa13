// SPDX-License-Identifier: BSD-3-Clause
#include "runtime/checkpoint_file.hpp"

#include "rpc/wire.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace norma::rt::checkpoint {

namespace {

constexpr std::string_view kMagic = "norma checkpoint";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint8_t kEnd = 0; // no kind of a piece

//   magic 16 | version 4 | bytes of a page 4
constexpr std::size_t kHeadBytes = 24;
//   kind 1 | node 2 | bytes 4 | checksum of all that and of the bytes 8
constexpr std::size_t kPieceHeadBytes = 15, kUnsigned = 7;

std::vector<std::byte> file_head() {
    rpc::Writer writer;
    for (const char letter : kMagic) {
        writer.put(letter);
    }
    writer.put(kVersion).put(static_cast<std::uint32_t>(kMapPage));
    return writer.bytes();
}

// FNV-1a of words instead of bytes, with the high bits brought down, as a product carries upwards only.
std::uint64_t checksum(std::span<const std::byte> bytes, std::uint64_t hash) {
    while (!bytes.empty()) {
        std::uint64_t word = 0;
        const auto size = std::min(bytes.size(), sizeof word);
        std::memcpy(&word, bytes.data(), size);
        hash = (hash ^ word) * 0x100000001b3;
        hash ^= hash >> 32;
        bytes = bytes.subspan(size);
    }
    return hash;
}
constexpr std::uint64_t kBasis = 0xcbf29ce484222325;

std::vector<std::byte> piece_head(std::uint8_t kind, dsm::NodeId node, std::span<const std::byte> bytes) {
    rpc::Writer writer;
    writer.put(kind).put(node).put(static_cast<std::uint32_t>(bytes.size()));
    writer.put(checksum(bytes, checksum(writer.bytes(), kBasis)));
    return writer.bytes();
}

// The name lasts only once the folder is on the disk, too.
bool sync_folder_of(const std::string &path) {
    const auto folder = std::filesystem::path(path).parent_path();
    const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = fd >= 0 && (::fsync(fd) == 0 || errno == EINVAL || errno == EROFS);
    if (fd >= 0) {
        ::close(fd);
    }
    return synced;
}

} // namespace

// ---- writing ----

Writer::Writer(std::string path) : path_(std::move(path)), temporary_(path_ + ".XXXXXX") {
    struct stat there {};
    if (::stat(path_.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
        throw FileError(fmt::format("{} is there and is not a file", path_));
    }
    fd_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
    if (fd_ < 0) {
        temporary_.clear();
        fail("cannot be written");
    }
    write(file_head());
}

Writer::~Writer() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
    if (!temporary_.empty()) {
        ::unlink(temporary_.c_str());
    }
}

void Writer::fail(const char *what) const {
    throw FileError(fmt::format("{} {}: {}", path_, what, std::strerror(errno)));
}

void Writer::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto written = ::write(fd_, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            fail("cannot be written");
        }
        const auto size = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
        bytes = bytes.subspan(size);
        bytes_ += size;
    }
}

void Writer::put(std::uint8_t kind, dsm::NodeId node, std::span<const std::byte> bytes) {
    write(piece_head(kind, node, bytes));
    write(bytes);
}

void Writer::add(const Piece &piece) {
    put(static_cast<std::uint8_t>(piece.kind), piece.node, piece.bytes);
    ++pieces_;
}

void Writer::finish() {
    rpc::Writer count;
    count.put(pieces_);
    put(kEnd, 0, count.bytes());
    if (::fsync(fd_) != 0) {
        fail("cannot be written");
    }
    if (::close(std::exchange(fd_, -1)) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
        fail("cannot be written");
    }
    temporary_.clear();
    if (!sync_folder_of(path_)) {
        fail("may not last");
    }
}

// ---- reading ----

Reader::Reader(const std::string &path) : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) {
        throw FileError(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    try {
        rewind();
    } catch (...) {
        ::close(fd_);
        throw;
    }
}

Reader::~Reader() {
    ::close(fd_);
}

void Reader::fail(const std::string &what) const {
    throw FileError(fmt::format("{} {}", path_, what));
}

bool Reader::read(std::span<std::byte> into) {
    for (std::size_t got = 0; got < into.size();) {
        const auto size = ::read(fd_, into.data() + got, into.size() - got);
        if (size < 0 && errno != EINTR) {
            fail(fmt::format("cannot be read: {}", std::strerror(errno)));
        }
        if (size == 0 && got == 0) {
            return false;
        }
        if (size == 0) {
            fail("is cut off");
        }
        got += static_cast<std::size_t>(std::max<ssize_t>(size, 0));
    }
    return true;
}

void Reader::rewind() {
    pieces_ = 0;
    if (::lseek(fd_, 0, SEEK_SET) != 0) {
        fail("is not a file");
    }
    std::array<std::byte, kHeadBytes> head{};
    if (!read(head)) {
        fail("is empty");
    }
    const auto expected = file_head();
    constexpr auto kVersionAt = kMagic.size(), kPageAt = kVersionAt + sizeof kVersion;
    if (std::memcmp(head.data(), expected.data(), kVersionAt) != 0) {
        fail("is not a checkpoint");
    }
    if (std::memcmp(head.data() + kVersionAt, expected.data() + kVersionAt, sizeof kVersion) != 0) {
        fail("was written by another version of norma");
    }
    if (std::memcmp(head.data() + kPageAt, expected.data() + kPageAt, kHeadBytes - kPageAt) != 0) {
        fail("is of a machine with pages of another size");
    }
}

std::optional<Piece> Reader::next() {
    std::array<std::byte, kPieceHeadBytes> head{};
    if (!read(head)) {
        fail("is cut off");
    }
    rpc::Reader fields(head);
    const auto kind = fields.get<std::uint8_t>();
    const auto node = fields.get<dsm::NodeId>();
    const auto size = fields.get<std::uint32_t>();
    const auto sum = fields.get<std::uint64_t>();
    if (size > kMostPieceBytes || (kind != kEnd && !is_kind(kind))) {
        fail("is damaged");
    }
    Piece piece{.kind = static_cast<Kind>(kind), .node = node, .bytes = std::vector<std::byte>(size)};
    if (size != 0 && !read(piece.bytes)) {
        fail("is cut off");
    }
    if (checksum(piece.bytes, checksum(std::span(head).first(kUnsigned), kBasis)) != sum) {
        fail("is damaged");
    }
    if (kind != kEnd) {
        ++pieces_;
        return piece;
    }
    rpc::Reader end(piece.bytes);
    if (end.get<std::uint64_t>() != pieces_ || !end.done()) {
        fail("is damaged");
    }
    std::byte more{};
    if (read(std::span(&more, 1))) {
        fail("goes on behind its end");
    }
    return std::nullopt;
}

} // namespace norma::rt::checkpoint
