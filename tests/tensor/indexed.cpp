#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/indexed.hpp>
#include <sdlora/tensor/workspace.hpp>

#include "support/device_copies.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using Matrix = Tensor<float, Extents<dyn, dyn>>;

Matrix numbered(std::size_t rows, std::size_t cols) {
  Matrix m(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) m(i, j) = static_cast<float>(100 * i + j);
  }
  return m;
}

template <class Device>
void check_indexed(std::size_t cols) {
  const CopyThrough<Device> transfer;
  WorkspaceOn<Device> workspace;
  const Matrix host = numbered(6, cols);
  auto m = transfer.put(host);
  const std::vector<std::int32_t> rows{4, 0, 4, 5};
  const auto row_indices = workspace.template placed<std::int32_t>(rows);

  SUBCASE("rows are gathered, also in a larger expression") {
    auto out = transfer.put(Matrix(4, cols));
    assign(out.matrix(), 2.0F * rows_at(m.matrix(), row_indices) + 1.0F);
    const Matrix found = transfer.get(out);
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        CHECK(found(i, j) == 2 * host(static_cast<std::size_t>(rows[i]), j) + 1);
      }
    }
  }
  SUBCASE("rows are scattered, the others stay") {
    const std::vector<std::int32_t> distinct{3, 1};
    const auto values = transfer.put(numbered(2, cols));
    assign<AssignMode::Add>(rows_at(m.matrix(), workspace.template placed<std::int32_t>(distinct)),
                            values.matrix());
    const Matrix found = transfer.get(m);
    for (std::size_t j = 0; j < cols; ++j) {
      CHECK(found(3, j) == 300 + 2 * static_cast<float>(j));
      CHECK(found(1, j) == 200 + 2 * static_cast<float>(j));
      CHECK(found(2, j) == host(2, j));
    }
  }
  SUBCASE("columns, both ways, of a part of a matrix") {
    const std::vector<std::int64_t> columns{2, 0};
    const auto indices = workspace.template placed<std::int64_t>(columns);
    const auto part = m.matrix().cols_from(1, 4).rows_from(1, 5);
    auto out = transfer.put(Matrix(5, 2));
    assign(out.matrix(), columns_at(part, indices));
    const Matrix gathered = transfer.get(out);
    for (std::size_t i = 0; i < 5; ++i) {
      CHECK(gathered(i, 0) == host(i + 1, 3));
      CHECK(gathered(i, 1) == host(i + 1, 1));
    }
    assign<AssignMode::Subtract>(columns_at(part, indices), 1);
    const Matrix found = transfer.get(m);
    CHECK(found(5, 3) == host(5, 3) - 1);
    CHECK(found(5, 1) == host(5, 1) - 1);
    CHECK(found(5, 2) == host(5, 2));
    CHECK(found(0, 1) == host(0, 1));
  }
  SUBCASE("elements, both ways") {
    const auto c = static_cast<std::int64_t>(cols);
    const std::vector<std::int64_t> numbers{0, c + 3, 5 * c, 2};
    const MatrixView<const std::int64_t, Device> indices(
        workspace.template placed<std::int64_t>(numbers).data, 2, 2);
    auto out = transfer.put(Matrix(2, 2));
    assign(out.matrix(), elements_at(m.matrix(), indices));
    const Matrix gathered = transfer.get(out);
    CHECK(gathered(0, 0) == 0);
    CHECK(gathered(0, 1) == 103);
    CHECK(gathered(1, 0) == 500);
    CHECK(gathered(1, 1) == 2);
    assign(elements_at(m.matrix(), indices), out.matrix() * 2.0F);
    CHECK(transfer.get(m)(1, 3) == 206);
    CHECK(transfer.get(m)(1, 2) == 102);
  }
  SUBCASE("refused: another shape, and a matrix that is read and written") {
    auto out = transfer.put(Matrix(3, cols));
    CHECK_THROWS_AS(assign(out.matrix(), rows_at(m.matrix(), row_indices)), ShapeError);
    CHECK_THROWS_AS(assign(rows_at(m.matrix(), row_indices), m.matrix().rows_from(0, 4)), ArgumentError);
    CHECK_THROWS_AS(assign(rows_at(m.matrix(), row_indices), out.matrix()), ShapeError);
  }
  SUBCASE("nothing named, nothing done") {
    auto out = transfer.put(Matrix(0, cols));
    assign(out.matrix(), rows_at(m.matrix(), row_indices.cols_from(0, 0)));
    assign(rows_at(m.matrix(), row_indices.cols_from(0, 0)), 7);
    CHECK(transfer.get(m)(4, 0) == 400);
  }
}

}  // namespace

TEST_CASE("indexed elements on the host") {
  check_indexed<Cpu>(5);
  check_indexed<Cpu>(37);
}
TEST_CASE("indexed elements on the emulated device") { check_indexed<Emulated>(37); }
