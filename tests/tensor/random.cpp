#include <sdlora/tensor/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

using namespace sdlora;

TEST_CASE("random: numbers are a function of seed, stream and index") {
  constexpr RandomStream random(1, 2);
  static_assert(random.bits(3) == RandomStream(1, 2).bits(3));
  static_assert(random.bits(3) != random.bits(4));
  static_assert(random.bits(3) != RandomStream(1, 3).bits(3));
  static_assert(random.bits(3) != RandomStream(2, 2).bits(3));
  static_assert(random.uniform(0) >= 0.0 && random.uniform(0) < 1.0);
}

TEST_CASE("random: no collisions between neighbouring seeds, streams and indices") {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t stream = 0; stream < 10; ++stream) {
      for (std::uint64_t i = 0; i < 100; ++i) seen.insert(RandomStream(seed, stream).bits(i));
    }
  }
  CHECK(seen.size() == 10'000);
}

TEST_CASE("random: every bit is as often set as not") {
  const RandomStream random(0, 0);
  constexpr int count = 20'000;
  std::array<int, 64> set{};
  for (std::uint64_t i = 0; i < count; ++i) {
    for (std::size_t b = 0; b < 64; ++b) set[b] += static_cast<int>(random.bits(i) >> b & 1U);
  }
  for (const int n : set) CHECK(std::abs(n - count / 2) < 5 * std::sqrt(count) / 2);  // five deviations
}

TEST_CASE("random: uniform numbers fill [0, 1) evenly") {
  const RandomStream random(3, 1);
  constexpr int count = 100'000;
  std::array<int, 10> bins{};
  for (std::uint64_t i = 0; i < count; ++i) {
    const double u = random.uniform(i);
    REQUIRE(u >= 0.0);
    REQUIRE(u < 1.0);
    ++bins[static_cast<std::size_t>(u * 10)];
  }
  for (const int n : bins) CHECK(std::abs(n - count / 10) < 5 * std::sqrt(count * 0.09));
}

TEST_CASE("random: normal numbers have mean 0, variance 1 and the right tails") {
  const RandomStream random(4, 1);
  constexpr int count = 100'000;
  double sum = 0.0, square = 0.0, fourth = 0.0;
  int beyond = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double x = random.normal(i);
    REQUIRE(std::isfinite(x));
    sum += x;
    square += x * x;
    fourth += x * x * x * x;
    beyond += std::abs(x) > 1.959963984540054 ? 1 : 0;
  }
  CHECK(std::abs(sum / count) < 5.0 / std::sqrt(count));
  CHECK(square / count == doctest::Approx(1.0).epsilon(0.025));
  CHECK(fourth / count == doctest::Approx(3.0).epsilon(0.1));
  CHECK(beyond == doctest::Approx(0.05 * count).epsilon(0.08));
}

TEST_CASE("random: below a count") {
  const RandomStream random(5, 1);
  std::array<int, 7> seen{};
  for (std::uint64_t i = 0; i < 7000; ++i) ++seen.at(random.below(i, 7));
  for (const int n : seen) CHECK(std::abs(n - 1000) < 150);
  CHECK(random.below(1, 1) == 0);
  CHECK(random.below(2, std::uint64_t{1} << 63) < std::uint64_t{1} << 63);
}

TEST_CASE("random: a shuffle is a permutation, and another one for another stream") {
  std::vector<int> order(100);
  std::iota(order.begin(), order.end(), 0);
  std::vector<int> first = order, again = order, other = order;
  RandomStream(6, 0).shuffle(first.data(), first.size());
  RandomStream(6, 0).shuffle(again.data(), again.size());
  RandomStream(6, 1).shuffle(other.data(), other.size());
  CHECK(first == again);
  CHECK(first != other);
  CHECK(first != order);
  std::sort(first.begin(), first.end());
  CHECK(first == order);
  RandomStream(6, 0).shuffle(static_cast<int*>(nullptr), 0);

  // Every one of the 6 orders of three values comes about equally often.
  std::array<int, 6> counts{};
  for (std::uint64_t s = 0; s < 6000; ++s) {
    std::array<int, 3> values{0, 1, 2};
    RandomStream(7, s).shuffle(values.data(), 3);
    ++counts[static_cast<std::size_t>(values[0] * 2 + (values[1] > values[2] ? 1 : 0))];
  }
  for (const int n : counts) CHECK(std::abs(n - 1000) < 150);
}
