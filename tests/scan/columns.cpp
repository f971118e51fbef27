#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sdlora/scan/menu.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <string>
#include <vector>

using namespace sdlora;

namespace {

constexpr ScanKind kinds[] = {ScanKind::inclusive, ScanKind::exclusive};
constexpr ScanDirection directions[] = {ScanDirection::forward, ScanDirection::reverse};

template <class T>
struct Problem {
  std::size_t length, columns, pad;
  std::vector<T> a, b, initial;
  std::vector<std::size_t> offsets;

  Problem(std::size_t length_, std::size_t columns_, std::vector<std::size_t> offsets_ = {},
          std::size_t pad_ = 3)
      : length(length_),
        columns(columns_),
        pad(pad_),
        a(length * (columns + pad)),
        b(a.size()),
        offsets(std::move(offsets_)) {
    initial.resize(columns * (offsets.empty() ? 1 : offsets.size() - 1));
  }

  template <class A, class B>
  void fill(const A& make_a, const B& make_b) {
    std::mt19937 random(static_cast<std::mt19937::result_type>(length * 131 + columns));
    for (auto& x : a) x = static_cast<T>(make_a(random));
    for (auto& x : b) x = static_cast<T>(make_b(random));
    for (auto& x : initial) x = static_cast<T>(make_b(random));
  }

  MatrixView<T> view(std::vector<T>& m) const { return {m.data(), length, columns, columns + pad}; }
  MatrixView<const T> view(const std::vector<T>& m) const {
    return {m.data(), length, columns, columns + pad};
  }
  MatrixView<const T> states() const {
    return {initial.data(), initial.size() / std::max<std::size_t>(1, columns), columns};
  }

  LinearScanOptions<T> options(ScanKind kind, ScanDirection direction, bool with_initial) const {
    return {.kind = kind,
            .direction = direction,
            .initial = with_initial ? states() : MatrixView<const T>{},
            .sequences = {offsets}};
  }

  /// In long double where the machine has it, straight from the definition.
  std::vector<double> oracle(const LinearScanOptions<T>& o) const {
    std::vector<double> h(a.size());
    const std::vector<std::size_t> whole = {0, length};
    const auto& cuts = offsets.empty() ? whole : offsets;
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t s = 0; s + 1 < cuts.size(); ++s) {
        long double state = o.initial ? o.initial(s, j) : T(0);
        for (std::size_t i = cuts[s]; i < cuts[s + 1]; ++i) {
          const std::size_t t = o.direction == ScanDirection::reverse ? cuts[s] + cuts[s + 1] - 1 - i : i;
          const std::size_t at = t * (columns + pad) + j;
          if (o.kind == ScanKind::exclusive) h[at] = static_cast<double>(state);
          state = static_cast<long double>(a[at]) * state + static_cast<long double>(b[at]);
          if (o.kind == ScanKind::inclusive) h[at] = static_cast<double>(state);
        }
      }
    }
    return h;
  }
};

/// The largest error relative to the largest value.
template <class T>
double error(const Problem<T>& p, const std::vector<T>& h, const std::vector<double>& expected) {
  double worst = 0, largest = 1e-30;
  for (std::size_t t = 0; t < p.length; ++t) {
    for (std::size_t j = 0; j < p.columns; ++j) {
      const std::size_t at = t * (p.columns + p.pad) + j;
      const double difference = std::abs(static_cast<double>(h[at]) - expected[at]);
      worst =
          std::isfinite(difference) ? std::max(worst, difference) : std::numeric_limits<double>::infinity();
      largest = std::max(largest, std::abs(expected[at]));
    }
  }
  return worst / largest;
}

template <class Policies, class T>
void compare(const Problem<T>& p, double tolerance) {
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      for (const bool with_initial : {false, true}) {
        const auto options = p.options(kind, direction, with_initial);
        const auto expected = p.oracle(options);
        Policies::for_each([&](auto policy) {
          CAPTURE(policy.name);
          CAPTURE(p.length);
          CAPTURE(p.columns);
          CAPTURE(int(kind));
          CAPTURE(int(direction));
          CAPTURE(with_initial);
          std::vector<T> h(p.a.size(), T(-77));
          scan(policy, p.view(p.a), p.view(p.b), p.view(h), options);
          CHECK(error(p, h, expected) <= tolerance);
          bool outside_untouched = true;
          for (std::size_t t = 0; t < p.length; ++t) {
            for (std::size_t j = p.columns; j < p.columns + p.pad; ++j) {
              outside_untouched = outside_untouched && h[t * (p.columns + p.pad) + j] == T(-77);
            }
          }
          CHECK(outside_untouched);
          std::vector<T> in_place = p.b;
          scan(policy, p.view(p.a), p.view(in_place), p.view(in_place), options);
          CHECK(error(p, in_place, expected) <= tolerance);
        });
      }
    }
  }
}

double uniform(std::mt19937& random, double low, double high) {
  return low + (high - low) * static_cast<double>(random()) / 4294967296.0;
}

const auto decay = [](std::mt19937& r) { return uniform(r, 0.3, 1.0); };
const auto signs = [](std::mt19937& r) { return uniform(r, -0.99, 0.99); };
const auto values = [](std::mt19937& r) { return uniform(r, -1.0, 1.0); };
const auto positive = [](std::mt19937& r) { return uniform(r, 0.0, 1.0); };

}  // namespace

TEST_CASE("scan of columns: all policies, odd and prime shapes") {
  for (const std::size_t length : {0U, 1U, 2U, 7U, 33U, 127U}) {
    for (const std::size_t columns : {0U, 1U, 2U, 5U, 16U, 17U, 31U, 61U, 257U, 263U}) {
      Problem<float> p(length, columns);
      p.fill(signs, values);
      compare<ColumnPolicies>(p, 1e-6);
    }
  }
  Problem<double> p(67, 133);
  p.fill(signs, values);
  compare<ColumnPolicies>(p, 1e-14);
}

TEST_CASE("scan of columns: long sequences cross chunks") {
  Problem<float> p(4099, 19);
  p.fill(decay, values);
  compare<ColumnPolicies>(p, 2e-6);
  Problem<double> longest(65537, 3);
  longest.fill(decay, values);
  compare<ColumnPolicies>(longest, 1e-14);
}

TEST_CASE("scan of columns: a near 1, near 0, and zero") {
  Problem<double> near_one(65537, 2);
  near_one.fill([](std::mt19937& r) { return 1.0 - 1e-7 * uniform(r, 0, 1); }, values);
  compare<ColumnPolicies>(near_one, 1e-11);
  Problem<float> near_zero(2503, 5);
  near_zero.fill([](std::mt19937& r) { return 1e-30 * uniform(r, 0, 1); }, values);
  compare<ColumnPolicies>(near_zero, 1e-6);
  Problem<float> resets(2503, 5);
  resets.fill([](std::mt19937& r) { return r() % 5 == 0 ? 0.0 : uniform(r, 0.5, 1.0); }, values);
  compare<ColumnPolicies>(resets, 1e-6);
  Problem<float> growing(97, 5);
  growing.fill([](std::mt19937& r) { return uniform(r, 1.0, 1.5); }, positive);
  compare<ColumnPolicies>(growing, 2e-6);
}

TEST_CASE("scan of columns: packed sequences restart from their own initial states") {
  Problem<float> p(2203, 21, {0, 1, 1, 4, 40, 41, 1100, 1100, 2203});
  p.fill(decay, values);
  compare<ColumnPolicies>(p, 2e-6);
}

TEST_CASE("scan of columns: Heinsen and cumsum ratio on their domains") {
  for (const std::size_t length : {0U, 1U, 2U, 61U, 120U}) {
    for (const std::size_t columns : {1U, 7U, 37U}) {
      Problem<float> p(length, columns);
      p.fill([](std::mt19937& r) { return uniform(r, 0.6, 1.0); }, positive);
      compare<GuardedPolicies>(p, 2e-5);
      Problem<double> q(length, columns);
      q.fill([](std::mt19937& r) { return uniform(r, 0.6, 1.0); }, positive);
      compare<GuardedPolicies>(q, 1e-13);
    }
  }
  Problem<double> longest(65537, 2);
  longest.fill(decay, positive);
  compare<PolicyList<Heinsen>>(longest, 1e-9);
  Problem<double> zeros(50, 3);
  zeros.fill(decay, [](std::mt19937& r) { return r() % 2 == 0 ? 0.0 : 1.0; });
  compare<GuardedPolicies>(zeros, 1e-13);
  Problem<float> negative(60, 9);
  negative.fill([](std::mt19937& r) { return (r() % 2 == 0 ? -1 : 1) * uniform(r, 0.5, 1.0); }, values);
  compare<PolicyList<CumsumRatio>>(negative, 1e-5);
}

TEST_CASE("scan of columns: the guards refuse what their algorithms cannot do, and write nothing") {
  const auto refuses = [](auto policy, float a, float b, float initial, std::size_t length,
                          const char* text) {
    CAPTURE(text);
    Problem<float> p(length, 5);
    std::fill(p.a.begin(), p.a.end(), 0.9F);
    std::fill(p.b.begin(), p.b.end(), 1.0F);
    const std::size_t at = (length - 1) * (p.columns + p.pad) + 4;
    p.a[at] = a;
    p.b[at] = b;
    p.initial[4] = initial;
    std::vector<float> h(p.a.size(), -77.0F);
    std::string message;
    try {
      scan(policy, p.view(p.a), p.view(p.b), p.view(h),
           p.options(ScanKind::inclusive, ScanDirection::forward, true));
    } catch (const ArgumentError& e) {
      message = e.what();
    }
    CHECK(message.find(text) != std::string::npos);
    CHECK(message.find("column 4") != std::string::npos);
    for (const float x : h) CHECK(x == -77.0F);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refuses(Heinsen{}, 0.0F, 1.0F, 0.0F, 9, "a > 0");
  refuses(Heinsen{}, -0.5F, 1.0F, 0.0F, 9, "a > 0");
  refuses(Heinsen{}, nan, 1.0F, 0.0F, 9, "a > 0");
  refuses(Heinsen{}, 0.5F, -1.0F, 0.0F, 9, "b ≥ 0");
  refuses(Heinsen{}, 0.5F, 1.0F, -1.0F, 9, "initial state ≥ 0");
  refuses(CumsumRatio{}, 0.0F, 1.0F, 0.0F, 9, "running product");
  refuses(CumsumRatio{}, nan, 1.0F, 0.0F, 9, "running product");
  refuses(CumsumRatio{}, 0.5F, std::numeric_limits<float>::infinity(), 0.0F, 9, "the sum overflowed");

  Problem<float> underflow(400, 1, {}, 0);  // 0.8^400 = 2^-129
  underflow.fill([](std::mt19937&) { return 0.8; }, positive);
  std::vector<float> h(underflow.a.size());
  CHECK_THROWS_AS(
      scan(CumsumRatio{}, underflow.view(underflow.a), underflow.view(underflow.b), underflow.view(h)),
      ArgumentError);
  Problem<float> drift(20000, 1, {}, 0);  // Σ log a = −13,863
  drift.fill([](std::mt19937&) { return 0.5; }, positive);
  h.resize(drift.a.size());
  CHECK_THROWS_AS(scan(Heinsen{}, drift.view(drift.a), drift.view(drift.b), drift.view(h)), ArgumentError);
}

TEST_CASE("scan of columns: the same bits for any number of threads") {
  Problem<float> p(2500, 300, {0, 700, 701, 2500}, 0);
  p.fill(decay, values);
  const std::size_t before = thread_count();
  ColumnPolicies::for_each([&](auto policy) {
    CAPTURE(policy.name);
    std::vector<float> first(p.a.size()), other(p.a.size());
    set_thread_count(1);
    const auto options = p.options(ScanKind::inclusive, ScanDirection::forward, true);
    scan(policy, p.view(p.a), p.view(p.b), p.view(first), options);
    for (const std::size_t threads : {2U, 3U}) {
      set_thread_count(threads);
      scan(policy, p.view(p.a), p.view(p.b), p.view(other), options);
      CHECK(other == first);
    }
  });
  set_thread_count(before);
}

TEST_CASE("scan of columns: shapes that do not fit are refused") {
  std::vector<float> m(24);
  const MatrixView<float> wide(m.data(), 4, 6), tall(m.data(), 6, 4), narrow(m.data(), 4, 5);
  CHECK_THROWS_AS(scan(SimdChannels{}, wide, tall, wide), ShapeError);
  CHECK_THROWS_AS(scan(SimdChannels{}, narrow, wide, wide), ShapeError);
  CHECK_THROWS_AS(
      scan(SimdChannels{}, wide, wide, wide, {.initial = MatrixView<const float>(m.data(), 2, 6)}),
      ShapeError);
  const std::size_t offsets[] = {0, 3};
  CHECK_THROWS_AS(scan(SimdChannels{}, wide, wide, wide, {.sequences = {offsets}}), ShapeError);
}

TEST_CASE("scan of columns: results beyond the caches, at any alignment, are those of small ones") {
  const std::size_t length = 131, columns = 8200, stride = 8208;  // 12 MB of a, b and h
  std::mt19937 random(21);
  std::uniform_real_distribution<float> decays(0.5F, 1.0F), inputs(-1.0F, 1.0F);
  std::vector<float> a(length * stride), b(a.size()), h(a.size()), grad_a(a.size()), grad_b(a.size());
  for (auto& x : a) x = decays(random);
  for (auto& x : b) x = inputs(random);
  for (const std::size_t shift : {0U, 1U, 4U}) {
    for (const std::size_t step : {stride, stride - 5}) {
      const auto view = [&](std::vector<float>& m) {
        return MatrixView<float>(m.data() + shift, length, columns, step);
      };
      const MatrixView<const float> initial(b.data(), 1, columns);
      const LinearScanOptions<float> options{.initial = initial};
      std::vector<float> grad_initial(columns);
      scan(SimdChannels{}, view(a), view(b), view(h), options);
      scan_backward(SimdChannels{}, view(a), view(h), view(b), view(grad_a), view(grad_b),
                    {grad_initial.data(), 1, columns}, options);
      std::size_t wrong = 0;
      for (const std::size_t first : {0U, 7U, 1020U, 8190U}) {
        const std::size_t some = 10;
        std::vector<float> small_h(length * some), small_a(small_h.size()), small_b(small_h.size());
        const auto part = [&](std::vector<float>& m) { return view(m).cols_from(first, some); };
        const auto small = [&](std::vector<float>& m) { return MatrixView<float>(m.data(), length, some); };
        const LinearScanOptions<float> same{.initial = initial.cols_from(first, some)};
        std::vector<float> small_initial(some);
        scan(SimdChannels{}, part(a), part(b), small(small_h), same);
        scan_backward(SimdChannels{}, part(a), small(small_h), part(b), small(small_a), small(small_b),
                      {small_initial.data(), 1, some}, same);
        for (std::size_t j = 0; j < some; ++j) wrong += small_initial[j] != grad_initial[first + j];
        for (std::size_t t = 0; t < length; ++t) {
          for (std::size_t j = 0; j < some; ++j) {
            wrong += part(h)(t, j) != small(small_h)(t, j);
            wrong += part(grad_a)(t, j) != small(small_a)(t, j);
            wrong += part(grad_b)(t, j) != small(small_b)(t, j);
          }
        }
      }
      CHECK(wrong == 0);
    }
  }
}
