// The SSM against its own parts run one after another, and where sequences begin. Its gradients are tested
// with the models' in tests/model.
#include <sdlora/adapters/presets.hpp>
#include <sdlora/layers/mamba/ssm.hpp>
#include <sdlora/model/base.hpp>
#include <sdlora/scan/selective/reference.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

#include "support/tiny_models.hpp"

using namespace sdlora;
using sdlora_test::Tiny;

namespace {

constexpr MambaDimensions m = sdlora_test::tiny_dimensions;
constexpr std::size_t E = m.d_inner, N = 16, R = m.dt_rank, K = 4;

/// An SSM on layer 1 of a random base, with room for M rows.
template <class P>
struct Subject {
  Base<Tiny, double> base = Base<Tiny, double>::random(m, 3);
  AdapterOptions options{RowsOptions{.prompt_length = 2}};
  ParameterStore<double> store{trainable_parameters<P>(m, options)};
  MambaWeights<const double> weights = std::as_const(base).layer(1);
  MambaSsm<Tiny, P, double> ssm{MambaPlaces<double>{weights, m, 1, options, nullptr}, base.A(1), store};
  Workspace workspace;

  BlockActivations<double> room(const Sequences& sequences) {
    const std::size_t M = sequences.rows();
    const auto take = [&](std::size_t cols) { return workspace.matrix<double>(M, cols); };
    BlockActivations<double> kept;
    kept.xz = take(2 * E);
    kept.u = take(E);
    kept.x_dbl = take(R + 2 * N);
    kept.dt = take(E);
    kept.y = take(E);
    kept.checkpoints = workspace.take<double>(selective_scan_checkpoint_size(sequences, E, N)).data();
    const RandomStream random(9, 1);
    for (std::size_t i = 0; i < M * 2 * E; ++i) kept.xz.data[i] = random.normal(i);
    return kept;
  }
};

}  // namespace

TEST_CASE("mamba_ssm: forward is the convolution, the projections and the scan") {
  Subject<presets::NothingTrains> s;
  const std::array<std::size_t, 3> offsets{0, 7, 8};
  const Sequences sequences{offsets};
  const BlockActivations<double> kept = s.room(sequences);
  s.ssm.forward(sequences, kept, {}, /*gated=*/true, {}, Pass{}, s.workspace);

  const BlockActivations<double> by_hand = s.room(sequences);
  Conv1dInputs<double> conv;
  conv.sequences = sequences;
  conv.x = by_hand.xz.cols_from(0, E);
  conv.weight = s.weights.conv;
  conv.bias = s.weights.conv_bias;
  conv1d_silu_forward<K>(conv, by_hand.u, {}, s.workspace);
  matmul(by_hand.x_dbl, by_hand.u, transposed(s.weights.x_proj));
  matmul(by_hand.dt, by_hand.x_dbl.cols_from(0, R), transposed(s.weights.dt_proj));
  SelectiveScanInputs<double> in;
  in.sequences = sequences;
  in.u = by_hand.u;
  in.dt = by_hand.dt;
  in.B = by_hand.x_dbl.cols_from(R, N);
  in.C = by_hand.x_dbl.cols_from(R + N, N);
  in.z = by_hand.xz.cols_from(E, E);
  in.A = std::as_const(s.base).A(1);
  in.D = s.weights.D;
  in.dt_bias = s.weights.dt_bias;
  selective_scan_reference_forward(in, by_hand.y, {});
  double largest = 0.0;
  for (std::size_t i = 0; i < 8 * E; ++i) {
    largest = std::max(largest, std::abs(by_hand.y.data[i]));
    CHECK(kept.y.data[i] == doctest::Approx(by_hand.y.data[i]).epsilon(1e-10));
  }
  CHECK(largest > 1e-3);
}

TEST_CASE("mamba_ssm: a prefix begins every sequence where its own rows end") {
  Subject<presets::Prefix<>> s;
  const auto rows = s.store.values(*s.store.find("layers.1.prefix"));
  const RandomStream random(4, 4);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = random.normal(i);

  // The same rows written before the sequence, their outputs dropped.
  const std::array<std::size_t, 2> offsets{0, 5}, longer{0, 7};
  const BlockActivations<double> kept = s.room({offsets});
  const BlockActivations<double> whole = s.room({longer});
  for (std::size_t i = 0; i < 2; ++i) std::copy_n(rows.data() + i * E, E, whole.xz.row(i));
  for (std::size_t i = 0; i < 5; ++i) std::copy_n(kept.xz.row(i), 2 * E, whole.xz.row(2 + i));
  s.ssm.forward({offsets}, kept, s.ssm.learned_start({offsets}, Pass{}, s.workspace), true, {}, Pass{},
                s.workspace);
  s.ssm.forward({longer}, whole, {}, true, {}, Pass{}, s.workspace);
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t e = 0; e < E; ++e)
      CHECK(kept.y(i, e) == doctest::Approx(whole.y(2 + i, e)).epsilon(1e-10));
  }
}
