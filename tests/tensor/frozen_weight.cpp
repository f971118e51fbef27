// A frozen weight whose stored type is known at run time: each reader gives what the static Weight gives.
#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/frozen_weight.hpp>

#include "support/device_copies.hpp"
#include "support/numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using Floats = Tensor<float, Extents<dyn, dyn>>;
using Rounded = std::vector<BFloat16>;

Floats normals(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Floats matrix(rows, cols);
  Normals(seed).fill(std::span<float>(matrix.data(), matrix.size()), 1.0);
  return matrix;
}

struct Fixture {
  static constexpr std::size_t rows = 67, cols = 129;
  Floats values = normals(rows, cols, 1);
  Rounded memory = Rounded(rows * cols);
  MatrixView<BFloat16> rounded{memory.data(), rows, cols};
  FrozenWeight<float> plain{values.matrix()};
  FrozenWeight<float> stored{rounded};
  std::vector<std::int8_t> integers = std::vector<std::int8_t>(rows * cols);
  std::vector<float> scales = std::vector<float>(rows);
  MatrixView<std::int8_t> narrow_view{integers.data(), rows, cols};
  MatrixView<const float> scales_view{scales.data(), 1, rows};
  FrozenWeight<float> narrow{narrow_view, scales_view};

  Fixture() {
    store_values(rounded, values.matrix());
    store_values(narrow_view, scales, values.matrix());
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  /// The value that a reader gives.
  float value(const FrozenWeight<float>& weight, std::size_t i, std::size_t j) const {
    if (weight.stored == StoredType::BFloat16) return static_cast<float>(BFloat16(values(i, j)));
    if (weight.stored == StoredType::Int8) return static_cast<float>(integers[i * cols + j]) * scales[i];
    return values(i, j);
  }
};

std::vector<float> contents(MatrixView<const float> m) {
  std::vector<float> result;
  for (std::size_t i = 0; i < m.rows; ++i) result.insert(result.end(), m.row(i), m.row(i) + m.cols);
  return result;
}

}  // namespace

static_assert(!std::is_constructible_v<FrozenWeight<double>, MatrixView<const BFloat16>>);
static_assert(!std::is_convertible_v<FrozenWeight<float>, MatrixView<const float>>);
static_assert(std::is_same_v<WeightView<const float>, FrozenWeight<float>>);
static_assert(std::is_same_v<WeightView<float>, MatrixView<float>>);
static_assert(stored_type_name(StoredType::BFloat16) == "bfloat16" &&
              stored_type_name(StoredType::Scalar) == "float32" &&
              stored_type_name(StoredType::Int8) == "int8");
static_assert(find_stored_type("int8") == StoredType::Int8 &&
              find_stored_type("float32") == StoredType::Scalar && !find_stored_type("int4") &&
              !find_stored_type(""));

TEST_CASE("frozen_weight: products are those of what is stored, bit for bit") {
  const Fixture f;
  for (const std::size_t M : {1U, 3U, 41U}) {
    CAPTURE(M);
    const Floats x = normals(M, Fixture::cols, 2), d_y = normals(M, Fixture::rows, 3);
    for (const FrozenWeight<float>& weight : {f.plain, f.stored, f.narrow}) {
      Floats found = normals(M, Fixture::rows, 4), expected = found;
      Floats d_found = normals(M, Fixture::cols, 5), d_expected = d_found;
      matmul(found.matrix(), x.matrix(), transposed(weight), Write::Add, 0.5F);
      matmul(d_found.matrix(), d_y.matrix(), weight, Write::Add, 0.5F);
      if (weight.stored == StoredType::Scalar) {
        matmul(expected.matrix(), x.matrix(), transposed(f.values.matrix()), Write::Add, 0.5F);
        matmul(d_expected.matrix(), d_y.matrix(), f.values.matrix(), Write::Add, 0.5F);
      } else if (weight.stored == StoredType::Int8) {
        const Weight<std::int8_t, Cpu, float> of(f.narrow_view, f.scales_view);
        matmul(expected.matrix(), x.matrix(), transposed(of), Write::Add, 0.5F);
        matmul(d_expected.matrix(), d_y.matrix(), of, Write::Add, 0.5F);
      } else {
        const Weight<BFloat16> of(f.rounded);
        matmul(expected.matrix(), x.matrix(), transposed(of), Write::Add, 0.5F);
        matmul(d_expected.matrix(), d_y.matrix(), of, Write::Add, 0.5F);
      }
      CHECK(contents(found.matrix()) == contents(expected.matrix()));
      CHECK(contents(d_found.matrix()) == contents(d_expected.matrix()));
    }
  }
}

TEST_CASE("frozen_weight: rows, lookups and single values") {
  Fixture f;
  const std::vector<std::int32_t> ids{66, 0, 13, 0};
  const MatrixView<const std::int32_t> chosen(ids.data(), 1, ids.size());
  Workspace workspace;
  Floats found(ids.size(), Fixture::cols);
  for (const FrozenWeight<float>& weight : {f.plain, f.stored, f.narrow}) {
    look_up(found.matrix(), weight, chosen);
    const MatrixView<const float> part = rows_as_values(weight, 5, 11, workspace);
    CHECK(part.rows == 11);
    for (std::size_t j = 0; j < Fixture::cols; ++j) {
      const auto expected = [&](std::size_t i) { return f.value(weight, i, j); };
      for (std::size_t i = 0; i < ids.size(); ++i) {
        REQUIRE(found(i, j) == expected(static_cast<std::size_t>(ids[i])));
      }
      REQUIRE(part(10, j) == expected(15));
      REQUIRE(weight(66, j) == expected(66));
      REQUIRE(weight.rows_from(60, 7)(6, j) == expected(66));
    }
  }
  CHECK(rows_as_values(f.plain, 5, 11, workspace).data == f.values.matrix().row(5));
}

TEST_CASE("frozen_weight: blocks of rows are all rows once, in order; one block where nothing is copied") {
  constexpr std::size_t rows = 9, cols = std::size_t{1} << 16;  // blocks of four rows
  const Floats values = normals(rows, cols, 6);
  Rounded memory(rows * cols);
  const MatrixView<BFloat16> rounded(memory.data(), rows, cols);
  store_values(rounded, values.matrix());
  Workspace workspace;
  std::size_t next = 0, calls = 0;
  for_row_blocks(FrozenWeight<float>(rounded), workspace, [&](std::size_t first, MatrixView<const float> w) {
    CHECK(first == next);
    CHECK(w(0, 3) == static_cast<float>(rounded(first, 3)));
    CHECK(w(w.rows - 1, cols - 1) == static_cast<float>(rounded(first + w.rows - 1, cols - 1)));
    next += w.rows;
    ++calls;
  });
  CHECK(next == rows);
  CHECK(calls == 3);
  calls = 0;
  for_row_blocks(FrozenWeight<float>(values.matrix()), workspace,
                 [&](std::size_t first, MatrixView<const float> w) {
                   CHECK(first == 0);
                   CHECK(w.data == values.data());
                   CHECK(w.rows == rows);
                   ++calls;
                 });
  CHECK(calls == 1);
  for_row_blocks(FrozenWeight<float>{}, workspace, [&](std::size_t, MatrixView<const float>) { ++calls; });
  CHECK(calls == 1);
}

TEST_CASE("frozen_weight: neighbours join where rows go on in the same type") {
  Fixture f;
  for (const FrozenWeight<float>& weight : {f.plain, f.stored, f.narrow}) {
    const auto upper = weight.rows_from(0, 30), lower = weight.rows_from(30, 37);
    CHECK(upper.followed_by(lower));
    CHECK_FALSE(lower.followed_by(upper));
    CHECK_FALSE(upper.followed_by(weight.rows_from(31, 36)));
  }
  FrozenWeight<float> other = f.stored.rows_from(30, 37);
  other.stored = StoredType::Scalar;
  CHECK_FALSE(f.stored.rows_from(0, 30).followed_by(other));
  FrozenWeight<float> scaled = f.narrow.rows_from(30, 37);
  scaled.scales -= 1;  // the scales of other rows
  CHECK_FALSE(f.narrow.rows_from(0, 30).followed_by(scaled));
  CHECK_FALSE(FrozenWeight<float>{}.followed_by(FrozenWeight<float>{}));
  CHECK_FALSE(FrozenWeight<float>{}.rows_from(3, 4));
}

TEST_CASE("frozen_weight: only values that are stored as the activations are given as a matrix") {
  const Fixture f;
  CHECK(f.plain.values().data == f.values.data());
  CHECK(f.plain.values().stride == Fixture::cols);
  CHECK_FALSE(FrozenWeight<float>{}.values());
  std::string message;
  try {
    static_cast<void>(f.stored.values());
  } catch (const ArgumentError& error) {
    message = error.what();
  }
  CHECK(message.find("bfloat16") != std::string::npos);
  CHECK(message.find("load the base with float weights") != std::string::npos);
}

TEST_CASE("frozen_weight: shapes that do not fit") {
  const Fixture f;
  CHECK_THROWS_AS(FrozenWeight<float>(f.narrow_view, MatrixView<const float>(f.scales.data(), 1, 66)),
                  ShapeError);
  Floats out(4, Fixture::rows), x(4, Fixture::cols - 1);
  CHECK_THROWS_AS(matmul(out.matrix(), x.matrix(), transposed(f.stored)), ShapeError);
  CHECK_THROWS_AS(matmul(x.matrix(), out.matrix(), f.stored), ShapeError);
}

TEST_CASE("frozen_weight: double has its own values alone") {
  std::vector<double> values{1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, x{1.0, -1.0, 0.5}, y(2);
  const FrozenWeight<double> weight(MatrixView<const double>(values.data(), 2, 3));
  matmul(MatrixView<double>(y.data(), 1, 2), MatrixView<const double>(x.data(), 1, 3), transposed(weight));
  CHECK(y[0] == 0.5);
  CHECK(y[1] == 2.0);
  CHECK(weight.visit([](const auto& w) { return w.plain; }));
}

TEST_CASE("frozen_weight: the emulated device's readers") {
  const Fixture f;
  using There = Tensor<float, Extents<dyn, dyn>, Emulated>;
  const Floats x = normals(5, Fixture::cols, 7);
  const CopyThrough<Emulated> copies;
  const There x_there = copies.put(x);
  Storage<BFloat16, Emulated> memory(f.memory.size());
  Storage<BFloat16, Emulated>::write(memory.data(), f.memory.data(), f.memory.size());
  const FrozenWeight<float, Emulated> weight(
      MatrixView<const BFloat16, Emulated>(memory.data(), Fixture::rows, Fixture::cols));
  There y_there(5, Fixture::rows);
  matmul(y_there.matrix(), x_there.matrix(), transposed(weight));
  Floats y(5, Fixture::rows);
  matmul(y.matrix(), x.matrix(), transposed(f.stored));
  const Floats y_back = copies.get(y_there);
  CHECK(relative_error(contents(y_back.matrix()), contents(y.matrix())) < 1e-6);

  WorkspaceOn<Emulated> workspace;
  There copy(Fixture::rows, Fixture::cols);
  for_row_blocks(weight, workspace, [&](std::size_t first, MatrixView<const float, Emulated> w) {
    assign(copy.matrix().rows_from(first, w.rows), w);
  });
  const Floats back = copies.get(copy);
  for (std::size_t i = 0; i < Fixture::rows; ++i) {
    for (std::size_t j = 0; j < Fixture::cols; ++j) REQUIRE(back(i, j) == f.stored(i, j));
  }
}
