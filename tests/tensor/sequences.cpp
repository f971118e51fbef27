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
