#include <doctest/doctest.h>

#include <sdlora/training/best_evaluation.hpp>

#include <cmath>
#include <limits>

using namespace sdlora;

TEST_CASE("the smallest evaluation is the best, the first of equal ones, and what is no number never") {
  BestEvaluation<float> best;
  CHECK(best.step == 0);
  CHECK_FALSE(best.update(2, std::nan("")));
  CHECK_FALSE(best.update(4, std::numeric_limits<double>::infinity()));
  CHECK(best.step == 0);
  CHECK(best.since == 2);
  CHECK(best.update(6, 3.5));
  CHECK(best.since == 0);
  CHECK_FALSE(best.update(8, 3.5));
  CHECK_FALSE(best.update(10, std::nan("")));
  CHECK(best.step == 6);
  CHECK(best.value == 3.5);
  CHECK(best.since == 2);
  CHECK(best.update(12, -1.0));
  CHECK(best.step == 12);
  CHECK(best.value == -1.0);
  CHECK(best.since == 0);
  CHECK(best.parameters.empty());  // those are its owner's
}
