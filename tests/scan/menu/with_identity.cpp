#include <sdlora/tensor/functions.hpp>  // whose namespace detail has a Maximum, too

#include <sdlora/scan/menu/menu.hpp>
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/with_identity.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace sdlora;

namespace {

template <class V>
constexpr V known(const auto& op) {
  return operator_of<V>(op).identity();
}

static_assert(known<float>(std::plus<>{}) == 0.0F && known<int>(std::plus<int>{}) == 0);
static_assert(known<double>(std::multiplies<>{}) == 1.0);
static_assert(known<float>(Maximum{}) == -std::numeric_limits<float>::infinity());
static_assert(known<int>(Maximum{}) == std::numeric_limits<int>::min());
static_assert(known<std::uint8_t>(Minimum{}) == 255);
static_assert(known<double>(std::ranges::min) == std::numeric_limits<double>::infinity());
static_assert(known<long>(std::ranges::max) == std::numeric_limits<long>::min());
static_assert(!HasKnownIdentity<std::plus<int>, float>);
static_assert(!HasKnownIdentity<std::plus<>, LinearStep<float>>);
static_assert(!HasKnownIdentity<Maximum, std::string>);  // it has a lowest value, but no limits say so

/// What comes before each value, and with it, from left to right.
template <class V, class Op>
std::vector<V> by_loop(const std::vector<V>& in, const Op& op) {
  std::vector<V> out = in;
  for (std::size_t i = 1; i < out.size(); ++i) out[i] = static_cast<V>(op(out[i - 1], out[i]));
  return out;
}

template <class V, class Op>
void check_scans(const std::vector<V>& in, const Op& op) {
  const std::vector<V> expected = by_loop(in, op);
  const auto check = [&](auto policy) {
    std::vector<V> out(in.size());
    scan(policy, in, out, {}, op);
    CHECK(out == expected);
  };
  check(Sequential{});
  check(Chunked<16>{});
  check(Blelloch{});
  check(HillisSteele{});
  check(KoggeStone<>{});
  check(Sklansky{});
}

std::vector<int> numbers(std::size_t count) {
  std::vector<int> in(count);
  for (std::size_t i = 0; i < count; ++i) in[i] = static_cast<int>(i * 7919 % 1013) - 500;
  return in;
}

}  // namespace

TEST_CASE("with_identity: functions whose identity is known are scanned as they are") {
  for (const std::size_t count : {1U, 2U, 17U, 97U}) {
    CAPTURE(count);
    const std::vector<int> in = numbers(count);
    check_scans(in, std::plus<>{});
    check_scans(in, std::plus<int>{});
    check_scans(in, Maximum{});
    check_scans(in, Minimum{});
    check_scans(in, std::ranges::max);
    check_scans(in, std::ranges::min);
    const std::vector<std::uint32_t> small(in.begin(), in.end());  // wraps around, as it should
    check_scans(small, std::multiplies<>{});
    check_scans(std::vector<float>(in.begin(), in.end()), Maximum{});
  }
}

TEST_CASE("with_identity: other functions are, with an identity by name") {
  const std::vector<int> in = numbers(61);
  check_scans(in, with_identity(std::bit_xor<>{}, 0));
  check_scans(in, with_identity([](int a, int b) { return std::max(a, b); }, -1000));
  // Not commutative, and with a state of its own: the last value but for one that stands for none.
  const int none = in[20];
  check_scans(in, with_identity([none](int a, int b) { return b == none ? a : b; }, none));
  // Words, which are no numbers.
  const std::vector<std::string> words{"a", "s", "s", "o", "c", "i", "a", "t", "e"};
  check_scans(words, with_identity(std::plus<>{}, std::string()));
}

TEST_CASE("with_identity: the identity leads exclusive scans, of every sequence") {
  const std::vector<float> in{3, 1, 4, 1, 5};
  const std::size_t offsets[] = {0, 2, 2, 5};
  std::array<float, 5> out{};
  scan(KoggeStone<>{}, in, out, {.kind = ScanKind::Exclusive, .sequences = {offsets}}, std::plus<>{});
  CHECK(out == std::array<float, 5>{0, 3, 0, 4, 5});
  scan(KoggeStone<>{}, in, out, {.kind = ScanKind::Exclusive}, with_identity(std::multiplies<>{}, 1.0F));
  CHECK(out == std::array<float, 5>{1, 3, 3, 12, 12});
  scan(Sequential{}, std::span(in), std::span(out),
       {.kind = ScanKind::Exclusive, .direction = ScanDirection::Reverse}, Maximum{});
  CHECK(out == std::array<float, 5>{5, 5, 5, 5, -std::numeric_limits<float>::infinity()});
}

TEST_CASE("with_identity: a value that is no number stays, so that all algorithms agree") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> in{1, 7, nan, 3, 9, 2, 8, 4, 6};
  for (const bool largest : {true, false}) {
    std::vector<float> one(in.size()), other(in.size());
    const auto both = [&](auto op) {
      scan(Sequential{}, in, one, {}, op);
      scan(Blelloch{}, in, other, {}, op);
    };
    largest ? both(Maximum{}) : both(Minimum{});
    for (std::size_t i = 0; i < in.size(); ++i) {
      CHECK(std::isnan(one[i]) == (i >= 2));
      CHECK(std::isnan(other[i]) == (i >= 2));
    }
    CHECK(one[1] == (largest ? 7.0F : 1.0F));
  }
}

TEST_CASE("with_identity: what is too short is refused when the program runs") {
  const std::vector<float> in(5);
  std::vector<float> out(4);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, in, out, {}, std::plus<>{}),
                       doctest::Contains("in has 5 values but out has 4; give both the same length"),
                       ShapeError);
}
