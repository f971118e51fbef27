// A step whose shapes fit earlier ones allocates nothing. Eigen's packing buffers come through malloc.
#include "support/counted_allocations.hpp"
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

struct Allocations {
  std::size_t ours = 0;     // through operator new
  std::size_t backend = 0;  // straight through malloc
};

template <class Function>
Allocations counted(const Function& f) {
  const std::size_t news_before = news, mallocs_before = mallocs;
  f();
  const std::size_t ours = news - news_before;
  const std::size_t all = mallocs - mallocs_before;
  return {ours, all > ours ? all - ours : 0};
}

/// The first step at the largest shapes may allocate; those after it, of these shapes or smaller, may not.
template <class P>
void check_steps(const char* name, double dropout = 0.0) {
  CAPTURE(name);
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.dropout = dropout});
  auto model = stirred_model<P, Tiny, float>(tiny_dimensions, options);
  const Batch large = some_batch({40, 33, 1, 20}), smaller = some_batch({7, 50}), one = some_batch({1});
  const Pass pass{.training = true, .step = 2};
  Workspace workspace;
  const auto step = [&](const Batch& batch) {
    return counted([&] { model.accumulate_gradients(batch, 1.0, pass, workspace); }).ours;
  };
  if (counting) CHECK(step(large) > 0);
  CHECK(step(large) == 0);
  CHECK(step(smaller) == 0);
  CHECK(step(one) == 0);
  CHECK(counted([&] { model.loss(large, workspace); }).ours == 0);
  CHECK(counted([&] { model.parameters().zero_gradients(); }).ours == 0);
}

}  // namespace

TEST_CASE("the counter counts") {
  if (!counting) return;
  CHECK(counted([] { std::vector<int>(100)[5] = 1; }).ours == 1);
  CHECK(counted([] { detail::allocate_aligned(64); }).ours == 1);
  CHECK(counted([] {}).ours == 0);
}

TEST_CASE("the second step allocates nothing of ours") {
  check_steps<Everything>("everything", 0.2);
  check_steps<presets::SDLoRA<2, 3, 2>>("sdlora");
  check_steps<presets::LoRALinear<2>>("lora-linear");
  check_steps<presets::FullFineTune>("full");
}

TEST_CASE("a step with a loss or a head of one's own allocates nothing of ours") {
  auto model = stirred_model<Everything, Tiny, float>();
  const Batch large = some_batch({40, 33, 1, 20}), smaller = some_batch({7, 50});
  const std::vector<std::size_t> large_rows = large.last_rows(), smaller_rows = smaller.last_rows();
  const auto loss = [](const LossRows<>& rows, MatrixView<const float> logits, MatrixView<float> d_logits) {
    if (d_logits) assign(d_logits, 0.5F * logits);
    return Loss{1.0, rows.size()};
  };
  const auto head = [](MatrixView<const float> h, MatrixView<float> d_h) {
    assign(d_h, 0.5F * h);
    return Loss{1.0, h.rows};
  };
  Workspace workspace;
  const Pass pass{.training = true};
  const auto step = [&](const Batch& batch, const std::vector<std::size_t>& rows) {
    return counted([&] {
             model.accumulate_gradients(batch, loss, 0.5, pass, workspace);
             model.accumulate_gradients(batch, AllRows{loss}, 0.5, pass, workspace);
             model.accumulate_hidden_gradients(batch, rows, head, pass, workspace);
             model.loss(batch, loss, workspace);
           })
        .ours;
  };
  if (counting) CHECK(step(large, large_rows) > 0);
  CHECK(step(large, large_rows) == 0);
  CHECK(step(smaller, smaller_rows) == 0);
}

TEST_CASE("steps of generation allocate nothing of ours") {
  auto model = stirred_model<presets::Prompt<5>, Tiny, float>();
  const std::size_t V = model.dimensions().vocab_size;
  MambaState<float> state = model.initial_state(3);
  std::vector<float> logits(3 * V);
  const std::int32_t ids[3] = {1, 5, 2};
  const auto step = [&] { model.step(ids, state, MatrixView<float>(logits.data(), 3, V)); };
  step();
  for (int i = 0; i < 5; ++i) CHECK(counted(step).ours == 0);
}

TEST_CASE("the packing buffers of the matrix products, apart from ours") {
  // Large products: Eigen packs blocks of both operands, on the stack up to 128 KiB and else by malloc.
  constexpr std::size_t n = 512;
  std::vector<float> a(n * n, 0.5F), b(n * n, 0.25F), c(n * n);
  const auto product = [&] {
    matmul(MatrixView<float>(c.data(), n, n), MatrixView<const float>(a.data(), n, n),
           MatrixView<const float>(b.data(), n, n));
  };
  product();
  const Allocations found = counted(product);
  CHECK(found.ours == 0);
  MESSAGE("a product of 512 x 512 x 512 floats: ", found.backend, " buffers of the backend, ", found.ours,
          " of ours");
  CHECK(found.backend <= 3 * (n + detail::matmul_block - 1) / detail::matmul_block);
}
