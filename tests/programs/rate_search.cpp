#include "support/rate_search.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

using namespace sdlora::examples;

namespace {

using Rates = std::vector<double>;

/// The search with an accuracy that falls off around `best`; more than 9 rates are too many.
ChosenRate around(double best, const Rates& rates) {
  std::size_t asked = 0;
  return choose_rate(rates, [&](double rate) {
    if (++asked > 9) throw std::runtime_error("no end");
    return 1.0 - std::abs(std::log10(rate / best));
  });
}

}  // namespace

TEST_CASE("rates: 1, 3, 10 and on, both ways") {
  double rate = 1e-3;
  for (const double next : {3e-3, 1e-2, 3e-2, 1e-1}) CHECK((rate = next_rate(rate, true)) == next);
  for (const double next : {3e-2, 1e-2, 3e-3, 1e-3, 3e-4}) CHECK((rate = next_rate(rate, false)) == next);
}

TEST_CASE("rates: the best, and beyond the first and the last as long as that is better") {
  const Rates three{1e-3, 3e-3, 1e-2};
  CHECK(around(3e-3, three).rate == 3e-3);
  CHECK(around(3e-3, three).tried == three);
  CHECK(around(1e-1, three).rate == 1e-1);
  CHECK(around(1e-1, three).tried == Rates{1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1});
  CHECK(around(1e-4, three).rate == 1e-4);
  CHECK(around(1e-4, three).tried == Rates{3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2});
  CHECK(around(1e-2, {1e-2}).tried == Rates{3e-3, 1e-2, 3e-2});
  CHECK(around(3e-3, {1e-2}).rate == 3e-3);
}

TEST_CASE("rates: where all are equally good the search ends") {
  std::size_t asked = 0;
  const ChosenRate chosen = choose_rate({1e-3, 3e-3, 1e-2}, [&](double rate) {
    if (++asked > 9) throw std::runtime_error("no end");
    return rate < 5e-3 ? 0.2 : 0.1;  // nothing learns, or too fast
  });
  CHECK(chosen.rate == 1e-3);
  CHECK(chosen.tried == Rates{3e-4, 1e-3, 3e-3, 1e-2});
}
