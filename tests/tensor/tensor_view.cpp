#include <doctest/doctest.h>

#include <sdlora/tensor/tensor_view.hpp>
#include <type_traits>

using namespace sdlora;

namespace {

static_assert(std::is_trivially_copyable_v<TensorView<double, Extents<dyn, 3, dyn, 2>>>);
static_assert(std::is_trivially_copyable_v<TensorView<const float, Extents<dyn>, Cuda>>);
static_assert(sizeof(TensorView<float, Extents<dyn, 3>>) == sizeof(float*) + sizeof(std::size_t));

// The device is part of the type; no conversion crosses it.
static_assert(
    !std::is_constructible_v<TensorView<float, Extents<3>, Cuda>, TensorView<float, Extents<3>, Cpu>>);
// Nor does one change the type of the values, the rank or a static extent.
static_assert(!std::is_constructible_v<TensorView<double, Extents<3>>, TensorView<float, Extents<3>>>);
static_assert(!std::is_constructible_v<TensorView<float, Extents<3>>, TensorView<float, Extents<3, 1>>>);
static_assert(!std::is_constructible_v<TensorView<float, Extents<3>>, TensorView<float, Extents<4>>>);

constexpr float values[] = {1, 2, 3, 4, 5, 6};
constexpr TensorView<const float, Extents<2, 3>> constant(values, {});
static_assert(constant(1, 0) == 4 && constant.size() == 6 && constant.matrix()(0, 2) == 3);

}  // namespace

TEST_CASE("tensor_view: assigning a view moves the view, not the values") {
  float a[] = {1, 2, 3};
  float b[] = {4, 5, 6};
  TensorView<float, Extents<dyn>> view(a, Extents<dyn>(3));
  const TensorView<float, Extents<dyn>> other(b, Extents<dyn>(3));
  view = other;
  CHECK(view(0) == 4);
  CHECK(a[0] == 1);
}

TEST_CASE("tensor_view: other shapes and matrices of the same memory") {
  float a[30];
  for (int i = 0; i < 30; ++i) a[i] = static_cast<float>(i);
  const TensorView<float, Extents<dyn, 3, dyn>> view(a, Extents<dyn, 3, dyn>(2, 5));
  CHECK(view(1, 2, 4) == 29);
  CHECK(view.matrix().rows == 6);
  CHECK(view.matrix()(5, 4) == 29);
  CHECK(view.reshape(Extents<5, 6>{})(4, 5) == 29);
  CHECK_THROWS_AS(view.reshape(Extents<5, 5>{}), ShapeError);
  const TensorView<const float, Extents<2, 3, 5>> fixed(view);
  CHECK(fixed(1, 0, 0) == 15);
  CHECK_THROWS_WITH_AS(
      (TensorView<float, Extents<2, 3, 4>>(view)),
      "Extents: extent 2 is 4 in the type but was given as 5; pass the static value, or make the "
      "extent dyn",
      ShapeError);
}
