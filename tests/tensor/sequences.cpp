#include <sdlora/tensor/sequences.hpp>

#include <doctest/doctest.h>

#include <array>

using namespace sdlora;

TEST_CASE("sequences: rows, first rows and lengths") {
  constexpr static std::array<std::size_t, 5> offsets{0, 3, 3, 4, 11};
  constexpr Sequences sequences{offsets};
  static_assert(sequences.count() == 4 && sequences.rows() == 11);
  static_assert(sequences.first(2) == 3 && sequences.length(1) == 0 && sequences.length(3) == 7);
  CHECK(sequences.length(0) == 3);
}

TEST_CASE("sequences: none") {
  CHECK(Sequences{}.count() == 0);
  CHECK(Sequences{}.rows() == 0);
  constexpr static std::array<std::size_t, 1> only_zero{0};
  CHECK(Sequences{only_zero}.count() == 0);
  CHECK(Sequences{only_zero}.rows() == 0);
}

TEST_CASE("sequences: those that are not of the rows are refused") {
  constexpr static std::array<std::size_t, 3> good{0, 3, 5}, late{1, 3, 5}, falling{0, 7, 5};
  const auto check = [](const Sequences& sequences) { detail::check_sequences("scan", sequences, 5); };
  check({});
  check({good});
  CHECK_THROWS_WITH_AS(
      check({late}), doctest::Contains("scan: sequences must be ascending offsets from 0 to 5"), ShapeError);
  CHECK_THROWS_WITH_AS(check({falling}), doctest::Contains("fall from 7 to 5 at sequence 1"), ShapeError);
}
