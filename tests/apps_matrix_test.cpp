// SPDX-License-Identifier: BSD-3-Clause
// Matrix Market files: what is read, and that everything else is refused with the line it is in.
#include "apps/cg/matrix_market.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using cg::Matrix;
using cg::MatrixError;
using testing::HasSubstr;

const std::string kSymmetric = "%%MatrixMarket matrix coordinate real symmetric\n";
const std::string kGeneral = "%%MatrixMarket matrix coordinate real general\n";

std::string error_of(const std::string &text) {
    try {
        cg::parse_matrix(text);
    } catch (const MatrixError &error) {
        return error.what();
    }
    return "no error";
}

TEST(MatrixMarket, SymmetricIsFilledUpAndSorted) {
    const Matrix matrix =
        cg::parse_matrix(kSymmetric + "% a comment\n\n3 3 5\n3 3 6.5\n2 1 -1\n1 1 4e0\n  2\t2 +5 \r\n3 1 0.25");
    EXPECT_EQ(matrix.rows, 3u);
    EXPECT_EQ(matrix.row_start, (std::vector<std::uint64_t>{0, 3, 5, 7}));
    EXPECT_EQ(matrix.columns, (std::vector<std::uint32_t>{0, 1, 2, 0, 1, 0, 2}));
    EXPECT_EQ(matrix.values, (std::vector<double>{4, -1, 0.25, -1, 5, 0.25, 6.5}));
    EXPECT_EQ(matrix.diagonal(1), 5.0);
}

TEST(MatrixMarket, AMissingDiagonalEntryIsZero) {
    const Matrix matrix = cg::parse_matrix(kSymmetric + "2 2 2\n1 1 1\n2 1 1\n");
    EXPECT_EQ(matrix.diagonal(0), 1.0);
    EXPECT_EQ(matrix.diagonal(1), 0.0);
}

TEST(MatrixMarket, HeaderWordsMayBeInAnyCaseAndValuesIntegers) {
    const Matrix matrix = cg::parse_matrix("%%MatrixMarket MATRIX Coordinate Integer SYMMETRIC\n1 1 1\n1 1 7\n");
    EXPECT_EQ(matrix.values, (std::vector<double>{7}));
}

TEST(MatrixMarket, GeneralIsReadIfItIsSymmetric) {
    EXPECT_EQ(cg::parse_matrix(kGeneral + "2 2 4\n1 1 2\n1 2 3\n2 1 3\n2 2 5\n").nonzeros(), 4u);
    EXPECT_THAT(error_of(kGeneral + "2 2 4\n1 1 2\n1 2 3\n2 1 4\n2 2 5\n"),
                HasSubstr("line 4: the matrix is not symmetric: entry (1, 2) is 3 but (2, 1) is 4"));
    EXPECT_THAT(error_of(kGeneral + "2 2 3\n1 1 2\n2 1 4\n2 2 5\n"),
                HasSubstr("line 4: the matrix is not symmetric: entry (2, 1) is 4 but (1, 2) is 0"));
}

TEST(MatrixMarket, OtherKindsAreRefused) {
    EXPECT_THAT(error_of(""), HasSubstr("line 1: no Matrix Market file"));
    EXPECT_THAT(error_of("1 1 1\n1 1 1\n"), HasSubstr("line 1: no Matrix Market file"));
    EXPECT_THAT(error_of("%%MatrixMarket vector coordinate real general\n"), HasSubstr("object 'vector'"));
    EXPECT_THAT(error_of("%%MatrixMarket matrix\n"), HasSubstr("format ''"));
    EXPECT_THAT(error_of("%%MatrixMarket matrix array real symmetric\n"), HasSubstr("format 'array'"));
    EXPECT_THAT(error_of("%%MatrixMarket matrix coordinate complex symmetric\n"), HasSubstr("field 'complex'"));
    EXPECT_THAT(error_of("%%MatrixMarket matrix coordinate pattern symmetric\n"), HasSubstr("field 'pattern'"));
    EXPECT_THAT(error_of("%%MatrixMarket matrix coordinate real hermitian\n"), HasSubstr("symmetry 'hermitian'"));
    EXPECT_THAT(error_of("%%MatrixMarket matrix coordinate real skew-symmetric\n"), HasSubstr("'skew-symmetric'"));
    EXPECT_THAT(error_of("%%MatrixMarket matrix coordinate real symmetric more\n"), HasSubstr("'more' is too much"));
}

TEST(MatrixMarket, BrokenSizesAreRefused) {
    EXPECT_THAT(error_of(kSymmetric), HasSubstr("before the line of sizes"));
    EXPECT_THAT(error_of(kSymmetric + "2 2\n"), HasSubstr("line 2: number of entries is missing"));
    EXPECT_THAT(error_of(kSymmetric + "2 x 2\n"), HasSubstr("line 2: 'x' is no valid number of columns"));
    EXPECT_THAT(error_of(kSymmetric + "2 2 2 2\n"), HasSubstr("line 2: '2' is too much"));
    EXPECT_THAT(error_of(kSymmetric + "-2 2 2\n"), HasSubstr("'-2' is no valid number of rows"));
    EXPECT_THAT(error_of(kSymmetric + "2 3 2\n"), HasSubstr("2 rows and 3 columns is not square"));
    EXPECT_THAT(error_of(kSymmetric + "0 0 0\n"), HasSubstr("0 rows"));
    EXPECT_THAT(error_of(kSymmetric + "3000000000 3000000000 3000000000\n"), HasSubstr("3000000000 rows"));
    EXPECT_THAT(error_of(kSymmetric + "2000000000 2000000000 1\n1 1 1\n"), HasSubstr("singular"));
    EXPECT_THAT(error_of(kSymmetric + "99999999999999999999 1 1\n"), HasSubstr("no valid number of rows"));
}

TEST(MatrixMarket, AHugeClaimTakesNoMemory) {
    EXPECT_THAT(error_of(kSymmetric + "2 2 1000000000000000000\n1 1 1\n"),
                HasSubstr("the file ends after 1 of 1000000000000000000 entries"));
}

TEST(MatrixMarket, BrokenEntriesAreRefusedWithTheirLine) {
    const std::string two = kSymmetric + "2 2 2\n1 1 1\n";
    EXPECT_THAT(error_of(two), HasSubstr("line 3: the file ends after 1 of 2 entries"));
    EXPECT_THAT(error_of(two + "2 2 1\n% fine\n2 1 1\n"), HasSubstr("line 6: more entries than the 2 announced"));
    EXPECT_THAT(error_of(two + "0 1 1\n"), HasSubstr("line 4: row 0 is not in 1 .. 2"));
    EXPECT_THAT(error_of(two + "3 1 1\n"), HasSubstr("line 4: row 3 is not in 1 .. 2"));
    EXPECT_THAT(error_of(two + "2 3 1\n"), HasSubstr("line 4: column 3 is not in 1 .. 2"));
    EXPECT_THAT(error_of(two + "1 2 1\n"), HasSubstr("line 4: entry (1, 2) is above the diagonal"));
    EXPECT_THAT(error_of(two + "1 1 2\n"), HasSubstr("line 4: entry (1, 1) is there already, in line 3"));
    EXPECT_THAT(error_of(two + "2 2\n"), HasSubstr("line 4: value is missing"));
    EXPECT_THAT(error_of(two + "2 2 1 0\n"), HasSubstr("line 4: '0' is too much"));
    EXPECT_THAT(error_of(two + "2 2 1,5\n"), HasSubstr("line 4: '1,5' is no valid value"));
    EXPECT_THAT(error_of(two + "2 2 nan\n"), HasSubstr("line 4: value 'nan' is not finite"));
    EXPECT_THAT(error_of(two + "2 2 -inf\n"), HasSubstr("line 4: value '-inf' is not finite"));
    EXPECT_THAT(error_of(two + "2 2 1e999\n"), HasSubstr("line 4: '1e999' is no valid value"));
    EXPECT_THAT(error_of(two + "2.0 2 1\n"), HasSubstr("line 4: '2.0' is no valid row"));
}

TEST(MatrixMarket, FilesThatCannotBeReadAreNamed) {
    try {
        cg::read_matrix("no/such.mtx");
        FAIL();
    } catch (const MatrixError &error) {
        EXPECT_THAT(error.what(), HasSubstr("'no/such.mtx': cannot be read: No such file"));
    }
}

TEST(MatrixMarket, TheLaplacianCanBeReadBack) {
    std::stringstream file;
    cg::write_laplace2d(file, 3);
    const Matrix matrix = cg::parse_matrix(file.str());
    EXPECT_EQ(matrix.rows, 9u);
    EXPECT_EQ(matrix.nonzeros(), 9u + 2 * 12u);
    for (std::size_t row = 0; row < 9; ++row) {
        EXPECT_EQ(matrix.diagonal(row), 4.0);
    }
    EXPECT_EQ(matrix.row_start[5] - matrix.row_start[4], 5u); // the cell in the middle has four neighbours
}

TEST(Vector, BothForms) {
    EXPECT_EQ(cg::parse_vector("1\n% two\n2.5\n\n-3\n", 3), (std::vector<double>{1, 2.5, -3}));
    EXPECT_EQ(cg::parse_vector("%%MatrixMarket matrix array real general\n2 1\n5\n6\n", 2),
              (std::vector<double>{5, 6}));
}

TEST(Vector, BrokenOnesSayWhy) {
    const auto error = [](const std::string &text) -> std::string {
        try {
            cg::parse_vector(text, 2);
        } catch (const MatrixError &failure) {
            return failure.what();
        }
        return "no error";
    };
    EXPECT_THAT(error("1\n"), HasSubstr("the file ends after 1 of 2 values"));
    EXPECT_THAT(error("1\n2\n3\n"), HasSubstr("line 3: more than the 2 values"));
    EXPECT_THAT(error("1\ninf\n"), HasSubstr("line 2: value 'inf' is not finite"));
    EXPECT_THAT(error("1 2\n"), HasSubstr("line 1: '2' is too much"));
    EXPECT_THAT(error("%%MatrixMarket matrix coordinate real general\n"), HasSubstr("a vector must be"));
    EXPECT_THAT(error("%%MatrixMarket matrix array real general\n3 1\n"), HasSubstr("2 x 1 is needed, this is 3 x 1"));
}

} // namespace
