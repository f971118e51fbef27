#include "support/finite_differences.hpp"

#include <sdlora/model/sequence_losses.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class L>
void check_loss(const L& loss, std::size_t rows, std::size_t cols) {
  std::vector<double> y = Normals(4).vector<double>(rows * cols), d_y(rows * cols, 9.0);
  const MatrixView<const double> view(y.data(), rows, cols);
  const Loss found = loss(view, MatrixView<double>(d_y.data(), rows, cols));
  CHECK(found.sum == loss(view, MatrixView<double>{}).sum);
  check_gradient("y", y, d_y, [&] { return loss(view, MatrixView<double>{}).sum; });
}

}  // namespace

TEST_CASE("sequence losses: values and gradients") {
  const std::vector<double> target = Normals(3).vector<double>(21);
  check_loss(SquaredError<double>{{target.data(), 7, 3}}, 7, 3);
  const std::int32_t labels[] = {2, 0, 1};
  check_loss(ClassError{labels}, 3, 5);

  const double y[] = {1.0, 2.0, 3.0, 5.0}, t[] = {1.0, 1.0, 1.0, 2.0};
  const Loss squares = SquaredError<double>{{t, 2, 2}}({y, 2, 2}, {});
  CHECK(squares.sum == 0.0 + 1.0 + 4.0 + 9.0);
  CHECK(squares.count == 4);
  const Loss classes = ClassError{std::span(labels).first(1)}(MatrixView<const double>(y, 1, 3), {});
  CHECK(classes.sum == doctest::Approx(std::log(std::exp(-2.0) + std::exp(-1.0) + 1.0)));
  CHECK(classes.count == 1);
}

TEST_CASE("sequence losses: targets that do not fit") {
  const float y[6] = {};
  const std::int32_t labels[] = {0, 3};
  const MatrixView<const float> view(y, 2, 3);
  CHECK_THROWS_AS((SquaredError<float>{{y, 3, 2}}(view, {})), ShapeError);
  CHECK_THROWS_AS(ClassError{labels}(view, MatrixView<float>{}), ArgumentError);
  CHECK_THROWS_AS(ClassError{std::span(labels).first(1)}(view, MatrixView<float>{}), ShapeError);
}
