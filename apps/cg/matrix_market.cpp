// SPDX-License-Identifier: BSD-3-Clause
#include "apps/cg/matrix_market.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <ostream>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "apps/cg/lines.hpp"

namespace cg {

namespace {

struct Entry {
    std::uint32_t row;
    std::uint32_t column;
    double value;
    std::size_t line;
};

struct Header {
    std::string format;
    std::string field;
    std::string symmetry;
};

std::string lower_case(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return result;
}

Header read_header(Lines &lines) {
    if (!lines.next() || lines.field() != "%%MatrixMarket") {
        throw MatrixError("line 1: no Matrix Market file: it does not begin with %%MatrixMarket");
    }
    if (const std::string object = lower_case(lines.field()); object != "matrix") {
        lines.fail(fmt::format("object '{}' instead of 'matrix'", object));
    }
    Header header;
    header.format = lower_case(lines.field());
    header.field = lower_case(lines.field());
    header.symmetry = lower_case(lines.field());
    lines.expect_end();
    return header;
}

void check_matrix_header(const Lines &lines, const Header &header) {
    if (header.format != "coordinate") {
        lines.fail(fmt::format("format '{}' is not handled: only 'coordinate' (sparse) is", header.format));
    }
    if (header.field != "real" && header.field != "integer") {
        lines.fail(fmt::format("field '{}' is not handled: only 'real' and 'integer' are", header.field));
    }
    if (header.symmetry != "symmetric" && header.symmetry != "general") {
        lines.fail(fmt::format("symmetry '{}' is not handled: only 'symmetric' is, and 'general' if the matrix is in "
                               "fact symmetric",
                               header.symmetry));
    }
}

std::uint32_t read_index(Lines &lines, std::string_view what, std::size_t rows) {
    const auto index = lines.read<std::uint64_t>(what);
    if (index < 1 || index > rows) {
        lines.fail(fmt::format("{} {} is not in 1 .. {}", what, index, rows));
    }
    return static_cast<std::uint32_t>(index - 1);
}

std::vector<Entry> read_entries(Lines &lines, std::size_t rows, std::uint64_t count, bool symmetric) {
    constexpr std::size_t kShortestLine = 6; // "1 1 1\n"
    std::vector<Entry> entries;
    // The count is the file's own claim: no more room is made than the file can fill.
    entries.reserve(std::min<std::uint64_t>(count, lines.bytes_left() / kShortestLine + 1) * (symmetric ? 2 : 1));
    for (std::uint64_t i = 0; i < count; ++i) {
        if (!lines.next_data()) {
            lines.fail(fmt::format("the file ends after {} of {} entries", i, count));
        }
        Entry entry{};
        entry.row = read_index(lines, "row", rows);
        entry.column = read_index(lines, "column", rows);
        entry.value = lines.read<double>("value");
        entry.line = lines.number();
        lines.expect_end();
        if (symmetric && entry.column > entry.row) {
            lines.fail(fmt::format("entry ({}, {}) is above the diagonal of a symmetric matrix", entry.row + 1,
                                   entry.column + 1));
        }
        entries.push_back(entry);
        if (symmetric && entry.row != entry.column) {
            std::swap(entry.row, entry.column);
            entries.push_back(entry);
        }
    }
    if (lines.next_data()) {
        lines.fail(fmt::format("more entries than the {} announced", count));
    }
    return entries;
}

void refuse_duplicates(const std::vector<Entry> &sorted) {
    const auto same = std::adjacent_find(sorted.begin(), sorted.end(), [](const Entry &a, const Entry &b) {
        return a.row == b.row && a.column == b.column;
    });
    if (same != sorted.end()) {
        const auto [first, second] = std::minmax(same->line, (same + 1)->line);
        throw MatrixError(fmt::format("line {}: entry ({}, {}) is there already, in line {}", second, same->row + 1,
                                      same->column + 1, first));
    }
}

void refuse_unsymmetric(const std::vector<Entry> &sorted) {
    for (const Entry &entry : sorted) {
        const auto mirror = std::lower_bound(sorted.begin(), sorted.end(), entry, [](const Entry &a, const Entry &key) {
            return a.row != key.column ? a.row < key.column : a.column < key.row;
        });
        const bool found = mirror != sorted.end() && mirror->row == entry.column && mirror->column == entry.row;
        const double value = found ? mirror->value : 0.0;
        if (value != entry.value) {
            throw MatrixError(
                fmt::format("line {}: the matrix is not symmetric: entry ({}, {}) is {} but ({}, {}) is {}", entry.line,
                            entry.row + 1, entry.column + 1, entry.value, entry.column + 1, entry.row + 1, value));
        }
    }
}

Matrix to_rows(const std::vector<Entry> &sorted, std::size_t rows) {
    Matrix matrix;
    matrix.rows = rows;
    matrix.row_start.assign(rows + 1, 0);
    matrix.columns.reserve(sorted.size());
    matrix.values.reserve(sorted.size());
    for (const Entry &entry : sorted) {
        ++matrix.row_start[entry.row + 1];
        matrix.columns.push_back(entry.column);
        matrix.values.push_back(entry.value);
    }
    for (std::size_t row = 0; row < rows; ++row) {
        matrix.row_start[row + 1] += matrix.row_start[row];
    }
    return matrix;
}

std::string read_file(const std::filesystem::path &file) {
    std::error_code error;
    if (std::filesystem::is_directory(file, error)) {
        throw MatrixError("is a directory");
    }
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        throw MatrixError(fmt::format("cannot be read: {}", std::strerror(errno)));
    }
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (in.bad()) {
        throw MatrixError("cannot be read to its end");
    }
    return text;
}

template <class Parse> auto with_file_name(const std::filesystem::path &file, Parse parse) {
    try {
        return parse(read_file(file));
    } catch (const MatrixError &error) {
        throw MatrixError(fmt::format("'{}': {}", file.string(), error.what()));
    }
}

} // namespace

double Matrix::diagonal(std::size_t row) const {
    const auto begin = columns.begin() + static_cast<std::ptrdiff_t>(row_start[row]);
    const auto end = columns.begin() + static_cast<std::ptrdiff_t>(row_start[row + 1]);
    const auto found = std::lower_bound(begin, end, row);
    return found == end || *found != row ? 0.0 : values[static_cast<std::size_t>(found - columns.begin())];
}

Matrix parse_matrix(std::string_view text) {
    Lines lines(text);
    const Header header = read_header(lines);
    check_matrix_header(lines, header);
    if (!lines.next_data()) {
        lines.fail("the file ends before the line of sizes");
    }
    const auto rows = lines.read<std::uint64_t>("number of rows");
    const auto columns = lines.read<std::uint64_t>("number of columns");
    const auto count = lines.read<std::uint64_t>("number of entries");
    lines.expect_end();
    if (rows != columns) {
        lines.fail(fmt::format("a matrix of {} rows and {} columns is not square", rows, columns));
    }
    if (rows == 0 || rows > std::numeric_limits<std::int32_t>::max()) {
        lines.fail(fmt::format("{} rows: 1 to {} can be handled", rows, std::numeric_limits<std::int32_t>::max()));
    }
    // Also keeps a tiny file that announces a huge matrix from taking memory for its rows.
    if (count < rows) {
        lines.fail(fmt::format("{} entries for {} rows: some rows are empty, the matrix is singular", count, rows));
    }
    const bool symmetric = header.symmetry == "symmetric";
    std::vector<Entry> entries = read_entries(lines, rows, count, symmetric);
    std::sort(entries.begin(), entries.end(),
              [](const Entry &a, const Entry &b) { return a.row != b.row ? a.row < b.row : a.column < b.column; });
    refuse_duplicates(entries);
    if (!symmetric) {
        refuse_unsymmetric(entries);
    }
    return to_rows(entries, rows);
}

Matrix read_matrix(const std::filesystem::path &file) {
    return with_file_name(file, [](const std::string &text) { return parse_matrix(text); });
}

std::vector<double> parse_vector(std::string_view text, std::size_t rows) {
    Lines lines(text);
    if (text.starts_with("%%MatrixMarket")) {
        const Header header = read_header(lines);
        if (header.format != "array" || header.symmetry != "general" ||
            (header.field != "real" && header.field != "integer")) {
            lines.fail("a vector must be 'array real general' or 'array integer general'");
        }
        if (!lines.next_data()) {
            lines.fail("the file ends before the line of sizes");
        }
        const auto count = lines.read<std::uint64_t>("number of rows");
        const auto columns = lines.read<std::uint64_t>("number of columns");
        lines.expect_end();
        if (count != rows || columns != 1) {
            lines.fail(fmt::format("a vector of {} x 1 is needed, this is {} x {}", rows, count, columns));
        }
    }
    std::vector<double> values;
    values.reserve(rows);
    while (lines.next_data()) {
        if (values.size() == rows) {
            lines.fail(fmt::format("more than the {} values needed", rows));
        }
        values.push_back(lines.read<double>("value"));
        lines.expect_end();
    }
    if (values.size() != rows) {
        lines.fail(fmt::format("the file ends after {} of {} values", values.size(), rows));
    }
    return values;
}

std::vector<double> read_vector(const std::filesystem::path &file, std::size_t rows) {
    return with_file_name(file, [rows](const std::string &text) { return parse_vector(text, rows); });
}

void write_laplace2d(std::ostream &out, std::size_t n) {
    const std::size_t rows = n * n;
    out << "%%MatrixMarket matrix coordinate real symmetric\n"
        << fmt::format("% five-point Laplacian of a {0} x {0} grid\n{1} {1} {2}\n", n, rows, rows + 2 * n * (n - 1));
    for (std::size_t y = 0; y < n; ++y) {
        for (std::size_t x = 0; x < n; ++x) {
            const std::size_t row = y * n + x + 1;
            if (y > 0) {
                out << row << ' ' << row - n << " -1\n";
            }
            if (x > 0) {
                out << row << ' ' << row - 1 << " -1\n";
            }
            out << row << ' ' << row << " 4\n";
        }
    }
}

} // namespace cg
