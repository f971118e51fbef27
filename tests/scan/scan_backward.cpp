#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <sdlora/scan/menu.hpp>
#include <vector>

using namespace sdlora;

namespace {

struct Case {
  std::size_t length, columns;
  std::vector<std::size_t> offsets;
  ScanDirection direction;
  bool with_initial;

  std::size_t sequences() const { return offsets.empty() ? 1 : offsets.size() - 1; }
  MatrixView<double> rows(std::vector<double>& m) const { return {m.data(), length, columns}; }
  MatrixView<double> states(std::vector<double>& m) const { return {m.data(), sequences(), columns}; }
  LinearScanOptions<double> options(std::vector<double>& initial) const {
    return {.kind = ScanKind::inclusive,
            .direction = direction,
            .initial = with_initial ? MatrixView<const double>(states(initial)) : MatrixView<const double>{},
            .sequences = {offsets}};
  }
};

/// loss = Σ w·h; its gradients by central differences. The loss is linear in each single variable
/// (every product of a's holds each once), so the differences are exact but for rounding.
template <class Policy>
void check_gradients(const Case& c, Policy policy) {
  CAPTURE(policy.name);
  CAPTURE(c.length);
  CAPTURE(c.columns);
  CAPTURE(int(c.direction));
  CAPTURE(c.with_initial);
  CAPTURE(c.sequences());
  std::mt19937 random(5);
  std::uniform_real_distribution<double> decay(0.4, 1.0), value(-1.0, 1.0);
  const std::size_t size = c.length * c.columns;
  std::vector<double> a(size), b(size), w(size), h(size), initial(c.sequences() * c.columns);
  for (auto& x : a) x = random() % 7 == 0 ? 0.0 : decay(random);
  for (auto* m : {&b, &w, &initial}) {
    for (auto& x : *m) x = value(random);
  }
  const auto loss = [&] {
    std::vector<double> out(size);
    scan(Sequential{}, c.rows(a), c.rows(b), c.rows(out), c.options(initial));
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) sum += w[i] * out[i];
    return sum;
  };
  const auto difference = [&](double& x) {
    const double step = 1e-3, kept = x;
    x = kept + step;
    const double up = loss();
    x = kept - step;
    const double down = loss();
    x = kept;
    return (up - down) / (2 * step);
  };

  scan(policy, c.rows(a), c.rows(b), c.rows(h), c.options(initial));
  std::vector<double> grad_a(size, 99), grad_b(size, 99), grad_initial(initial.size(), 99);
  scan_backward(policy, c.rows(a), c.rows(h), c.rows(w), c.rows(grad_a), c.rows(grad_b),
                c.states(grad_initial), c.options(initial));
  for (std::size_t i = 0; i < size; ++i) {
    CHECK(grad_b[i] == doctest::Approx(difference(b[i])).epsilon(1e-8));
    CHECK(grad_a[i] == doctest::Approx(difference(a[i])).epsilon(1e-8));
  }
  if (c.with_initial) {
    for (std::size_t i = 0; i < initial.size(); ++i) {
      CHECK(grad_initial[i] == doctest::Approx(difference(initial[i])).epsilon(1e-8));
    }
  }
  // Only what is asked for, and in place.
  std::vector<double> in_place = w;
  scan_backward(policy, c.rows(a), c.rows(h), c.rows(in_place), {}, c.rows(in_place), {}, c.options(initial));
  CHECK(in_place == grad_b);
}

}  // namespace

TEST_CASE("scan_backward: central differences, all policies, both directions, packed or not") {
  for (const auto direction : {ScanDirection::forward, ScanDirection::reverse}) {
    for (const bool with_initial : {false, true}) {
      ColumnPolicies::for_each([&](auto policy) {
        check_gradients({1, 1, {}, direction, with_initial}, policy);
        check_gradients({13, 5, {}, direction, with_initial}, policy);
        check_gradients({17, 3, {0, 1, 1, 6, 17}, direction, with_initial}, policy);
      });
    }
  }
  check_gradients({5, 3, {}, ScanDirection::forward, true}, Chunked<2>{});
}

TEST_CASE("scan_backward: long sequences agree with the sequential gradients") {
  const std::size_t length = 4099, columns = 5;
  std::mt19937 random(9);
  std::uniform_real_distribution<double> decay(0.9, 1.0), value(-1.0, 1.0);
  std::vector<double> a(length * columns), h(a.size()), w(a.size()), expected_a(a.size()),
      expected_b(a.size()), grad_a(a.size()), grad_b(a.size());
  for (auto& x : a) x = decay(random);
  for (auto& x : h) x = value(random);
  for (auto& x : w) x = value(random);
  const auto view = [&](std::vector<double>& m) { return MatrixView<double>(m.data(), length, columns); };
  scan_backward(Sequential{}, view(a), view(h), view(w), view(expected_a), view(expected_b));
  ColumnPolicies::for_each([&](auto policy) {
    CAPTURE(policy.name);
    scan_backward(policy, view(a), view(h), view(w), view(grad_a), view(grad_b));
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      worst = std::max({worst, std::abs(grad_a[i] - expected_a[i]), std::abs(grad_b[i] - expected_b[i])});
    }
    CHECK(worst < 1e-11);
  });
}

TEST_CASE("scan_backward: what does not fit is refused") {
  std::vector<float> m(24);
  const MatrixView<float> x(m.data(), 4, 6), tall(m.data(), 6, 4);
  CHECK_THROWS_AS(scan_backward(SimdChannels{}, tall, x, x, x, x), ShapeError);
  CHECK_THROWS_AS(scan_backward(SimdChannels{}, x, x, x, tall, x), ShapeError);
  CHECK_THROWS_AS(scan_backward(SimdChannels{}, x, x, x, x, x, tall), ShapeError);
  CHECK_THROWS_AS(scan_backward(SimdChannels{}, x, x, x, x, x, {}, {.kind = ScanKind::exclusive}),
                  ArgumentError);
}
