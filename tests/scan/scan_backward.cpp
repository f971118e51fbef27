#include <sdlora/scan/scan_backward.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("scan_backward: the gradient of two steps, by hand") {
  // h0 = a0·s + b0, h1 = a1·h0 + b1; loss = 1·h0 + 10·h1.
  const double a[] = {2, 3}, h[] = {11, 40}, w[] = {1, 10}, s = 4;
  double d_a[2], d_b[2], d_s;
  const MatrixView<double> result(d_b, 2, 1);
  scan_backward(Sequential{}, {a, 2, 1}, {h, 2, 1}, {w, 2, 1}, {d_a, 2, 1}, result, {&d_s, 1, 1},
                {.initial = {&s, 1, 1}});
  CHECK(d_b[1] == 10);
  CHECK(d_b[0] == 31);
  CHECK(d_a[1] == 110);
  CHECK(d_a[0] == 124);
  CHECK(d_s == 62);
}

TEST_CASE("scan_backward: a step without a successor does not read its own a") {
  const float a = std::numeric_limits<float>::quiet_NaN(), h = 1, w = 2;
  float d_b = 0;
  const MatrixView<float> result(&d_b, 1, 1);
  scan_backward(Sequential{}, {&a, 1, 1}, {&h, 1, 1}, {&w, 1, 1}, {}, result);
  CHECK(d_b == 2);
}

TEST_CASE("scan_backward: what does not fit is refused") {
  std::vector<float> m(24);
  const MatrixView<float> x(m.data(), 4, 6), tall(m.data(), 6, 4);
  CHECK_THROWS_AS(scan_backward(Sequential{}, tall, x, x, x, x), ShapeError);
  CHECK_THROWS_AS(scan_backward(Sequential{}, x, x, x, tall, x), ShapeError);
  CHECK_THROWS_AS(scan_backward(Sequential{}, x, x, x, x, x, tall), ShapeError);
  CHECK_THROWS_AS(scan_backward(Sequential{}, x, x, x, x, x, {}, {.kind = ScanKind::exclusive}),
                  ArgumentError);
}
