#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <sdlora/tensor/evaluate.hpp>
#include <vector>

using namespace sdlora;

namespace {

template <class T>
Tensor<T, Extents<dyn, dyn>> matrix(std::size_t rows, std::size_t cols, unsigned seed = 1) {
  Tensor<T, Extents<dyn, dyn>> tensor(rows, cols);
  unsigned state = seed;
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    state = state * 1664525U + 1013904223U;
    tensor.data()[i] = static_cast<T>(static_cast<double>(state >> 8) / 4194304.0 - 2.0);
  }
  return tensor;
}

template <class A, class B>
bool same_bits(const A& a, const B& b) {
  return a.extents() == b.extents() && std::memcmp(a.data(), b.data(), a.size() * sizeof(*a.data())) == 0;
}

}  // namespace

TEST_CASE_TEMPLATE("evaluate: assignments that combine with what is there", T, float, double) {
  for (const std::size_t n : {1U, 3U, 16U, 37U}) {
    const auto old = matrix<T>(5, n, 1);
    const auto x = matrix<T>(5, n, 2);
    const auto row = matrix<T>(1, n, 3);
    auto added = old, subtracted = old, multiplied = old;
    added += x * row;
    subtracted -= x;
    multiplied *= row;
    auto scaled = old;
    scaled *= 3;
    scaled += 0.5;
    scaled -= matrix<T>(5, 1, 4);  // a temporary
    auto divided = old;
    divided /= x + 9;
    divided /= 2;
    for (std::size_t i = 0; i < 5; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        CHECK(added(i, j) == doctest::Approx(old(i, j) + x(i, j) * row(0, j)).epsilon(1e-6));
        CHECK(subtracted(i, j) == old(i, j) - x(i, j));
        CHECK(multiplied(i, j) == old(i, j) * row(0, j));
        CHECK(divided(i, j) == old(i, j) / (x(i, j) + 9) / 2);
        CHECK(scaled(i, j) ==
              doctest::Approx(old(i, j) * 3 + T(0.5) - matrix<T>(5, 1, 4)(i, 0)).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("evaluate: a tensor takes over the shape of the expression, in place where it fits") {
  Tensor<float, Extents<dyn, dyn>> x(7, 11);
  const float* memory = x.data();
  x = matrix<float>(3, 5) + 1;
  CHECK(x.extents() == Extents<3, 5>{});
  CHECK(x.data() == memory);
  x = matrix<float>(13, 11) * 2;
  CHECK(x.extents() == Extents<13, 11>{});
  Tensor<float, Extents<13, 11>> fixed = x - 1;
  CHECK(fixed(12, 10) == x(12, 10) - 1);
  const auto taken = std::move(fixed);
  fixed = x * 2;  // after a move, memory is allocated again
  CHECK(fixed(12, 10) == x(12, 10) * 2);
  CHECK_THROWS_AS(fixed = matrix<float>(13, 10) + 1, ShapeError);
  Tensor<float, Extents<dyn>> empty;
  empty = empty + 1;
  CHECK(empty.size() == 0);
}

TEST_CASE("evaluate: into views, only the elements of the view") {
  auto target = matrix<float>(5, 23, 1);
  const auto before = target;
  const auto x = matrix<float>(5, 9, 2);
  assign(target.matrix().cols_from(7, 9), x * 2);
  assign<AssignMode::Add>(target.matrix().rows_from(3, 2), matrix<float>(1, 23, 3));
  const auto row = matrix<float>(1, 23, 3);
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 23; ++j) {
      float expected = j >= 7 && j < 16 ? x(i, j - 7) * 2 : before(i, j);
      if (i >= 3) expected += row(0, j);
      CHECK(target(i, j) == doctest::Approx(expected));
    }
  }
  Tensor<float, Extents<2, 3, 5>> cube;
  assign(cube.view(), matrix<float>(3, 1, 4));
  CHECK(cube(0, 2, 4) == matrix<float>(3, 1, 4)(2, 0));
  CHECK(cube(1, 1, 0) == matrix<float>(3, 1, 4)(1, 0));
}

TEST_CASE("evaluate: a shape that does not fit the destination is an error that names both") {
  auto x = matrix<float>(3, 5);
  CHECK_THROWS_WITH_AS(
      (x += matrix<float>(3, 4)),
      "assignment of an expression: the destination has extents (3, 5) but the expression has "
      "(3, 4); counted from the last, each extent of the expression must equal the destination's "
      "or be 1: give the destination the shape of the expression, or reshape or reduce the "
      "expression",
      ShapeError);
  auto row = matrix<float>(1, 5);
  CHECK_THROWS_AS((row += x), ShapeError);  // the destination is never repeated
  CHECK_THROWS_AS(assign(x.matrix(), matrix<float>(2, 5)), ShapeError);
  CHECK_THROWS_AS((Tensor<float, Extents<3, 4>>(x + 1)), ShapeError);
}

TEST_CASE("evaluate: the destination may appear in the expression in any role") {
  using T = float;
  const auto start = matrix<T>(5, 37, 1);
  const auto other = matrix<T>(5, 37, 2);

  SUBCASE("element by element") {
    auto x = start;
    x = x * other + x;
    CHECK(same_bits(x, evaluate(start * other + start)));
    x = start;
    x *= x;
    CHECK(same_bits(x, evaluate(start * start)));
  }
  SUBCASE("its own rows reduced") {
    auto x = start;
    x = x / sum(x * x) - max(x);
    CHECK(same_bits(x, evaluate(start / sum(start * start) - max(start))));
  }
  SUBCASE("a row of it repeated") {
    auto x = start;
    const auto row = [](auto& tensor, std::size_t i) { return tensor.matrix().rows_from(i, 1); };
    x = x - row(x, 0) * other;
    CHECK(same_bits(x, evaluate(start - row(start, 0) * other)));
    x = start;
    x += row(x, 2);
    CHECK(same_bits(x, evaluate(start + row(start, 2))));
  }
  SUBCASE("a column of it repeated") {
    auto x = start;
    const auto column = [](auto& tensor) { return tensor.matrix().cols_from(0, 1); };
    x = x - column(x);
    CHECK(same_bits(x, evaluate(start - column(start))));
  }
  SUBCASE("overlapping views") {
    auto x = start;
    assign(x.matrix().cols_from(1, 36), x.matrix().cols_from(0, 36) * 2);
    auto y = start;
    assign(y.matrix().rows_from(0, 4), y.matrix().rows_from(1, 4) + 1);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 5; ++i) {
      for (std::size_t j = 0; j < 37; ++j) {
        if (x(i, j) != (j == 0 ? start(i, 0) : start(i, j - 1) * 2)) ++wrong;
        if (y(i, j) != (i == 4 ? start(4, j) : start(i + 1, j) + 1)) ++wrong;
      }
    }
    CHECK(wrong == 0);
  }
  SUBCASE("in another shape") {
    auto x = start;
    x = sum(x);
    CHECK(same_bits(x, evaluate(sum(start))));
    auto row = matrix<T>(1, 37, 3);
    row = row + start;  // grows
    CHECK(same_bits(row, evaluate(matrix<T>(1, 37, 3) + start)));
    auto small = matrix<T>(1, 37, 3);
    small.resize(5, 37);
    small.resize(1, 37);
    assign(small.view(), matrix<T>(1, 37, 3));
    small = small * start;  // grows within its memory
    CHECK(same_bits(small, evaluate(matrix<T>(1, 37, 3) * start)));
    auto cut = start;
    cut = cut.matrix().rows_from(1, 2) * 2;
    CHECK(same_bits(cut, evaluate(start.matrix().rows_from(1, 2) * 2)));
  }
}

TEST_CASE("evaluate: only what would be overwritten before it is read goes through a copy") {
  auto x = matrix<float>(5, 37, 1);
  const auto other = matrix<float>(5, 37, 2);
  const float* p = x.data();
  const detail::Destination destination{p, p + 5 * 37, 5 * 37, 37, 37};
  const auto copies = [&](const auto& node) { return node.disturbed_by(destination); };
  CHECK_FALSE(copies(x * other + x));
  CHECK_FALSE(copies(x / sum(x * other) - max(x)));
  CHECK_FALSE(copies(other - other.matrix().rows_from(1, 1)));
  CHECK_FALSE(copies(x.matrix() + 1));
  CHECK_FALSE(copies(Tensor<float, Extents<dyn, dyn>>(x) * 2));
  CHECK(copies(other - x.matrix().rows_from(0, 1)));
  CHECK(copies(other - x.matrix().cols_from(36, 1)));
  CHECK(copies(other - sum(x.matrix().rows_from(4, 1))));
  // A block of columns of itself is in place; the same columns of a wider matrix, moved, are not.
  const auto block = x.matrix().cols_from(2, 9);
  const detail::Destination columns{block.data, block.data + 4 * 37 + 9, 5 * 9, 9, 37};
  CHECK_FALSE((block * 2).disturbed_by(columns));
  CHECK((x.matrix().cols_from(3, 9) * 2).disturbed_by(columns));
}

TEST_CASE("evaluate: the same bits for any number of threads and any place in memory") {
  const std::size_t threads = thread_count();
  const auto a = matrix<float>(613, 701, 1);
  const auto b = matrix<float>(1, 701, 2);
  const auto c = matrix<float>(613, 1, 3);
  std::vector<Tensor<float, Extents<dyn, dyn>>> results;
  for (const std::size_t count : {1U, 2U, 5U}) {
    set_thread_count(count);
    results.push_back(silu(a) * a + 1);
    results.push_back(a * b + exp(-square(c)) * rsqrt(mean(square(a)) + 1));
    results.push_back(sum(a * b));
  }
  set_thread_count(threads);
  for (std::size_t i = 3; i < results.size(); ++i) CHECK(same_bits(results[i], results[i % 3]));

  // A row alone has the bits of the row among others, batches and tails alike.
  const auto row = evaluate(silu(a.matrix().rows_from(600, 1)) * a.matrix().rows_from(600, 1) + 1);
  CHECK(std::memcmp(row.data(), results[0].data() + 600 * 701, 701 * sizeof(float)) == 0);
  for (std::size_t i = 0; i < 613; i += 97) {
    for (std::size_t j = 0; j < 701; j += 13) {
      CHECK(results[0](i, j) ==
            doctest::Approx(a(i, j) * a(i, j) / (1 + std::exp(-a(i, j))) + 1).epsilon(1e-5));
    }
  }
}

TEST_CASE("evaluate: a tensor that was moved from has nothing to combine with") {
  Tensor<float, Extents<3, 5>> x;
  const auto taken = std::move(x);
  CHECK_THROWS_WITH_AS(x += 1, doctest::Contains("the destination, of extents (3, 5), has no memory"),
                       ShapeError);
  CHECK_THROWS_AS(x *= taken, ShapeError);
  CHECK_THROWS_AS(assign(x.view(), taken), ShapeError);
  x.set_zero();
  x += 1;
  CHECK(x(2, 4) == 1);
}

TEST_CASE("evaluate: a number fills") {
  Tensor<double, Extents<dyn, dyn>> x(3, 5);
  x += 2;
  x *= 4;
  x -= 1;
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(x.data()[i] == 7);
}

TEST_CASE("evaluate: a number fills a block of columns, and nothing beside it") {
  auto x = matrix<float>(4, 7, 1);
  const auto before = x;
  assign(x.matrix().cols_from(2, 3), 5);
  assign<AssignMode::Add>(x.matrix().cols_from(2, 3), 0.5F);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 7; ++j) CHECK(x(i, j) == (j >= 2 && j < 5 ? 5.5F : before(i, j)));
  }
}
