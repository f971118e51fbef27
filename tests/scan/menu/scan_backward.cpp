#include <sdlora/scan/menu/scan_backward.hpp>

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
  std::vector<float> to_b(24), to_a(24);
  const MatrixView<float> d_b(to_b.data(), 4, 6), d_a(to_a.data(), 4, 6), nowhere(nullptr, 4, 6);
  const auto refused = [](const char* what, const auto&... matrices) {
    CHECK_THROWS_WITH_AS(scan_backward(Sequential{}, matrices...), doctest::Contains(what), ShapeError);
  };
  refused("a is (6, 4) but d_b (4, 6)", tall, x, x, d_a, d_b);
  refused("d_a is (6, 4) but d_b (4, 6)", x, x, x, tall, d_b);
  refused("d_initial must be", x, x, x, d_a, d_b, tall);
  refused("d_initial has no data", x, x, x, d_a, d_b, MatrixView<float>(nullptr, 1, 6));
  refused("a has no data", nowhere, x, x, d_a, d_b);
  refused("d_h has no data", x, x, nowhere, d_a, d_b);
  refused("d_a is (0, 6)", x, x, x, MatrixView<float>(to_a.data(), 0, 6), d_b);
  refused("d_a has no data", x, x, x, nowhere, d_b);
  refused("d_b has no data", x, x, x, d_a, nowhere);
  refused("so they overlap", x, x, x, d_a, MatrixView<float>(to_b.data(), 4, 6, 5));
  CHECK_THROWS_AS(scan_backward(Sequential{}, x, x, x, d_a, d_b, {}, {.kind = ScanKind::Exclusive}),
                  ArgumentError);
  CHECK_THROWS_WITH_AS(scan_backward(Sequential{}, x, x, d_b, d_b, d_a),
                       "scan_backward: d_a shares memory with d_h; give it memory of its own", ArgumentError);
  CHECK_THROWS_WITH_AS(scan_backward(Sequential{}, x, x, x, d_b, d_b),
                       doctest::Contains("d_a shares memory with d_b"), ArgumentError);
  CHECK_THROWS_WITH_AS(scan_backward(Sequential{}, d_b, x, x, d_a, d_b),
                       doctest::Contains("d_b shares memory with a"), ArgumentError);
  scan_backward(Sequential{}, x, x, d_b, d_a, d_b);  // d_b may lie where d_h does
}
