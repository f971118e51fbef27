#include <doctest/doctest.h>

#include <sdlora/tensor/random.hpp>
#include <sdlora/training/gradient_tree.hpp>

#include "io/support.hpp"

#include <bit>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

using namespace sdlora;

namespace {

template <class T>
struct Part {
  std::vector<T> gradient;
  double loss = 0.0;
};

template <class T>
Part<T> random_part(std::size_t size, std::size_t number) {
  const RandomStream random(number, 31);
  Part<T> part{{}, random.normal(size)};
  for (std::size_t i = 0; i < size; ++i) part.gradient.push_back(static_cast<T>(random.normal(i)));
  return part;
}

/// The definition: the first 2^k parts, 2^k the largest power of two below their number, plus the others.
template <class T>
Part<T> tree_sum(std::span<const Part<T>> parts) {
  if (parts.size() == 1) return parts[0];
  const std::size_t first = std::bit_floor(parts.size() - 1);
  Part<T> sum = tree_sum(parts.first(first));
  const Part<T> rest = tree_sum(parts.subspan(first));
  for (std::size_t i = 0; i < sum.gradient.size(); ++i) sum.gradient[i] += rest.gradient[i];
  sum.loss += rest.loss;
  return sum;
}

template <class T>
MatrixView<const T> row(const std::vector<T>& values) {
  return {values.data(), 1, values.size()};
}
template <class T>
MatrixView<T> row(std::vector<T>& values) {
  return {values.data(), 1, values.size()};
}

template <class T>
Part<T> summed(GradientTree<T>& tree, const std::vector<Part<T>>& parts) {
  Part<T> last = parts.back();
  for (std::size_t p = 0; p + 1 < parts.size(); ++p) {
    tree.add(row(parts[p].gradient), parts[p].loss);
    CHECK(tree.count() == p + 1);
  }
  last.loss = tree.finish(row(last.gradient), last.loss);
  CHECK(tree.count() == 0);
  return last;
}

template <class T>
void check_all_numbers(std::size_t size) {
  CAPTURE(size);
  std::size_t differing = 0;
  GradientTree<T> tree;
  for (const std::size_t count : {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 9U, 13U, 16U, 17U, 31U, 33U}) {
    CAPTURE(count);
    std::vector<Part<T>> parts;
    for (std::size_t p = 0; p < count; ++p) parts.push_back(random_part<T>(size, p));
    const Part<T> expected = tree_sum(std::span<const Part<T>>(parts));
    GradientTree<T> fresh;
    for (GradientTree<T>* each : {&tree, &fresh}) {  // one that was used before, and a new one
      const Part<T> found = summed(*each, parts);
      CHECK(found.gradient == expected.gradient);
      CHECK(found.loss == expected.loss);
    }
    CHECK(fresh.partial_sums() + 1 == static_cast<std::size_t>(std::bit_width(count)));  // log2
    Part<T> in_turn = parts[0];
    for (std::size_t p = 1; p < count; ++p) in_turn.loss += parts[p].loss;
    differing += in_turn.loss != expected.loss ? 1 : 0;
  }
  CHECK(differing > 0);
}

}  // namespace

TEST_CASE("gradient tree: any number of micro-batches has the bits of the tree that is defined") {
  check_all_numbers<float>(1);
  check_all_numbers<float>(7);
  check_all_numbers<double>(61);
}

TEST_CASE("gradient tree: aligned halves can be summed apart") {
  std::vector<Part<float>> parts;
  for (std::size_t p = 0; p < 8; ++p) parts.push_back(random_part<float>(5, p));
  GradientTree<float> whole, half;
  const std::vector<Part<float>> left(parts.begin(), parts.begin() + 4),
      right(parts.begin() + 4, parts.end());
  const std::vector<Part<float>> halves{summed(half, left), summed(half, right)};
  const Part<float> expected = summed(whole, parts);
  const Part<float> found = summed(half, halves);
  CHECK(found.gradient == expected.gradient);
  CHECK(found.loss == expected.loss);
}

TEST_CASE("gradient tree: the same bits for any number of threads") {
  std::vector<Part<float>> parts;
  for (std::size_t p = 0; p < 6; ++p) parts.push_back(random_part<float>((std::size_t{1} << 17) + 13, p));
  GradientTree<float> tree;
  const std::size_t threads = thread_count();
  set_thread_count(1);
  const Part<float> one = summed(tree, parts);
  set_thread_count(3);
  const Part<float> three = summed(tree, parts);
  set_thread_count(threads);
  CHECK(one.gradient == three.gradient);
  CHECK(one.gradient == tree_sum(std::span<const Part<float>>(parts)).gradient);
}

TEST_CASE("gradient tree: a step that failed is forgotten; gradients of another size are refused") {
  GradientTree<double> tree;
  const std::vector<double> some{1.0, 2.0}, more{1.0, 2.0, 3.0};
  tree.add(row(some), 1.0);
  tree.add(row(some), 1.0);
  test::check_error<ShapeError>([&] { tree.add(row(more), 1.0); },
                                {"GradientTree: expected a gradient of 2 values", "found 3", "one model"});
  std::vector<double> last = more;
  test::check_error<ShapeError>([&] { tree.finish(row(last), 1.0); }, {"found 3"});
  CHECK(last == more);
  tree.clear();
  CHECK(tree.finish(row(last), 0.5) == 0.5);
  CHECK(last == more);
  tree.add(row(more), 0.25);
  CHECK(tree.finish(row(last), 0.5) == 0.75);
  CHECK(last == std::vector<double>{2.0, 4.0, 6.0});
}
