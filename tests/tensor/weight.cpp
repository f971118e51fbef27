#include "support/device_copies.hpp"
#include "support/weight_cases.hpp"

#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/weight.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

using namespace sdlora;
using namespace sdlora_test;

static_assert(std::is_same_v<Weight<BFloat16>::product_type, BFloat16>);
static_assert(std::is_same_v<Weight<std::int8_t>::product_type, BFloat16>);
static_assert(std::is_same_v<Weight<float>::product_type, float>);
static_assert(std::is_same_v<Weight<double>::value_type, double>);
static_assert(std::is_same_v<Weight<BFloat16>::value_type, float>);
static_assert(Weight<float, Cpu, BFloat16>::plain && !Weight<BFloat16>::plain);

namespace {

template <class Stored>
void check_readers(std::size_t rows, std::size_t cols, std::size_t gap, std::size_t shift) {
  CAPTURE(rows);
  CAPTURE(cols);
  CAPTURE(shift);
  const StoredMatrix<Stored> stored(rows, cols, Normals(rows + cols).vector<float>(rows * cols), gap, shift);
  const auto weight = stored.weight();
  using T = typename std::remove_cvref_t<decltype(weight)>::value_type;
  Workspace workspace;

  Tensor<T, Extents<dyn, dyn>> all(rows, cols);
  assign(all.matrix(), values_of(weight));
  const auto part = rows_as_values(weight, rows / 2, rows - rows / 2, workspace);
  CHECK((part.data == reinterpret_cast<const T*>(weight.row(rows / 2))) == std::is_floating_point_v<Stored>);
  std::vector<std::int32_t> ids{static_cast<std::int32_t>(rows - 1), 0, static_cast<std::int32_t>(rows / 3),
                                0};
  Tensor<T, Extents<dyn, dyn>> gathered(ids.size(), cols);
  assign(gathered.matrix(),
         2.0F * rows_at(weight, MatrixView<const std::int32_t>(ids.data(), 1, ids.size())) + 1.0F);
  for (std::size_t j = 0; j < cols; ++j) {
    for (std::size_t i = 0; i < rows; ++i) REQUIRE(all(i, j) == stored.value(i, j));
    for (std::size_t i = 0; i < part.rows; ++i) REQUIRE(part(i, j) == stored.value(rows / 2 + i, j));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      REQUIRE(gathered(i, j) == T(2) * stored.value(static_cast<std::size_t>(ids[i]), j) + T(1));
    }
  }
}

}  // namespace

TEST_CASE("weight: values, rows by index and blocks of rows, wherever they are stored") {
  for (const std::size_t cols : {1U, 5U, 16U, 67U}) {
    for (const std::size_t shift : {0U, 1U, 3U}) {
      check_readers<BFloat16>(7, cols, shift, shift);
      check_readers<std::int8_t>(3, cols, shift, shift);
    }
    check_readers<float>(7, cols, 2, 0);
    check_readers<double>(5, cols, 1, 0);
  }
}

TEST_CASE("weight: blocks of rows, and blocks that lie together") {
  const StoredMatrix<std::int8_t> stored(6, 5, Normals(1).vector<float>(30), 2);
  const auto weight = stored.weight();
  const auto first = weight.rows_from(0, 2), second = weight.rows_from(2, 3), last = weight.rows_from(5, 1);
  CHECK(second.data == weight.data + 2 * 7);
  CHECK(second.scales == weight.scales + 2);
  CHECK(first.followed_by(second));
  CHECK(second.followed_by(last));
  CHECK(!first.followed_by(last));
  CHECK(!second.followed_by(first));
  CHECK(!Weight<BFloat16>().followed_by(Weight<BFloat16>()));
  CHECK(!Weight<BFloat16>());
  CHECK(!Weight<BFloat16>().rows_from(3, 2));
  auto other = second;
  other.scales = weight.scales;
  CHECK(!first.followed_by(other));
}

TEST_CASE("weight: what a mapped file holds is read in its place, floats between two addresses are refused") {
  alignas(8) std::byte bytes[64] = {};
  CHECK(Weight<BFloat16>::at(bytes + 1, 3, 5).rows == 3);
  CHECK(Weight<float>::at(bytes + 4, 2, 5).stored().data == reinterpret_cast<const float*>(bytes + 4));
  CHECK_THROWS_WITH_AS(Weight<float>::at(bytes + 2, 2, 5),
                       doctest::Contains("copy the tensor to memory of its own"), ArgumentError);
  CHECK_THROWS_AS(Weight<double>::at(bytes + 4, 1, 5), ArgumentError);
}

TEST_CASE("weight: a scale for each row") {
  const std::int8_t values[6] = {1, 2, 3, 4, 5, 6};
  const float scales[2] = {0.5F, 2.0F};
  const Weight<std::int8_t> weight(MatrixView<const std::int8_t>(values, 2, 3), {scales, 1, 2});
  Tensor<float, Extents<dyn, dyn>> out(2, 3);
  assign(out.matrix(), values_of(weight));
  CHECK(out(0, 2) == 1.5F);
  CHECK(out(1, 0) == 8.0F);
  CHECK_THROWS_WITH_AS(Weight<std::int8_t>(MatrixView<const std::int8_t>(values, 2, 3), {scales, 1, 1}),
                       doctest::Contains("a scale for each of 2 rows, found 1"), ShapeError);
}

TEST_CASE("weight: values are rounded once, to the nearest") {
  const std::vector<float> from{1.0F, 1.00390625F, 1.01171875F, -3.1415926F, 0.0F, 1e30F};
  std::vector<BFloat16> to(6);
  store_values(MatrixView<BFloat16>(to.data(), 2, 3), MatrixView<const float>(from.data(), 2, 3));
  for (std::size_t i = 0; i < 6; ++i) CHECK(to[i] == BFloat16(from[i]));
  CHECK(static_cast<float>(to[1]) == 1.0F);       // a tie, to even
  CHECK(static_cast<float>(to[2]) == 1.015625F);  // a tie, to even
  CHECK_THROWS_AS(
      store_values(MatrixView<BFloat16>(to.data(), 3, 2), MatrixView<const float>(from.data(), 2, 3)),
      ShapeError);
}

TEST_CASE("weight: the rounding of products is that of BFloat16, for every kind of number") {
  std::size_t wrong = 0;
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const std::uint32_t lower : {0x0U, 0x1U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
      const auto value = std::bit_cast<float>(upper << 16 | lower);
      const float rounded = detail::rounded_to_bfloat16(value);
      wrong += std::bit_cast<std::uint32_t>(rounded) != std::uint32_t{BFloat16(value).bits} << 16 ? 1U : 0U;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("weight: int8 is off by half a scale at most, and comes back unchanged") {
  const std::size_t rows = 7, cols = 131;
  std::vector<float> from = Normals(5).vector<float>(rows * cols);
  for (std::size_t j = 0; j < cols; ++j) from[j] = 0;               // a row of zeros
  for (std::size_t j = 0; j < cols; ++j) from[cols + j] *= 1e-30F;  // and a small one
  std::vector<std::int8_t> levels(rows * cols), again(rows * cols);
  std::vector<float> scales(rows), scales_again(rows), values(rows * cols);
  const MatrixView<std::int8_t> to(levels.data(), rows, cols);
  store_values(to, scales, MatrixView<const float>(from.data(), rows, cols));
  bool reached = false;
  for (std::size_t i = 0; i < rows; ++i) {
    float largest = 0;
    for (std::size_t j = 0; j < cols; ++j) {
      const float value = static_cast<float>(to(i, j)) * scales[i];
      values[i * cols + j] = value;
      CHECK(std::abs(value - from[i * cols + j]) <= 0.5001F * scales[i]);
      largest = std::max(largest, std::abs(from[i * cols + j]));
      reached = reached || to(i, j) == 127 || to(i, j) == -127;
    }
    CHECK(scales[i] == largest / 127.0F);
  }
  CHECK(reached);
  store_values(MatrixView<std::int8_t>(again.data(), rows, cols), scales_again,
               MatrixView<const float>(values.data(), rows, cols));
  CHECK(again == levels);
  from[4 * cols + 3] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(store_values(to, scales, MatrixView<const float>(from.data(), rows, cols)),
                       doctest::Contains("in row 4, column 3, which int8 cannot hold"), ArgumentError);
  scales.resize(3);
  CHECK_THROWS_AS(store_values(to, scales, MatrixView<const float>(from.data(), rows, cols)), ShapeError);
}

TEST_CASE("weight: a result of another shape is refused") {
  const StoredMatrix<BFloat16> stored(4, 3, Normals(1).vector<float>(12));
  Tensor<float, Extents<dyn, dyn>> out(3, 3);
  CHECK_THROWS_AS(assign(out.matrix(), values_of(stored.weight())), ShapeError);
  Tensor<float, Extents<dyn, dyn>> wide(4, 5);
  CHECK_THROWS_AS(assign(wide.matrix(), values_of(stored.weight())), ShapeError);
}

TEST_CASE("weight: a result that lies on the weight is evaluated first") {
  for (const std::size_t offset : {0U, 12U, 24U, 36U}) {
    std::vector<float> memory(12);
    auto* bytes = reinterpret_cast<std::byte*>(memory.data());
    const std::size_t at = std::min<std::size_t>(offset, 48 - 24);
    BFloat16 values[12];
    for (std::size_t i = 0; i < 12; ++i) values[i] = BFloat16(static_cast<float>(i + 1));
    std::memcpy(bytes + at, values, sizeof values);
    assign(MatrixView<float>(memory.data(), 4, 3), values_of(Weight<BFloat16>::at(bytes + at, 4, 3)));
    for (std::size_t i = 0; i < 12; ++i) CHECK(memory[i] == static_cast<float>(i + 1));
  }
}

namespace {

template <class Device>
void check_readers_on() {
  using Matrix = Tensor<float, Extents<dyn, dyn>>;
  const CopyThrough<Device> transfer;
  Matrix values(5, 7);
  Normals(3).fill(std::span<float>(values.data(), 35), 1.0);
  Tensor<BFloat16, Extents<dyn, dyn>> stored(5, 7);
  store_values(stored.matrix(), values.matrix());
  const auto there = transfer.put(stored);
  const Weight<BFloat16, Device> weight = there.matrix();
  WorkspaceOn<Device> workspace;
  const std::vector<std::int32_t> ids{4, 1, 4};
  Matrix rows(3, 7);
  auto gathered = transfer.put(rows), all = transfer.put(values);
  assign(gathered.matrix(), rows_at(weight, workspace.template placed<std::int32_t>(ids)));
  assign<AssignMode::Subtract>(all.matrix(), values_of(weight));
  const auto block = rows_as_values(weight, 2, 2, workspace);
  // Rows looked up into rows: an embedding beside a prompt.
  const std::vector<std::int32_t> to{3, 0, 1};
  auto scattered = transfer.put(values);
  assign(rows_at(scattered.matrix(), workspace.template placed<std::int32_t>(to)),
         rows_at(weight, workspace.template placed<std::int32_t>(ids)));
  const Matrix scattered_here = transfer.get(scattered);
  Matrix found(2, 7);
  Storage<float, Device>::read(found.data(), block.data, 14);
  const Matrix gathered_here = transfer.get(gathered), rest = transfer.get(all);
  for (std::size_t j = 0; j < 7; ++j) {
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(gathered_here(i, j) == static_cast<float>(stored(static_cast<std::size_t>(ids[i]), j)));
      CHECK(scattered_here(static_cast<std::size_t>(to[i]), j) == gathered_here(i, j));
    }
    for (std::size_t i = 0; i < 5; ++i) CHECK(rest(i, j) == values(i, j) - static_cast<float>(stored(i, j)));
    for (std::size_t i = 0; i < 2; ++i) CHECK(found(i, j) == static_cast<float>(stored(i + 2, j)));
  }
}

}  // namespace

TEST_CASE("weight: readers on the host and on the emulated device") {
  check_readers_on<Cpu>();
  check_readers_on<Emulated>();
}
