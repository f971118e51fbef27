#include <sdlora/adapters/lora_fa.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace sdlora;

namespace {

constexpr SiteInfo site_{"out_proj", SiteKind::Linear, {3, 5}};

SitePlace<double> place_of(const std::vector<double>& base, const AdapterOptions& options,
                           const char* name = "a") {
  return {
      .name = name, .site = site_, .base = MatrixView<const double>(base.data(), 3, 5), .options = &options};
}
std::vector<double> values(MatrixView<const double> m) { return {m.data, m.data + m.rows * m.cols}; }

static_assert(LoRAFA<4>::count(site_, LoRAFA<4>::resolved({}, site_)) == 4 * 3);
static_assert(LoRAFA<4>::is_static && !LoRAFA<>::is_static);

}  // namespace

TEST_CASE("lora_fa: B alone learns; A is random, of its place and its seed, whatever the model's") {
  const std::vector<double> base(15, 1.0);
  const auto a_of = [&](const AdapterOptions& options, const char* name = "a") {
    ParameterStore<double> store(6);
    const LoRAFA<>::Linear<double> state(store, place_of(base, options, name));
    REQUIRE(store.size() == 6);
    CHECK(store.entries()[0].name == std::string(name) + ".lora_B");
    CHECK(store.host_values() == std::vector<double>(6, 0.0));
    CHECK(!state.a().gradient);
    return values(state.a().value);
  };
  const auto a = a_of(LoRAFAOptions{.rank = 2});
  REQUIRE(a.size() == 10);
  CHECK(a_of({LoRAFAOptions{.rank = 2}, Seed{5}}) == a);
  CHECK(a_of(LoRAFAOptions{.rank = 2, .projection_seed = 1}) != a);
  CHECK(a_of(LoRAFAOptions{.rank = 2}, "b") != a);
  for (const double value : a) CHECK(std::abs(value) <= 1.0 / std::sqrt(5.0));
  CHECK(*std::max_element(a.begin(), a.end()) > 0.0);
  CHECK(*std::min_element(a.begin(), a.end()) < 0.0);
  // Adapter files do not hold A, so that it may never change.
  CHECK(a[0] == -0.092600996478645156);
}

TEST_CASE("lora_fa: dropout acts on A's input, and the frozen A passes gradients on") {
  const std::vector<double> base(15, 0.0), x{1, 2, 3, 4, 5}, d_y{1, -2, 3};
  const AdapterOptions options{LoRAFAOptions{.rank = 2, .alpha = 6.0}};
  ParameterStore<double> store(6);
  const LoRAFA<>::Linear<double> state(store, place_of(base, options));
  store.set_values(std::vector<double>{1, 2, 3, 4, 5, 6});
  Workspace workspace;
  std::vector<double> y(3, 0.0), d_x(5, 0.0), change(15, 0.0);
  state.forward(MatrixView<const double>(x.data(), 1, 5), MatrixView<double>(y.data(), 1, 3), {}, workspace);
  state.backward(MatrixView<const double>(x.data(), 1, 5), MatrixView<const double>(d_y.data(), 1, 3),
                 MatrixView<double>(d_x.data(), 1, 5), {}, workspace);
  state.add_change(MatrixView<double>(change.data(), 3, 5), 1.0);
  CHECK(state.scale() == 3.0);
  for (std::size_t i = 0; i < 3; ++i) {
    double sum = 0.0;
    for (std::size_t j = 0; j < 5; ++j) sum += change[5 * i + j] * x[j];
    CHECK(y[i] == doctest::Approx(sum));
  }
  for (std::size_t j = 0; j < 5; ++j) {
    CHECK(d_x[j] == doctest::Approx(change[j] - 2 * change[5 + j] + 3 * change[10 + j]));
  }
  std::vector<double> low(2, 0.0);
  for (std::size_t k = 0; k < 2; ++k) {
    for (std::size_t j = 0; j < 5; ++j) low[k] += state.a().value(k, j) * x[j];
  }
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t k = 0; k < 2; ++k) {
      CHECK(store.gradients()[2 * i + k] == doctest::Approx(3.0 * d_y[i] * low[k]));
    }
  }
}

TEST_CASE("lora_fa: ranks out of range") {
  const std::vector<double> base(15, 0.0);
  for (const std::size_t rank : {0U, 16385U}) {
    const AdapterOptions options{LoRAFAOptions{.rank = rank}};
    ParameterStore<double> store(6);
    CHECK_THROWS_WITH_AS((LoRAFA<>::Linear<double>(store, place_of(base, options))),
                         doctest::Contains("expected a rank from 1 to 16384, found"), ArgumentError);
  }
}
