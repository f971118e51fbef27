#include <doctest/doctest.h>

#include <sdlora/tensor/extents.hpp>
#include <type_traits>

using sdlora::dyn;
using sdlora::Extents;

static_assert(Extents<2, 3>::is_static() && !Extents<2, dyn>::is_static());
static_assert(Extents<2, 3>{}.size() == 6 && Extents<2, dyn>(5).size() == 10 && Extents<>{}.size() == 1);
static_assert(Extents<2, dyn>(2, 5) == Extents<2, 5>{} && Extents<dyn, 4, dyn>(3, 5) == Extents<3, 4, 5>{});
static_assert(!(Extents<2, 3>{} == Extents<3, 2>{}) && !(Extents<2, 3>{} == Extents<2, 3, 1>{}));
static_assert(std::is_convertible_v<Extents<2, 3>, Extents<dyn, 3>>);
static_assert(!std::is_convertible_v<Extents<dyn, 3>, Extents<2, 3>>);
static_assert(std::is_constructible_v<Extents<2, 3>, Extents<dyn, 3>>);
static_assert(!std::is_constructible_v<Extents<2, 3>, Extents<dyn, 4>>);
static_assert(std::is_empty_v<Extents<2, 3, 5, 7>> && sizeof(Extents<2, dyn, 5>) == sizeof(std::size_t));

TEST_CASE("extents: dynamic ones are stored in order, static ones known") {
  const Extents<dyn, 3, dyn, 7> extents(2, 5);
  CHECK(extents.extent(0) == 2);
  CHECK(extents.extent(1) == 3);
  CHECK(extents.extent(2) == 5);
  CHECK(extents.extent(3) == 7);
  CHECK(extents.size() == 210);
  CHECK(to_string(extents) == "(2, 3, 5, 7)");
  CHECK(Extents<dyn, dyn>{}.size() == 0);
}

TEST_CASE("extents: a value that contradicts the type is an error that says so") {
  CHECK_THROWS_WITH_AS(
      (Extents<3, dyn>(4, 5)),
      "Extents: extent 0 is 3 in the type but was given as 4; pass the static value, or make "
      "the extent dyn",
      sdlora::ShapeError);
  CHECK_THROWS_AS((Extents<3, 5>(Extents<dyn, 5>(2))), sdlora::ShapeError);
}

TEST_CASE("extents: a size that no memory holds is refused, one of nothing is not") {
  const std::size_t half = std::size_t{1} << 32;
  CHECK(sdlora::detail::checked_size(Extents<3, dyn>(5), 4) == 15);
  CHECK(sdlora::detail::checked_size(Extents<dyn, dyn, dyn>(half, 0, half), 4) == 0);
  CHECK_THROWS_WITH_AS(
      sdlora::detail::checked_size(Extents<dyn, dyn>(half, half), 1, "Here"),
      doctest::Contains("Here: extents (4294967296, 4294967296) hold more values than memory"),
      sdlora::ShapeError);
  CHECK(sdlora::detail::checked_bytes(7, 8, "Here") == 56);
  CHECK_THROWS_AS(sdlora::detail::checked_bytes(std::size_t{1} << 61, 8, "Here"), sdlora::ShapeError);
}

TEST_CASE("extents: a matrix's shape in messages, and divisions that round up") {
  namespace detail = sdlora::detail;
  CHECK(detail::extents_text(3, 0) == "(3, 0)");
  static_assert(detail::ceil_div(std::size_t{0}, 8) == 0 && detail::ceil_div(std::size_t{1}, 8) == 1);
  static_assert(detail::ceil_div(16, 8) == 2 && detail::ceil_div(17, 8) == 3);
  static_assert(detail::round_up(std::size_t{0}, 8) == 0 && detail::round_up(16, 8) == 16 &&
                detail::round_up(17, 8) == 24);
}
