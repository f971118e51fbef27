#include <doctest/doctest.h>

#include <sdlora/tensor/broadcast.hpp>
#include <type_traits>

using namespace sdlora;
using namespace sdlora::detail;

namespace {

struct Operation {
  static constexpr const char* name = "operation";
};

template <class A, class B>
using Joined = decltype(broadcast<Operation>(A{}, B{}));

static_assert(std::is_same_v<Joined<Extents<3, 5>, Extents<3, 5>>, Extents<3, 5>>);
static_assert(std::is_same_v<Joined<Extents<3, 5>, Extents<5>>, Extents<3, 5>>);
static_assert(std::is_same_v<Joined<Extents<3, 1>, Extents<1, 5>>, Extents<3, 5>>);
static_assert(std::is_same_v<Joined<Extents<>, Extents<3, 5>>, Extents<3, 5>>);
static_assert(std::is_same_v<Joined<Extents<7, 1, 5>, Extents<3, 1>>, Extents<7, 3, 5>>);
static_assert(
    std::is_same_v<decltype(broadcast<Operation>(Extents<dyn, 5>(3), Extents<3, 1>{})), Extents<3, 5>>);
static_assert(std::is_same_v<decltype(broadcast<Operation>(Extents<dyn>(3), Extents<1>{})), Extents<dyn>>);
static_assert(std::is_same_v<decltype(broadcast<Operation>(Extents<dyn>(3), Extents<dyn>(1))), Extents<dyn>>);
static_assert(broadcast<Operation>(Extents<dyn, dyn>(3, 1), Extents<dyn>(5)) == Extents<3, 5>{});

static_assert(std::is_same_v<ReplaceLast<Extents<3, dyn>, 1>::type, Extents<3, 1>>);
static_assert(ReplaceLast<Extents<dyn, 5>, dyn>::from(Extents<dyn, 5>(3), 7) == Extents<3, 7>{});

}  // namespace

TEST_CASE("broadcast: a row of the result finds its place in the operand") {
  const Extents<dyn, dyn, dyn, dyn> result(2, 3, 5, 7);
  const Extents<dyn, dyn, dyn> operand(3, 1, 7);  // = (1, 3, 1, 7)
  const RowMap<3> map(operand, 7, result);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t k = 0; k < 5; ++k) CHECK(map.offset((i * 3 + j) * 5 + k) == j * 7);
    }
  }
  const RowMap<3> all(result, 7, result);
  CHECK(all.offset(29) == 29 * 7);
  const RowMap<3> none(Extents<7>{}, 7, result);
  CHECK(none.offset(29) == 0);
  const RowMap<1> strided(Extents<dyn, dyn>(3, 5), 8, Extents<dyn, dyn>(3, 5));
  CHECK(strided.offset(2) == 16);
}

TEST_CASE("broadcast: dynamic shapes that do not fit are an error that names both") {
  CHECK_THROWS_WITH_AS(
      (broadcast<Operation>(Extents<dyn, dyn>(3, 5), Extents<dyn>(4))),
      "operation: operands of extents (3, 5) and (4) do not broadcast; counted from the last, "
      "each pair of extents must be equal or one of them 1: reshape or reduce one operand",
      ShapeError);
  CHECK_THROWS_AS((broadcast<Operation>(Extents<dyn, 5>(3), Extents<2, 1>{})), ShapeError);
  CHECK_THROWS_AS((broadcast<Operation>(Extents<dyn>(0), Extents<dyn>(2))), ShapeError);
  CHECK(broadcast<Operation>(Extents<dyn>(0), Extents<dyn>(1)) == Extents<0>{});
}
