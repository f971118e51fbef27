#include <doctest/doctest.h>

#include <cstdint>
#include <sdlora/tensor/tensor.hpp>
#include <type_traits>
#include <utility>

using namespace sdlora;

namespace {

using Matrix = Tensor<float, Extents<dyn, dyn>>;
using Fixed = Tensor<float, Extents<3, 5>>;

template <class T>
concept hands_out_memory = requires(T&& tensor) { std::forward<T>(tensor).data(); } ||
                           requires(T&& tensor) { std::forward<T>(tensor).view(); } ||
                           requires(T&& tensor) { std::forward<T>(tensor).const_view(); } ||
                           requires(T&& tensor) { std::forward<T>(tensor).matrix(); } ||
                           requires(T&& tensor) { std::forward<T>(tensor).reshape(Extents<15>{}); };

static_assert(hands_out_memory<Matrix&> && hands_out_memory<const Matrix&>);
static_assert(!hands_out_memory<Matrix> && !hands_out_memory<const Matrix>);
static_assert(!hands_out_memory<Fixed> && !hands_out_memory<const Fixed>);

using View = TensorView<float, Extents<dyn, dyn>>;
using ConstView = TensorView<const float, Extents<dyn, dyn>>;
static_assert(std::is_convertible_v<Matrix&, View> && std::is_convertible_v<Matrix&, ConstView>);
static_assert(std::is_convertible_v<const Matrix&, ConstView> && !std::is_convertible_v<const Matrix&, View>);
static_assert(!std::is_convertible_v<Matrix, View> && !std::is_convertible_v<Matrix, ConstView>);
static_assert(!std::is_convertible_v<const Matrix, ConstView>);

// A view reads as const and with dynamic extents; the other way only on request.
static_assert(std::is_convertible_v<View, ConstView> && !std::is_constructible_v<View, ConstView>);
static_assert(std::is_convertible_v<Fixed::view_type, View> &&
              !std::is_convertible_v<View, Fixed::view_type>);
static_assert(std::is_constructible_v<Fixed::view_type, View>);
static_assert(!std::is_constructible_v<Fixed::view_type, TensorView<float, Extents<dyn, 4>>>);

static_assert(std::is_trivially_copyable_v<View> && std::is_trivially_copyable_v<Fixed::view_type>);
static_assert(std::is_trivially_copyable_v<TensorView<double, Extents<dyn, 3, dyn, 2>>>);
static_assert(std::is_nothrow_move_constructible_v<Matrix> && std::is_nothrow_move_assignable_v<Matrix>);

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % alignment == 0; }

void number(auto& tensor) {
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = static_cast<typename std::remove_cvref_t<decltype(tensor)>::value_type>(i + 1);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("tensor: zero-initialised, aligned, of the shape asked for", T, float, double,
                   std::int64_t) {
  const Tensor<T, Extents<7, 11>> fixed;
  Tensor<T, Extents<dyn, 11>> half(7);
  const Tensor<T, Extents<dyn, dyn>> free(7, 11);
  CHECK(aligned(fixed.data()));
  CHECK(aligned(half.data()));
  CHECK(aligned(free.data()));
  for (std::size_t i = 0; i < 77; ++i) {
    CHECK(fixed.data()[i] == T(0));
    CHECK(half.data()[i] == T(0));
    CHECK(free.data()[i] == T(0));
  }
  CHECK(half.extent(0) == 7);
  CHECK(half.extent(1) == 11);
  CHECK(free.extents() == fixed.extents());
  half.fill(T(3));
  CHECK(half(6, 10) == T(3));
  half.set_zero();
  CHECK(half(6, 10) == T(0));

  const Tensor<T, Extents<dyn>> empty;
  CHECK(empty.size() == 0);
  CHECK(empty.data() == nullptr);
}

TEST_CASE("tensor: uninitialised on request") {
  const Fixed fixed(uninitialized);
  const Matrix free(Extents<dyn, dyn>(3, 5), uninitialized);
  CHECK(fixed.capacity() == 15);
  CHECK(free.size() == 15);
}

TEST_CASE("tensor: row-major element access") {
  Tensor<double, Extents<dyn, 3, dyn>> tensor(2, 5);
  number(tensor);
  CHECK(tensor(0, 0, 0) == 1.0);
  CHECK(tensor(0, 1, 0) == 6.0);
  CHECK(tensor(1, 2, 4) == 30.0);
  CHECK(Tensor<double, Extents<2, 2>>()(1, 1) == 0.0);  // a value, not a reference into a temporary
  static_assert(!std::is_reference_v<decltype(std::declval<Matrix>()(0, 0))>);
}

TEST_CASE("tensor: as a matrix, leading extents are joined") {
  Tensor<float, Extents<2, 3, 5>> tensor;
  number(tensor);
  const MatrixView<float> matrix = tensor.matrix();
  CHECK(matrix.rows == 6);
  CHECK(matrix.cols == 5);
  CHECK(matrix.contiguous());
  CHECK(matrix(4, 3) == tensor(1, 1, 3));
  Tensor<float, Extents<dyn>> vector(7);
  CHECK(vector.matrix().rows == 1);
  CHECK(vector.matrix().cols == 7);
  static_assert(std::is_same_v<decltype(std::as_const(vector).matrix()), MatrixView<const float>>);
}

TEST_CASE("tensor: copies are deep, moves leave an empty tensor") {
  Matrix a(3, 5);
  number(a);
  Matrix b = a;
  b(0, 0) = -1;
  CHECK(a(0, 0) == 1);
  CHECK(b(2, 4) == 15);

  const float* memory = a.data();
  Matrix c = std::move(a);
  CHECK(c.data() == memory);
  CHECK(a.size() == 0);  // NOLINT(bugprone-use-after-move)
  CHECK(a.capacity() == 0);
  a = c;
  CHECK(a(2, 4) == 15);
  a = std::move(b);
  CHECK(a(0, 0) == -1);
  CHECK(b.size() == 0);  // NOLINT(bugprone-use-after-move)

  Fixed d;
  number(d);
  Fixed e = std::move(d);
  CHECK(e(2, 4) == 15);
  d = e;  // a moved-from tensor of static extents takes values again
  CHECK(d(2, 4) == 15);
  Matrix& self = c;
  c = self;
  CHECK(c(2, 4) == 15);
}

TEST_CASE("tensor: a copy of a moved-from tensor of static extents reads nothing") {
  Fixed a;
  const Fixed b = std::move(a);
  const Fixed c = a;  // NOLINT(bugprone-use-after-move)
  CHECK(c.data() == nullptr);
  CHECK(b.size() == 15);
}

TEST_CASE("tensor: resize allocates only beyond the capacity") {
  Matrix a(7, 11);
  const float* memory = a.data();
  a.resize(3, 5);
  CHECK(a.data() == memory);
  CHECK(a.size() == 15);
  a.resize(11, 7);
  CHECK(a.data() == memory);
  CHECK(a.capacity() == 77);
  a.resize(13, 7);
  CHECK(a.capacity() == 91);
  CHECK(aligned(a.data()));
  Matrix b(2, 2);
  number(b);
  memory = a.data();
  a = b;
  CHECK(a.data() == memory);
  CHECK(a(1, 1) == 4);
  CHECK_THROWS_AS((Tensor<float, Extents<dyn, 5>>(3).resize(3, 4)), ShapeError);
}

TEST_CASE("tensor: reshape keeps the values and refuses another size") {
  Matrix a(3, 4);
  number(a);
  a.reshape(Extents<dyn, dyn>(2, 6));
  CHECK(a(1, 5) == 12);
  const auto view = a.reshape(Extents<2, 3, 2>{});
  CHECK(view(1, 2, 1) == 12);
  CHECK(view.data() == a.data());
  CHECK_THROWS_WITH_AS(
      a.reshape(Extents<dyn, dyn>(5, 3)),
      "TensorView::reshape: extents (2, 6) hold 12 values, (5, 3) would hold 15; choose a shape "
      "of the same size",
      ShapeError);
}

TEST_CASE("tensor: a moved-from tensor of static extents gets memory again when it is set") {
  Fixed a;
  const Fixed b = std::move(a);
  CHECK(a.capacity() == 0);  // NOLINT(bugprone-use-after-move)
  a.fill(3);
  CHECK(a(2, 4) == 3);
  const Fixed c = std::move(a);
  a.set_zero();  // NOLINT(bugprone-use-after-move)
  CHECK(a(2, 4) == 0);
  CHECK(b(2, 4) == 0);
  CHECK(c(2, 4) == 3);
}

TEST_CASE("tensor: shapes that no memory holds are refused") {
  const std::size_t half = std::size_t{1} << 32;
  Matrix empty;
  CHECK_THROWS_AS(empty.reshape(Extents<dyn, dyn>(half, half)), ShapeError);
  CHECK_THROWS_AS(empty.view().reshape(Extents<dyn, dyn, dyn>(half, half, 4)), ShapeError);
  empty.reshape(Extents<dyn, dyn>(0, half));
  CHECK(empty.size() == 0);
  CHECK_THROWS_AS(Matrix(-1, 3), ShapeError);
  CHECK_THROWS_AS(Matrix(std::size_t{1} << 40, std::size_t{1} << 40), ShapeError);
  CHECK(Matrix(std::size_t{1} << 63, 0).size() == 0);
}

TEST_CASE("tensor: views of const and of static extents") {
  Fixed fixed;
  number(fixed);
  const View view = fixed.view();
  view(1, 1) = 70;
  CHECK(fixed(1, 1) == 70);
  const ConstView read = fixed;
  CHECK(read(1, 1) == 70);
  CHECK(read.extent(0) == 3);
  CHECK(Fixed::view_type(view)(2, 4) == 15);
  Matrix other(3, 4);
  CHECK_THROWS_AS(Fixed::view_type(View(other)), ShapeError);
  const Matrix copy(read);
  CHECK(copy(1, 1) == 70);
  CHECK(copy.data() != fixed.data());
}
