#include "support/finite_differences.hpp"

#include <sdlora/adapters/lora.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace sdlora;
using namespace sdlora_test;

namespace {

static_assert(LoRA<8>::is_static && !LoRA<>::is_static && LoRA<>::learns && LoRA<>::mergeable);
constexpr SiteInfo some_site{"out_proj", SiteKind::Linear, {10, 20}};
static_assert(LoRA<8>::count(some_site, LoRA<8>::resolved({}, some_site)) == 8 * (10 + 20));
static_assert(LoRA<>::count(some_site, {.rank = 3}) == 3 * (10 + 20));

constexpr std::size_t in = 13, out = 7;

template <class Policy, class T = double>
struct Placed {
  AdapterOptions options;
  std::vector<T> base = Normals(1).vector<T>(out * in);
  ParameterStore<T> store{1000};
  typename Policy::template Linear<T> linear;

  explicit Placed(const AdapterOptions& o, const std::string& name = "layers.0.out_proj")
      : options(o),
        linear(store, SitePlace<T>{.name = name,
                                   .site = {"out_proj", SiteKind::Linear, {out, in}},
                                   .base = MatrixView<const T>(base.data(), out, in),
                                   .options = &options}) {}
};

/// y += what the adapter adds to zeros, for x of ones: shows dropout's mask through A and B of ones.
std::vector<double> adds(const Placed<LoRA<>>& s, const Pass& pass, std::size_t rows = 40) {
  std::vector<double> x(rows * in, 1.0), y(rows * out, 0.0);
  Workspace workspace;
  s.linear.forward(MatrixView<const double>(x.data(), rows, in), MatrixView<double>(y.data(), rows, out),
                   pass, workspace);
  return y;
}

}  // namespace

TEST_CASE("lora: begins as the base, A within its bound and different at every place") {
  Placed<LoRA<>> s(AdapterOptions{LoRAOptions{.rank = 3}, Seed{5}});
  REQUIRE(s.store.entries().size() == 2);
  CHECK(s.store.entries()[0].name == "layers.0.out_proj.lora_A");
  CHECK(s.store.entries()[0].rows == 3);
  CHECK(s.store.entries()[0].cols == in);
  CHECK(s.store.entries()[1].name == "layers.0.out_proj.lora_B");
  CHECK(s.store.entries()[1].rows == out);
  CHECK(s.store.entries()[1].cols == 3);
  CHECK(s.linear.scale() == 1.0);  // alpha 0 stands for alpha = rank
  const double bound = 1.0 / std::sqrt(13.0);
  double largest = 0.0, sum = 0.0;
  for (std::size_t i = 0; i < 3 * in; ++i) {
    const double a = s.linear.a().value.data[i];
    CHECK(std::abs(a) <= bound);
    largest = std::max(largest, std::abs(a));
    sum += a;
  }
  CHECK(largest > 0.8 * bound);
  CHECK(std::abs(sum) < 0.5 * bound * std::sqrt(39.0) * 4.0);
  for (std::size_t i = 0; i < out * 3; ++i) CHECK(s.linear.b().value.data[i] == 0.0);
  for (const double y : adds(s, {})) CHECK(y == 0.0);

  const auto first = [](const Placed<LoRA<>>& x) { return x.linear.a().value(0, 0); };
  CHECK(first(Placed<LoRA<>>(AdapterOptions{LoRAOptions{.rank = 3}, Seed{5}})) == first(s));
  CHECK(first(Placed<LoRA<>>(AdapterOptions{LoRAOptions{.rank = 3}, Seed{6}})) != first(s));
  CHECK(first(Placed<LoRA<>>(AdapterOptions{LoRAOptions{.rank = 3}, Seed{5}}, "layers.1.out_proj")) !=
        first(s));
}

TEST_CASE("lora: alpha over rank is its scale, in forward, backward and merge") {
  Placed<LoRA<>> s(AdapterOptions{LoRAOptions{.rank = 4, .alpha = 10.0}});
  CHECK(s.linear.scale() == 2.5);
  Normals normals(2);
  normals.fill(s.store.values(), 1.0);
  const auto x = normals.vector<double>(3 * in);
  std::vector<double> y(3 * out, 0.0), change(out * in, 0.0);
  Workspace workspace;
  s.linear.forward(MatrixView<const double>(x.data(), 3, in), MatrixView<double>(y.data(), 3, out), {},
                   workspace);
  s.linear.add_change(MatrixView<double>(change.data(), out, in), 1.0);
  std::vector<double> expected(3 * out, 0.0), product(out * in, 0.0);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t k = 0; k < in; ++k) {
      for (std::size_t r = 0; r < 4; ++r) {
        product[o * in + k] += 2.5 * s.linear.b().value(o, r) * s.linear.a().value(r, k);
      }
      for (std::size_t i = 0; i < 3; ++i) expected[i * out + o] += product[o * in + k] * x[i * in + k];
    }
  }
  CHECK(relative_error(change, product) <= 1e-14);
  CHECK(relative_error(y, expected) <= 1e-14);
  s.linear.add_change(MatrixView<double>(change.data(), out, in), -1.0);
  for (const double v : change) CHECK(std::abs(v) <= 1e-14);
}

TEST_CASE("lora: dropout belongs to a training pass, is that pass's own, and keeps the mean") {
  Placed<LoRA<>> s(AdapterOptions{LoRAOptions{.rank = 1, .dropout = 0.25}, Seed{3}});
  std::fill(s.store.values().begin(), s.store.values().end(), 1.0);
  const std::size_t rows = 500;
  const auto evaluated = adds(s, {.training = false, .step = 1}, rows);
  for (const double y : evaluated) REQUIRE(y == 13.0);
  const auto one = adds(s, {.training = true, .step = 1}, rows);
  CHECK(one == adds(s, {.training = true, .step = 1}, rows));
  CHECK(one != adds(s, {.training = true, .step = 2}, rows));
  // Nor that of another seed, sooner or later.
  Placed<LoRA<>> next(AdapterOptions{LoRAOptions{.rank = 1, .dropout = 0.25}, Seed{4}});
  std::fill(next.store.values().begin(), next.store.values().end(), 1.0);
  for (const std::uint64_t step : {0U, 1U, 2U})
    CHECK(one != adds(next, {.training = true, .step = step}, rows));
  double mean = 0.0;
  for (std::size_t i = 0; i < rows; ++i) mean += one[i * out] / static_cast<double>(rows);
  // 6500 inputs, each kept with probability 3/4 and then 4/3: the mean's deviation is 13·√(1/3/6500) = 0.093.
  CHECK(std::abs(mean - 13.0) < 0.4);
  // A row keeps whole inputs: its sum is 4/3 of their number.
  for (std::size_t i = 0; i < rows; ++i) {
    const double kept = one[i * out] * 0.75;
    REQUIRE(std::abs(kept - std::round(kept)) < 1e-9);
  }
}

TEST_CASE("lora: gradients with dropout, with and without that of the input") {
  Placed<LoRA<>> s(AdapterOptions{LoRAOptions{.rank = 2, .alpha = 3.0, .dropout = 0.3}, Seed{8}});
  Normals normals(4);
  normals.fill(s.store.values(), 1.0);
  const std::size_t rows = 5;
  const Pass pass{.training = true, .step = 9};
  std::vector<double> x = normals.vector<double>(rows * in), d_x(rows * in, 0.0);
  const auto d_y = normals.vector<double>(rows * out);
  const MatrixView<const double> x_view(x.data(), rows, in), d_y_view(d_y.data(), rows, out);
  Workspace workspace;
  s.linear.backward(x_view, d_y_view, MatrixView<double>(d_x.data(), rows, in), pass, workspace);
  const std::vector<double> gradients(s.store.gradients().begin(), s.store.gradients().end());
  s.store.zero_gradients();
  s.linear.backward(x_view, d_y_view, {}, pass, workspace);
  CHECK(std::equal(gradients.begin(), gradients.end(), s.store.gradients().begin()));
  const auto loss = [&] {
    std::vector<double> y(rows * out, 0.0);
    s.linear.forward(x_view, MatrixView<double>(y.data(), rows, out), pass, workspace);
    double sum = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * d_y[i];
    return sum;
  };
  check_gradient("x", x, d_x, loss);
  for (const ParameterInfo& entry : s.store.entries()) {
    check_gradient(entry.name, s.store.values(entry),
                   std::span<const double>(gradients).subspan(entry.offset, entry.size()), loss);
  }
}
