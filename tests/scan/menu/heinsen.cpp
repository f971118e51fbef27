#include <sdlora/scan/menu/heinsen.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;
using scan_checks::ColumnProblem;

TEST_CASE("Heinsen: agrees on its domain") {
  const auto mild = [](std::mt19937& g) { return scan_checks::uniform(g, 0.6, 1.0); };
  for (const std::size_t length : {0U, 1U, 2U, 61U, 120U}) {
    for (const std::size_t columns : {1U, 7U, 16U, 37U}) {
      scan_checks::check_columns(Heinsen{},
                                 ColumnProblem<float>(length, columns, mild, scan_checks::positive), 2e-5);
      scan_checks::check_columns(Heinsen{},
                                 ColumnProblem<double>(length, columns, mild, scan_checks::positive), 1e-13);
    }
  }
  // Here products of a underflow by far: what log space is for.
  scan_checks::check_columns(
      Heinsen{}, ColumnProblem<double>(65537, 2, scan_checks::decay, scan_checks::positive), 1e-9);
  const auto some_zeros = [](std::mt19937& g) { return g() % 2 == 0 ? 0.0 : 1.0; };
  scan_checks::check_columns(Heinsen{}, ColumnProblem<double>(50, 3, scan_checks::decay, some_zeros), 1e-13);
  const auto near_one = [](std::mt19937& g) { return 1.0 - 1e-7 * scan_checks::uniform(g, 0, 1); };
  scan_checks::check_columns(Heinsen{}, ColumnProblem<double>(4099, 2, near_one, scan_checks::positive),
                             1e-10);
  scan_checks::check_columns(
      Heinsen{}, ColumnProblem<double>(203, 21, mild, scan_checks::positive, {0, 1, 1, 40, 41, 203}), 1e-12);
}

TEST_CASE("Heinsen: any number of threads gives the same bits") {
  const ColumnProblem<float> p(250, 300, scan_checks::decay, scan_checks::positive, {0, 70, 71, 250}, 0);
  scan_checks::check_threads([&] {
    std::vector<float> h(p.a.size());
    scan(Heinsen{}, p.view(p.a), p.view(p.b), p.view(h),
         p.options(ScanKind::Inclusive, ScanDirection::Forward, true));
    return h;
  });
}

TEST_CASE("Heinsen: gradients, of a loss that no state lowers") {
  scan_checks::check_positive_gradients(Heinsen{});
  scan_checks::check_backward_refusal(Heinsen{}, 0.9F, -0.25F, "needs finite b ≥ 0 but found b = -0.25");
  scan_checks::check_backward_refusal(Heinsen{}, 0, 1, "needs finite a > 0 but found a = 0");
}

TEST_CASE("Heinsen: a refusal shows small values as they are") {
  scan_checks::check_refusal(Heinsen{}, -1e-9F, 1, 0, "found a = -1e-09");
  scan_checks::check_refusal(Heinsen{}, 0.5F, -1e-30F, 0, "found b = -1e-30");
  scan_checks::check_refusal(Heinsen{}, 0.5F, 1, -1e-9F, "found -1e-09");
}

TEST_CASE("Heinsen: refuses what is outside of its domain, and writes nothing") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (const float a : {0.0F, -0.5F, nan, infinity})
    scan_checks::check_refusal(Heinsen{}, a, 1, 0, "needs finite a > 0");
  for (const float b : {-1.0F, nan, infinity})
    scan_checks::check_refusal(Heinsen{}, 0.5F, b, 0, "needs finite b ≥ 0");
  for (const float h : {-1.0F, nan, infinity})
    scan_checks::check_refusal(Heinsen{}, 0.5F, 1, h, "initial state ≥ 0");
}

TEST_CASE("Heinsen: refuses sums of logarithms that leave no digits") {
  const auto half = [](std::mt19937&) { return 0.5; };
  const ColumnProblem<float> p(20000, 1, half, scan_checks::positive);  // Σ log a = −13,863
  std::vector<float> h(p.a.size());
  CHECK_THROWS_AS(scan(Heinsen{}, p.view(p.a), p.view(p.b), p.view(h)), ArgumentError);
}
