#include "support/finite_differences.hpp"

#include <sdlora/model/cross_entropy.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Σ −log softmax(h·Wᵀ)[target], by the definition.
double plain(const std::vector<double>& h, const std::vector<double>& W,
             const std::vector<std::int32_t>& targets, std::size_t d) {
  const std::size_t V = W.size() / d;
  double sum = 0.0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    std::vector<long double> logits(V, 0.0L);
    long double top = -1e300L, total = 0.0L;
    for (std::size_t v = 0; v < V; ++v) {
      for (std::size_t j = 0; j < d; ++j) logits[v] += static_cast<long double>(h[i * d + j]) * W[v * d + j];
      top = std::max(top, logits[v]);
    }
    for (std::size_t v = 0; v < V; ++v) total += std::exp(logits[v] - top);
    sum += static_cast<double>(top + std::log(total) - logits[static_cast<std::size_t>(targets[i])]);
  }
  return sum;
}

std::vector<std::int32_t> some_targets(std::size_t n, std::size_t V) {
  std::vector<std::int32_t> targets;
  for (std::size_t i = 0; i < n; ++i)
    targets.push_back(static_cast<std::int32_t>(RandomStream(1, 1).below(i, V)));
  return targets;
}

}  // namespace

TEST_CASE("cross_entropy: the definition, for vocabularies around a vector's width") {
  for (const std::size_t V : {1U, 2U, 7U, 8U, 9U, 16U, 33U, 259U}) {
    CAPTURE(V);
    const std::size_t n = 37, d = 5;
    Normals normals(V);
    const auto h = normals.vector<double>(n * d), W = normals.vector<double>(V * d, 2.0);
    const auto targets = some_targets(n, V);
    Workspace workspace;
    const Loss loss =
        head_cross_entropy(MatrixView<const double>(h.data(), n, d), MatrixView<const double>(W.data(), V, d),
                           targets, 0.0, {}, {}, workspace);
    CHECK(loss.count == n);
    CHECK(std::abs(loss.sum - plain(h, W, targets, d)) <= 1e-12 * (1.0 + loss.sum));
    CHECK(loss.mean() == loss.sum / 37.0);

    const std::vector<float> hf(h.begin(), h.end()), Wf(W.begin(), W.end());
    const Loss in_float =
        head_cross_entropy(MatrixView<const float>(hf.data(), n, d), MatrixView<const float>(Wf.data(), V, d),
                           targets, 0.0F, {}, {}, workspace);
    CHECK(in_float.sum == doctest::Approx(loss.sum).epsilon(1e-5));
    CHECK(workspace.bytes_in_use() == 0);
  }
}

TEST_CASE("cross_entropy: gradients against finite differences, scaled, d_h overwritten and d_W added to") {
  const std::size_t n = 9, d = 6, V = 13;
  Normals normals(2);
  auto h = normals.vector<double>(n * d), W = normals.vector<double>(V * d);
  const auto targets = some_targets(n, V);
  std::vector<double> d_h(n * d, 99.0), d_W(V * d, 1.0);
  Workspace workspace;
  const MatrixView<const double> h_view(h.data(), n, d), W_view(W.data(), V, d);
  head_cross_entropy(h_view, W_view, targets, 0.3, MatrixView<double>(d_h.data(), n, d),
                     MatrixView<double>(d_W.data(), V, d), workspace);
  for (double& v : d_W) v -= 1.0;
  const auto loss = [&] {
    return 0.3 * head_cross_entropy(h_view, W_view, targets, 0.0, {}, {}, workspace).sum;
  };
  check_gradient("h", h, d_h, loss);
  check_gradient("W", W, d_W, loss);
}

TEST_CASE("cross_entropy: logits are held for a block of rows at a time") {
  // 8 Mi values at once: for 50,280 words 166 rows, never fewer than 16.
  CHECK(detail::head_rows(50'280, 512) == 166);
  CHECK(detail::head_rows(50'280, 5) == 5);
  CHECK(detail::head_rows(std::size_t{1} << 22, 100) == 16);
  CHECK(detail::head_rows(3, 0) == 0);

  // Rows beyond the first block count as well.
  const std::size_t V = detail::head_values / 16, n = 18, d = 1;
  const std::vector<float> h(n * d, 1.0F);
  std::vector<float> W(V, 0.0F);
  W[7] = 3.0F;
  std::vector<std::int32_t> targets(n, 0);
  targets.back() = 7;
  Workspace workspace;
  std::vector<float> d_h(n, 0.0F);
  const Loss loss =
      head_cross_entropy(MatrixView<const float>(h.data(), n, d), MatrixView<const float>(W.data(), V, d),
                         targets, 1.0F, MatrixView<float>(d_h.data(), n, d), {}, workspace);
  const double total = std::log(static_cast<double>(V - 1) + std::exp(3.0));
  CHECK(loss.sum == doctest::Approx(18.0 * total - 3.0).epsilon(1e-5));
  CHECK(workspace.peak_bytes() < 17 * V * sizeof(float));
  const double p = std::exp(3.0 - total);
  CHECK(d_h[16] == doctest::Approx(3.0 * p).epsilon(1e-3));
  CHECK(d_h[17] == doctest::Approx(3.0 * (p - 1.0)).epsilon(1e-3));
}

TEST_CASE("cross_entropy: large logits overflow nothing, no row is no loss") {
  const std::vector<float> h{1.0F}, W{-1e4F, 1e4F, 9.9e3F};
  Workspace workspace;
  const std::vector<std::int32_t> first{0}, second{1};
  const MatrixView<const float> h_view(h.data(), 1, 1), W_view(W.data(), 3, 1);
  CHECK(head_cross_entropy(h_view, W_view, second, 0.0F, {}, {}, workspace).sum == 0.0);
  CHECK(head_cross_entropy(h_view, W_view, first, 0.0F, {}, {}, workspace).sum == 2e4);
  const Loss nothing =
      head_cross_entropy(MatrixView<const float>(h.data(), 0, 1), W_view, {}, 0.0F, {}, {}, workspace);
  CHECK(nothing.count == 0);
  CHECK(nothing.mean() == 0.0);
}

TEST_CASE("cross_entropy: the head's gradient is formed with that of its input, not without") {
  const std::vector<float> h{1.0F, 2.0F}, W{1.0F, 2.0F, 3.0F};
  std::vector<float> d_W(3, 0.0F);
  const std::vector<std::int32_t> targets{0, 1};
  Workspace workspace;
  CHECK_THROWS_WITH_AS(
      head_cross_entropy(MatrixView<const float>(h.data(), 2, 1), MatrixView<const float>(W.data(), 3, 1),
                         targets, 1.0F, {}, MatrixView<float>(d_W.data(), 3, 1), workspace),
      doctest::Contains("expected d_h (2, 1) with d_W, found d_W alone"), ShapeError);
  CHECK(d_W == std::vector<float>(3, 0.0F));
}

TEST_CASE("cross_entropy: targets that do not fit") {
  const std::vector<float> h{1.0F, 2.0F}, W{1.0F, 2.0F, 3.0F};
  Workspace workspace;
  const auto loss = [&](const std::vector<std::int32_t>& targets) {
    head_cross_entropy(MatrixView<const float>(h.data(), 2, 1), MatrixView<const float>(W.data(), 3, 1),
                       targets, 0.0F, {}, {}, workspace);
  };
  CHECK_THROWS_WITH_AS(loss({1}), doctest::Contains("a target for each of 2 rows, found 1"), ShapeError);
  CHECK_THROWS_WITH_AS(loss({1, 3}), doctest::Contains("target 1 is 3, expected 0 to 2"), ArgumentError);
  CHECK_THROWS_WITH_AS(loss({-100, 1}), doctest::Contains("target 0 is -100"), ArgumentError);
}
