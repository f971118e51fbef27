#include <doctest/doctest.h>

#include <cstddef>
#include <sdlora/tensor/evaluate.hpp>
#include <type_traits>
#include <utility>

using namespace sdlora;

namespace {

/// Distinct values, of both signs, in no order.
template <class T, class E>
Tensor<T, E> filled(const E& extents, unsigned seed = 1) {
  Tensor<T, E> tensor(extents);
  unsigned state = seed * 2654435761U + 12345U;
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    state = state * 1664525U + 1013904223U;
    tensor.data()[i] = static_cast<T>(static_cast<double>(state >> 8) / 4194304.0 - 2.0);
  }
  return tensor;
}

template <class T>
Tensor<T, Extents<dyn, dyn>> matrix(std::size_t rows, std::size_t cols, unsigned seed = 1) {
  return filled<T>(Extents<dyn, dyn>(rows, cols), seed);
}

using Rank4 = Extents<dyn, dyn, dyn, dyn>;

std::size_t place(const Rank4& own, std::size_t i, std::size_t j, std::size_t k, std::size_t l) {
  const std::size_t index[] = {i, j, k, l};
  std::size_t offset = 0;
  for (std::size_t d = 0; d < 4; ++d) offset = offset * own.extent(d) + (own.extent(d) == 1 ? 0 : index[d]);
  return offset;
}

// Nodes on views and what they are bound to may be copied to a device as bytes.
using View = TensorView<const float, Extents<dyn, dyn>>;
using Expression = decltype(silu(std::declval<View>() * 2.0F) + mean(std::declval<View>()));
static_assert(std::is_trivially_copyable_v<Expression>);
static_assert(std::is_trivially_copyable_v<
              decltype(std::declval<Expression>().bind(std::declval<const Extents<dyn, dyn>&>()))>);

template <class A, class B>
concept adds = requires(A a, B b) { a + b; };
using Floats = Tensor<float, Extents<dyn>>;
static_assert(adds<Floats&, Floats> && adds<Floats&, double> && adds<int, const Floats&>);
static_assert(!adds<Tensor<int, Extents<dyn>>&, int>);                 // element-wise on reals only
static_assert(!adds<decltype(std::declval<Floats&>() < 1), Floats&>);  // a mask is no number
static_assert(std::is_same_v<decltype(evaluate(std::declval<Floats&>() + 1.5))::value_type, float>);
static_assert(std::is_same_v<decltype(evaluate(std::declval<Tensor<float, Extents<3, 1>>&>() *
                                               std::declval<Tensor<float, Extents<5>>&>())),
                             Tensor<float, Extents<3, 5>>>);

// The scalar arithmetic of bound nodes is constexpr: kernels use the same functions.
constexpr float values[] = {1, 2, 3, 4, 5, 6};
constexpr float constant_evaluation() {
  const TensorView<const float, Extents<2, 3>> a(values, {});
  const TensorView<const float, Extents<3>> b(values, {});
  const auto expression = (a - b) * 2 + sum(a);
  return expression.bind(Extents<2, 3>{}).value(1, 2);
}
static_assert(constant_evaluation() == (6 - 3) * 2 + 15);

}  // namespace

TEST_CASE_TEMPLATE("expression: operators agree with plain loops at every length", T, float, double) {
  for (std::size_t n = 0; n <= 70; ++n) {
    const auto a = filled<T>(Extents<dyn>(n), 1);
    const auto b = filled<T>(Extents<dyn>(n), 2);
    const auto x = evaluate(a + b);
    const auto y = evaluate(a - b * T(2));
    const auto z = evaluate(-a / (3 + square(b)));
    const auto w = evaluate(max(a, b) - min(a, 0.5) + abs(b));
    const auto s = evaluate(select(a < b, a, 2) + select(a >= b, b, T(0)));
    REQUIRE(x.extent(0) == n);
    for (std::size_t i = 0; i < n; ++i) {
      const T p = a(i);
      const T q = b(i);
      CHECK(x(i) == p + q);
      CHECK(y(i) == doctest::Approx(p - q * 2));
      CHECK(z(i) == doctest::Approx(-p / (3 + q * q)));
      CHECK(w(i) == doctest::Approx((p > q ? p : q) - (p < T(0.5) ? p : T(0.5)) + (q < 0 ? -q : q)));
      CHECK(s(i) == (p < q ? p : T(2)) + (p >= q ? q : T(0)));
    }
  }
}

TEST_CASE_TEMPLATE("expression: broadcasting in every position, dynamic extents", T, float, double) {
  const std::size_t full[] = {2, 3, 5, 19};
  for (unsigned left = 0; left < 16; ++left) {
    for (unsigned right = 0; right < 16; ++right) {
      const auto extent = [&](unsigned mask, unsigned d) { return (mask >> d & 1U) != 0 ? full[d] : 1; };
      const Rank4 a_shape(extent(left, 0), extent(left, 1), extent(left, 2), extent(left, 3));
      const Rank4 b_shape(extent(right, 0), extent(right, 1), extent(right, 2), extent(right, 3));
      const unsigned both = left | right;
      const auto a = filled<T>(a_shape, 1);
      const auto b = filled<T>(b_shape, 2);
      const auto c = evaluate(a + b);
      REQUIRE(c.extents() == Rank4(extent(both, 0), extent(both, 1), extent(both, 2), extent(both, 3)));
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < c.extent(0); ++i) {
        for (std::size_t j = 0; j < c.extent(1); ++j) {
          for (std::size_t k = 0; k < c.extent(2); ++k) {
            for (std::size_t l = 0; l < c.extent(3); ++l) {
              const T expected = a.data()[place(a_shape, i, j, k, l)] + b.data()[place(b_shape, i, j, k, l)];
              if (c(i, j, k, l) != expected) ++wrong;
            }
          }
        }
      }
      CHECK_MESSAGE(wrong == 0, "left " << left << " right " << right);
    }
  }
}

TEST_CASE("expression: broadcasting with static extents and missing ones") {
  const auto a = filled<float>(Extents<7, 1, 5>{}, 1);
  const auto b = filled<float>(Extents<3, 1>{}, 2);
  const auto c = filled<float>(Extents<5>{}, 3);
  const auto d = filled<float>(Extents<dyn, 3, dyn>(7, 5), 4);
  const Tensor<float, Extents<7, 3, 5>> e = a * b + c - d;
  for (std::size_t i = 0; i < 7; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t k = 0; k < 5; ++k) {
        CHECK(e(i, j, k) == doctest::Approx(a(i, 0, k) * b(j, 0) + c(k) - d(i, j, k)));
      }
    }
  }
}

TEST_CASE("expression: temporaries are moved in and live as long as the node") {
  const auto a = matrix<float>(3, 17, 1);
  const auto make = [&] {
    auto local = matrix<float>(3, 17, 2);
    return a + std::move(local) * matrix<float>(1, 17, 3);
  };
  const auto kept = make();
  const auto copied = kept;  // a copy owns copies
  const auto x = evaluate(kept);
  const auto y = evaluate(2 * copied);
  const auto p = matrix<float>(3, 17, 2);
  const auto q = matrix<float>(1, 17, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 17; ++j) {
      CHECK(x(i, j) == doctest::Approx(a(i, j) + p(i, j) * q(0, j)));
      CHECK(y(i, j) == doctest::Approx(2 * x(i, j)));
    }
  }
}

TEST_CASE("expression: a temporary's memory is taken over, not copied; an lvalue's is read when assigned") {
  auto temporary = matrix<float>(3, 5);
  const float* memory = temporary.data();
  const auto node = std::move(temporary) + 1;
  CHECK(temporary.size() == 0);  // NOLINT(bugprone-use-after-move)
  CHECK(node.bind(Extents<dyn, dyn>(3, 5)).operands.a.data == memory);

  auto referenced = matrix<float>(3, 5);
  const auto late = referenced * 1;
  referenced.fill(4);
  CHECK(evaluate(late)(2, 4) == 4);
}

TEST_CASE("expression: matrix views with a stride are operands") {
  const auto a = matrix<double>(5, 23, 1);
  const MatrixView<const double> columns = a.matrix().cols_from(3, 17);
  const auto b = filled<double>(Extents<17>{}, 2);
  const auto c = evaluate(columns * b + columns);
  REQUIRE(c.extents() == Extents<5, 17>{});
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 17; ++j) CHECK(c(i, j) == doctest::Approx(a(i, j + 3) * b(j) + a(i, j + 3)));
  }
}

TEST_CASE("expression: shapes that do not broadcast are refused where they are joined") {
  const auto a = matrix<float>(3, 5);
  const auto b = matrix<float>(3, 4);
  CHECK_THROWS_WITH_AS(
      a * b,
      "operator*: operands of extents (3, 5) and (3, 4) do not broadcast; counted from the last, "
      "each pair of extents must be equal or one of them 1: reshape or reduce one operand",
      ShapeError);
  CHECK_THROWS_AS(a + matrix<float>(2, 5), ShapeError);
  CHECK_THROWS_AS(max(a, matrix<float>(2, 1)), ShapeError);
  CHECK_THROWS_AS(select(a < 0, a, b), ShapeError);
  CHECK_THROWS_AS(fma(a, a, b), ShapeError);
  CHECK_THROWS_AS((a + filled<float>(Extents<2, 1>{})), ShapeError);
}

TEST_CASE("expression: the scalar arithmetic of bound nodes agrees with the batches") {
  const auto a = matrix<float>(3, 19, 1);
  const auto b = matrix<float>(1, 19, 2);
  const auto expression = silu(a) * sigmoid(b) + softplus(a - b) / (1 + sum(exp(b))) - max(a);
  const auto c = evaluate(expression);
  const auto bound = expression.bind(Extents<dyn, dyn>(3, 19));
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 19; ++j) CHECK(c(i, j) == doctest::Approx(bound.value(i, j)).epsilon(1e-5));
  }
}
