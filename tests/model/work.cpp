// Matrix products of a training step, counted, against the numbers worked out by hand: frozen work
// does not exist.
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr MambaDimensions m{
    .d_model = 24, .n_layer = 3, .vocab_size = 29, .dt_rank = 5, .d_inner = 48, .d_state = 16, .d_conv = 4};
constexpr std::uint64_t d = 24, E = 48, R = 5, N = 16, V = 29, layers = 3;

/// Products and floating-point operations: additions and multiplications of two numbers each count.
struct Work {
  std::uint64_t products = 0, flops = 0;
  friend bool operator==(const Work&, const Work&) = default;
  friend Work operator+(Work a, Work b) { return {a.products + b.products, a.flops + b.flops}; }
  friend Work operator*(std::uint64_t n, Work a) { return {n * a.products, n * a.flops}; }
};
std::ostream& operator<<(std::ostream& out, const Work& w) {
  return out << w.products << " products, " << w.flops;
}

/// One product (a, b)·(b, c).
constexpr Work product(std::uint64_t a, std::uint64_t b, std::uint64_t c) { return {1, 2 * a * b * c}; }

template <class Function>
Work counted(const Function& f) {
  const MatmulStatistics before = matmul_statistics();
  f();
  const MatmulStatistics after = matmul_statistics();
  return {after.products - before.products, after.flops - before.flops};
}

const Batch& batch() {
  static const Batch b = some_batch({23, 14, 1}, V);
  return b;
}
std::uint64_t rows() { return batch().tokens(); }
std::uint64_t targets() { return batch().loss_tokens(); }

// Forward of one block: in_proj, x_proj, dt_proj, out_proj, once each; with backward the same
// products give the gradients of their inputs.
Work block() {
  return product(rows(), d, 2 * E) + product(rows(), E, R + 2 * N) + product(rows(), R, E) +
         product(rows(), E, d);
}
Work in_proj() { return product(rows(), d, 2 * E); }
Work out_proj() { return product(rows(), E, d); }
/// The head over the rows that have targets; backward makes the gradient of its input of it.
Work head() { return product(targets(), d, V); }
/// Low rank forward, x (M, in): A·x, B·(…).
Work low_rank(std::uint64_t in, std::uint64_t out, std::uint64_t r) {
  return product(rows(), in, r) + product(rows(), r, out);
}
/// Its backward: A·x again (rather than kept), d_B, the gradient of the low-rank rows, d_A; and where it is
/// needed d_x.
Work low_rank_backward(std::uint64_t in, std::uint64_t out, std::uint64_t r, bool d_x) {
  return product(rows(), in, r) + product(out, rows(), r) + product(rows(), out, r) + product(r, rows(), in) +
         (d_x ? product(rows(), r, in) : Work{});
}

template <class P>
Work training_step(const AdapterOptions& options = some_options()) {
  auto model = stirred_model<P, TinyAny, float>(m, options);
  return counted([&] { model.accumulate_gradients(batch(), 1.0); });
}

}  // namespace

TEST_CASE("work of an evaluation") {
  auto model = stirred_model<presets::NothingTrains, TinyAny, float>(m);
  CHECK(counted([&] { model.loss(batch()); }) == layers * block() + head());
  auto full = stirred_model<presets::FullFineTune, TinyAny, float>(m);
  CHECK(counted([&] { full.loss(batch()); }) == layers * block() + head());
}

TEST_CASE("work of low rank on out_proj") {
  // The lowest layer needs no more than its own adapter's gradients: no product with a frozen weight.
  CHECK(training_step<Place<On<site::OutProj, LoRA<2>>>>() ==
        layers * (block() + low_rank(E, d, 2) + low_rank_backward(E, d, 2, false)) + head() + head() +
            (layers - 1) * (block() + product(rows(), 2, E)));
}

TEST_CASE("work of low rank on the linear projections") {
  // Every layer carries its gradient from out_proj to in_proj's output; the lowest stops there.
  const Work adapters = low_rank(d, E, 2) + low_rank(d, E, 2) + low_rank(E, d, 2) +
                        low_rank_backward(E, d, 2, true) + 2 * low_rank_backward(d, E, 2, false);
  Work expected =
      layers * (block() + adapters + block()) + head() + head() + (layers - 1) * (2 * product(rows(), 2, d));
  expected.products -= 1;  // in_proj's input gradient in the lowest layer
  expected.flops -= in_proj().flops;
  CHECK(training_step<presets::LoRALinear<2>>() == expected);
}

TEST_CASE("work of SDLoRA") {
  // Selected columns, 3 of E: forward and gradient are products with the (M, 3) gathered inputs; where
  // the gradient goes on to the convolution, another one adds to these columns.
  const Work selected = product(rows(), 3, N) + product(N, rows(), 3);
  const Work own = low_rank(E, d, 2) + low_rank_backward(E, d, 2, true) + 2 * selected;
  // Above the lowest layer everything carries the gradient on; in the lowest only out_proj does, to the scan.
  CHECK(training_step<presets::SDLoRA<2, 3, 2>>() ==
        layers * (block() + own) + (layers - 1) * (block() + 2 * product(rows(), N, 3)) + out_proj() +
            head() + head());
}

TEST_CASE("work of BitFit") {
  // dt's bias needs the scan's gradient only; the convolution's bias needs that of its output: dt_proj
  // and x_proj backward, but nothing of in_proj in the lowest layer. No gradient of any weight exists.
  Work expected = layers * (block() + block()) + head() + head();
  expected.products -= 1;
  expected.flops -= in_proj().flops;
  CHECK(training_step<presets::BitFit>() == expected);
}

TEST_CASE("work of a learned initial state") {
  // In the lowest layer the scan's gradient of h0 needs out_proj backward, and no other product.
  CHECK(training_step<presets::InitialState>() ==
        layers * block() + (layers - 1) * block() + out_proj() + head() + head());
}

TEST_CASE("work of full fine-tuning") {
  // in_proj's two parts and x_proj's three are one product forward and one for their inputs' gradient, but
  // have a product each for the weights' gradients; so has the head, tied to the embedding.
  const Work weights = 2 * product(E, rows(), d) + product(R, rows(), E) + 2 * product(N, rows(), E) +
                       product(E, rows(), R) + product(d, rows(), E);
  CHECK(training_step<presets::FullFineTune>() ==
        layers * (block() + block() + weights) + head() + head() + product(V, targets(), d));
}

TEST_CASE("work below the first layer that learns is that of an evaluation") {
  AdapterOptions options = some_options();
  options.layers = {{"in_proj_x", 2}, {"in_proj_z", 2}, {"out_proj", 2}};
  Work expected = layers * block() + low_rank(E, d, 2) + 2 * low_rank(d, E, 2) +
                  low_rank_backward(E, d, 2, true) + 2 * low_rank_backward(d, E, 2, false) + block() +
                  head() + head();
  expected.products -= 1;
  expected.flops -= in_proj().flops;
  CHECK(training_step<presets::LoRALinear<2>>(options) == expected);

  // Memory as well: the lower layers keep nothing. With one of three layers learning the peak is
  // that of a one-layer model, whose layer is the lowest, too.
  auto top = stirred_model<presets::LoRALinear<2>, TinyAny, float>(m, options);
  MambaDimensions one = m;
  one.n_layer = 1;
  auto alone = stirred_model<presets::LoRALinear<2>, TinyAny, float>(one);
  auto all = stirred_model<presets::LoRALinear<2>, TinyAny, float>(m);
  const auto peak = [](auto& model) {
    Workspace workspace;
    model.accumulate_gradients(batch(), 1.0, {.training = true}, workspace);
    return workspace.peak_bytes();
  };
  CHECK(peak(top) == peak(alone));
  CHECK(peak(all) > peak(top));
}

TEST_CASE("dropout makes no further products") {
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.dropout = 0.3});
  CHECK(training_step<presets::LoRALinear<2>>(options) == training_step<presets::LoRALinear<2>>());
}
