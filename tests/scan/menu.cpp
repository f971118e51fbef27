#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <sdlora/scan/menu.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <string>
#include <vector>

using namespace sdlora;

namespace {

/// 2×2 matrices modulo a prime: exact, associative, far from commutative.
struct ModularMatrix {
  struct value_type {
    std::uint64_t m[4] = {1, 0, 0, 1};
    bool operator==(const value_type&) const = default;
  };
  static constexpr std::uint64_t prime = 1'000'003;
  constexpr value_type operator()(const value_type& x, const value_type& y) const {
    return {{(x.m[0] * y.m[0] + x.m[1] * y.m[2]) % prime, (x.m[0] * y.m[1] + x.m[1] * y.m[3]) % prime,
             (x.m[2] * y.m[0] + x.m[3] * y.m[2]) % prime, (x.m[2] * y.m[1] + x.m[3] * y.m[3]) % prime}};
  }
  static constexpr value_type identity() { return {}; }
};

/// Concatenation: not trivially copyable, and shows operand order letter by letter.
struct Concatenate {
  using value_type = std::string;
  std::string operator()(const std::string& x, const std::string& y) const { return x + y; }
  static std::string identity() { return {}; }
};

/// What `scan` promises, written down directly.
template <class Op>
std::vector<typename Op::value_type> by_definition(const std::vector<typename Op::value_type>& in,
                                                   const Op& op,
                                                   const ScanOptions<typename Op::value_type>& options) {
  std::vector<typename Op::value_type> out(in.size());
  const std::size_t whole[2] = {0, in.size()};
  const Sequences sequences = options.sequences.offsets.empty() ? Sequences{whole} : options.sequences;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    typename Op::value_type state = options.initial ? *options.initial : op.identity();
    for (std::size_t i = 0; i < sequences.length(s); ++i) {
      const std::size_t offset =
          options.direction == ScanDirection::reverse ? sequences.length(s) - 1 - i : i;
      const std::size_t place = sequences.first(s) + offset;
      if (options.kind == ScanKind::exclusive) out[place] = state;
      state = op(state, in[place]);
      if (options.kind == ScanKind::inclusive) out[place] = state;
    }
  }
  return out;
}

constexpr ScanKind kinds[] = {ScanKind::inclusive, ScanKind::exclusive};
constexpr ScanDirection directions[] = {ScanDirection::forward, ScanDirection::reverse};

template <class Op, class Make>
void compare_exactly(std::size_t length, const Op& op, const Make& make) {
  using V = typename Op::value_type;
  std::mt19937 random(static_cast<std::mt19937::result_type>(length));
  std::vector<V> in(length);
  for (auto& value : in) value = make(random);
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      for (const bool with_initial : {false, true}) {
        ScanOptions<V> options{.kind = kind, .direction = direction, .initial = {}, .sequences = {}};
        if (with_initial) options.initial = make(random);
        const auto expected = by_definition(in, op, options);
        ElementPolicies::for_each([&](auto policy) {
          CAPTURE(policy.name);
          CAPTURE(length);
          CAPTURE(int(kind));
          CAPTURE(int(direction));
          CAPTURE(with_initial);
          std::vector<V> out(length);
          scan(policy, in, out, options, op);
          CHECK(out == expected);
        });
      }
    }
  }
}

ModularMatrix::value_type random_matrix(std::mt19937& random) {
  ModularMatrix::value_type value;
  for (auto& m : value.m) m = random() % ModularMatrix::prime;
  return value;
}

std::string random_letter(std::mt19937& random) {
  return std::string(1, static_cast<char>('a' + random() % 26));
}

}  // namespace

TEST_CASE("scan: every policy agrees exactly with the definition under a non-commutative operator") {
  for (const std::size_t length :
       {0U, 1U, 2U, 3U, 5U, 31U, 32U, 33U, 64U, 97U, 1023U, 1024U, 1025U, 2049U, 4099U}) {
    compare_exactly(length, ModularMatrix{}, random_matrix);
  }
  compare_exactly(65537, ModularMatrix{}, random_matrix);
}

TEST_CASE("scan: values that own memory") {
  for (const std::size_t length : {0U, 1U, 2U, 7U, 41U, 130U})
    compare_exactly(length, Concatenate{}, random_letter);
}

TEST_CASE("scan: packed sequences restart, with the initial value, in both directions") {
  std::mt19937 random(7);
  const std::size_t offsets[] = {0, 1, 1, 4, 40, 41, 1100, 1100, 2203};  // empty and single ones included
  std::vector<ModularMatrix::value_type> in(2203);
  for (auto& value : in) value = random_matrix(random);
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      for (const bool with_initial : {false, true}) {
        ScanOptions<ModularMatrix::value_type> options{
            .kind = kind, .direction = direction, .initial = {}, .sequences = {offsets}};
        if (with_initial) options.initial = random_matrix(random);
        const auto expected = by_definition(in, ModularMatrix{}, options);
        ElementPolicies::for_each([&](auto policy) {
          CAPTURE(policy.name);
          std::vector<ModularMatrix::value_type> out(in.size());
          scan(policy, in, out, options, ModularMatrix{});
          CHECK(out == expected);
        });
      }
    }
  }
}

TEST_CASE("scan: the segmented operator is associative and keeps its identity") {
  const Segmented<ModularMatrix> op;
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    SegmentedValue<ModularMatrix::value_type> v[3];
    for (auto& x : v) x = {random_matrix(random), random() % 2 == 0};
    CHECK(op(op(v[0], v[1]), v[2]) == op(v[0], op(v[1], v[2])));
    CHECK(op(op.identity(), v[0]) == v[0]);
    CHECK(op(v[0], op.identity()) == v[0]);
  }
}

TEST_CASE("scan: linear steps compose by default, and their composition carries the state") {
  const std::vector<LinearStep<double>> steps = {{0.5, 1}, {2, -1}, {0, 3}, {-1, 0.25}};
  std::vector<LinearStep<double>> out(steps.size());
  scan(Sequential{}, steps, out);
  double state = 10;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    state = LinearRecurrence<double>::apply(steps[i], state);
    CHECK(LinearRecurrence<double>::apply(out[i], 10) == doctest::Approx(state));
  }
  static_assert(LinearRecurrence<int>{}({2, 3}, {5, 7}) == LinearStep<int>{10, 22});
}

TEST_CASE("scan: lengths and sequences that do not fit are refused") {
  const std::vector<LinearStep<float>> in(5);
  std::vector<LinearStep<float>> out(4);
  CHECK_THROWS_AS(scan(Sequential{}, in, out), ShapeError);
  out.resize(5);
  const std::size_t too_few[] = {0, 2, 4}, descending[] = {0, 4, 2, 5}, late[] = {1, 5};
  CHECK_THROWS_AS(scan(Sequential{}, in, out, {.sequences = {too_few}}), ShapeError);
  CHECK_THROWS_AS(scan(Sequential{}, in, out, {.sequences = {descending}}), ShapeError);
  CHECK_THROWS_AS(scan(Sequential{}, in, out, {.sequences = {late}}), ShapeError);
}

TEST_CASE("scan: the same bits for any number of threads") {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<LinearStep<float>> in(5003);
  for (auto& step : in) step = {0.9F + 0.1F * normal(random), normal(random)};
  const std::size_t before = thread_count();
  ElementPolicies::for_each([&](auto policy) {
    CAPTURE(policy.name);
    std::vector<LinearStep<float>> first(in.size()), other(in.size());
    set_thread_count(1);
    scan(policy, in, first);
    for (const std::size_t threads : {2U, 3U}) {
      set_thread_count(threads);
      scan(policy, in, other);
      CHECK(other == first);
    }
  });
  set_thread_count(before);
}

TEST_CASE("scan: scratch comes from the workspace and is given back") {
  Workspace workspace;
  const std::vector<LinearStep<double>> in(3000, {0.5, 1.0});
  std::vector<LinearStep<double>> out(in.size());
  scan(Blelloch{}, in, out, {}, LinearRecurrence<double>{}, workspace);
  CHECK(workspace.bytes_in_use() == 0);
  CHECK(workspace.peak_bytes() >= 4096 * sizeof(LinearStep<double>));
}
