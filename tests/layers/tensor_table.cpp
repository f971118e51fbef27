#include <sdlora/layers/tensor_table.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <tuple>
#include <vector>

using namespace sdlora;

namespace {

struct Sizes {
  std::size_t rows = 0, cols = 0;
  bool extra = false;
};
template <class T>
struct Values {
  T* matrix = nullptr;
  T* vector = nullptr;
  T* extra = nullptr;
};

constexpr std::size_t one(const Sizes&) { return 1; }
constexpr std::size_t two(const Sizes&) { return 2; }
constexpr std::size_t rows(const Sizes& s) { return s.rows; }
constexpr std::size_t cols(const Sizes& s) { return s.cols; }
constexpr bool has_extra(const Sizes& s) { return s.extra; }

template <class T>
constexpr auto table = [] {
  const auto line = [](auto member, TensorFacts<Sizes> facts) {
    return TensorLine<decltype(member), Sizes>{member, facts};
  };
  return std::tuple{
      line(&Values<T>::matrix,
           {"matrix", TensorForm::Matrix, {{{"top", two}, {"", one}, {"low", rows}}}, cols}),
      line(&Values<T>::vector, {"vector", TensorForm::Vector, {{{"vector", one}}}, cols, false}),
      line(&Values<T>::extra,
           {"extra", TensorForm::Convolution, {{{"extra", rows}}}, two, true, 2, has_extra})};
}();
constexpr auto facts = facts_of(table<const int>);

constexpr Sizes sizes{5, 7};
constexpr Sizes more{5, 7, true};

// By hand: (2 + 1 + 5)·7, 7 and, where there is one, 5·2 values.
static_assert(values_of(facts, sizes) == 63);
static_assert(values_of(facts, more) == 73);
static_assert(facts[0].shape(sizes).rows == 8 && facts[0].shape(sizes).cols == 7);
static_assert(!facts[2].exists(sizes) && facts[2].exists(more) && facts[0].exists(sizes));
static_assert(facts[0].decay && !facts[1].decay);

constexpr SitePosition low = position_of(facts, "low");
static_assert(low.found && low.tensor == 0 && low.part == 2);
static_assert(first_row(facts[0], low.part, sizes) == 3);
static_assert(part_shape(facts[0], low.part, sizes).rows == 5);
static_assert(position_of(facts, "vector").tensor == 1);
// A part without a name is no site, nor is one that does not exist.
static_assert(position_of(facts, "").part == 1 && !position_of(facts, "none").found);

}  // namespace

TEST_CASE("tensor_table: a checkpoint's shapes have as many extents as the form says") {
  using Shape = std::vector<std::size_t>;
  CHECK(facts[0].stored_shape(sizes) == Shape{8, 7});
  CHECK(facts[1].stored_shape(sizes) == Shape{7});
  CHECK(facts[2].stored_shape(more) == Shape{5, 1, 2});
}

TEST_CASE("tensor_table: lines come in their order, and members are assigned by them") {
  std::string keys;
  for_each_line(table<int>, [&](const auto& line) { keys += std::string(line.facts.key) + " "; });
  CHECK(keys == "matrix vector extra ");
  int a = 1, b = 2;
  const Values<int> from{&a, &b, nullptr};
  Values<const int> to;
  assign_members(to, table<const int>, from, table<int>);
  CHECK(to.matrix == &a);
  CHECK(to.vector == &b);
  CHECK(to.extra == nullptr);
}
