#include <sdlora/scan/menu/cumsum_ratio.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;
using scan_checks::ColumnProblem;

TEST_CASE("CumsumRatio: agrees on its domain") {
  const auto mild = [](std::mt19937& g) { return scan_checks::uniform(g, 0.6, 1.0); };
  for (const std::size_t length : {0U, 1U, 2U, 61U, 120U}) {
    for (const std::size_t columns : {1U, 7U, 16U, 37U}) {
      scan_checks::check_columns(CumsumRatio{},
                                 ColumnProblem<float>(length, columns, mild, scan_checks::inputs), 2e-5);
      scan_checks::check_columns(CumsumRatio{},
                                 ColumnProblem<double>(length, columns, mild, scan_checks::inputs), 1e-13);
    }
  }
  const auto either_sign = [](std::mt19937& g) {
    return (g() % 2 == 0 ? -1 : 1) * scan_checks::uniform(g, 0.5, 1.0);
  };
  scan_checks::check_columns(CumsumRatio{}, ColumnProblem<float>(60, 9, either_sign, scan_checks::inputs),
                             1e-5);
}

TEST_CASE("CumsumRatio: a near one, and packed sequences, each with products of its own") {
  const auto near_one = [](std::mt19937& g) { return 1.0 - 1e-7 * scan_checks::uniform(g, 0, 1); };
  scan_checks::check_columns(CumsumRatio{}, ColumnProblem<double>(4099, 2, near_one, scan_checks::inputs),
                             1e-11);
  const auto mild = [](std::mt19937& g) { return scan_checks::uniform(g, 0.6, 1.0); };
  scan_checks::check_columns(
      CumsumRatio{}, ColumnProblem<double>(203, 21, mild, scan_checks::inputs, {0, 1, 1, 40, 41, 203}),
      1e-12);
}

TEST_CASE("CumsumRatio: any number of threads gives the same bits") {
  const auto mild = [](std::mt19937& g) { return scan_checks::uniform(g, 0.6, 1.0); };
  const ColumnProblem<float> p(250, 300, mild, scan_checks::inputs, {0, 120, 121, 250}, 0);
  scan_checks::check_threads([&] {
    std::vector<float> h(p.a.size());
    scan(CumsumRatio{}, p.view(p.a), p.view(p.b), p.view(h),
         p.options(ScanKind::Inclusive, ScanDirection::Forward, true));
    return h;
  });
}

TEST_CASE("CumsumRatio: gradients, but none across a = 0") {
  scan_checks::check_positive_gradients(CumsumRatio{});
  scan_checks::check_backward_refusal(CumsumRatio{}, 0, 1, "needs finite a ≠ 0 and finite b but found a = 0");
}

TEST_CASE("CumsumRatio: refuses what is outside of its domain, and writes nothing") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (const float a : {0.0F, nan, infinity})
    scan_checks::check_refusal(CumsumRatio{}, a, 1, 0, "needs finite a ≠ 0 and finite b but found a = ");
  for (const float b : {nan, infinity})
    scan_checks::check_refusal(CumsumRatio{}, 0.5F, b, 0, "found a = 0.500000, b = ");
  scan_checks::check_refusal(CumsumRatio{}, 0.5F, 1, nan, "the sum overflowed");
}

TEST_CASE("CumsumRatio: refuses running products near the end of the range") {
  const auto decay = [](std::mt19937&) { return 0.8; };
  const ColumnProblem<float> p(400, 1, decay, scan_checks::positive);  // 0.8^400 = 2^−129
  std::vector<float> h(p.a.size());
  CHECK_THROWS_WITH_AS(scan(CumsumRatio{}, p.view(p.a), p.view(p.b), p.view(h)),
                       doctest::Contains("the running product of a left [2^-100, 2^100]"), ArgumentError);
}
