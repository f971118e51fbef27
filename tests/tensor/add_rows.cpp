#include <sdlora/tensor/add_rows.hpp>
#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/workspace.hpp>

#include "support/device_copies.hpp"
#include "support/numbers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class T>
using Matrix = Tensor<T, Extents<dyn, dyn>>;

/// Into the middle columns of a wider matrix, from those of another; bit for bit a loop over the rows.
template <class Device, class T = float>
void check_added(std::size_t rows, std::size_t cols, const std::vector<std::int32_t>& ids) {
  CAPTURE(cols);
  CAPTURE(ids.size());
  const CopyThrough<Device> transfer;
  WorkspaceOn<Device> workspace;
  Normals normals(cols);
  Matrix<T> expected(rows, cols + 3), x(ids.size(), cols + 2);
  normals.fill(std::span<T>(expected.data(), expected.size()), 1.0);
  normals.fill(std::span<T>(x.data(), x.size()), 1.0);
  auto out = transfer.put(expected);
  const auto device_x = transfer.put(x);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t j = 0; j < cols; ++j) expected(static_cast<std::size_t>(ids[i]), j + 1) += x(i, j + 2);
  }
  add_rows(out.matrix().cols_from(1, cols), device_x.matrix().cols_from(2, cols),
           workspace.template placed<std::int32_t>(ids));
  const Matrix<T> found = transfer.get(out);
  CHECK(std::equal(found.data(), found.data() + found.size(), expected.data()));
}

template <class Device>
void check_refused() {
  const CopyThrough<Device> transfer;
  WorkspaceOn<Device> workspace;
  auto out = transfer.put(Matrix<float>(4, 5));
  const auto x = transfer.put(Matrix<float>(3, 5));
  const std::vector<std::int32_t> ids{0, 3, 0};
  const auto placed = workspace.template placed<std::int32_t>(ids);
  CHECK_THROWS_WITH_AS(add_rows(out.matrix(), x.matrix().cols_from(0, 4), placed),
                       doctest::Contains("rows of 5 values"), ShapeError);
  CHECK_THROWS_WITH_AS(add_rows(out.matrix(), x.matrix(), placed.cols_from(0, 2)),
                       doctest::Contains("and 3 ids, found rows of 5 and 2 ids"), ShapeError);
  CHECK_THROWS_AS(add_rows(out.matrix(), x.matrix().rows_from(0, 2), placed), ShapeError);
  const Matrix<float> found = transfer.get(out);
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found.data()[i] == 0);
}

const std::vector<std::int32_t> repeated{70, 1, 33, 1, 0, 1, 65, 32, 70, 33, 1};

}  // namespace

TEST_CASE("add_rows: ids that repeat, in order") {
  for (const std::size_t cols : std::initializer_list<std::size_t>{1, 5, 256, 517})
    check_added<Cpu>(71, cols, repeated);
  check_added<Cpu, double>(71, 300, repeated);
  check_added<Cpu>(1, 3, {0, 0, 0, 0, 0});
  check_added<Emulated>(71, 1, repeated);
  check_added<Emulated>(71, 131, repeated);
  check_added<Emulated>(1, 3, {0, 0, 0, 0, 0});
}

TEST_CASE("add_rows: no row") {
  check_added<Cpu>(3, 4, {});
  check_added<Emulated>(3, 4, {});
}

TEST_CASE("add_rows: shapes that do not fit") {
  check_refused<Cpu>();
  check_refused<Emulated>();
}
