// What a block keeps for its backward pass, against the sizes worked out by hand; where sequences
// begin; which layers learn; the emulated device against the host. Values and gradients on the host are
// tested in tests/model.
#include "support/device_matrices.hpp"
#include "support/instances.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/layers/mamba/block.hpp>
#include <sdlora/model/base.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

namespace {

/// Every width is a multiple of 16 floats (64 bytes) and E of the scan's 16 channels, so that no rounding up
/// hides an error.
struct Even {
  static constexpr MambaConfig config{.d_model = 64, .n_layer = 2, .vocab_size = 32, .dt_rank = 16};
};
constexpr MambaDimensions m = dimensions(Even::config);
constexpr std::size_t M = 160, d = 64, E = 128, R = 16, N = 16;
// Sequences of 100 and 60 rows have ⌈100 / 24⌉ + ⌈60 / 24⌉ = 8 chunks, each with one (E, N) state.
constexpr std::size_t offsets[] = {0, 100, 160};
constexpr std::size_t checkpoint_values = 8 * E * N;

/// Bytes that a float block of the placement keeps.
template <class P>
std::size_t kept_bytes(bool input_gradient) {
  Workspace workspace;
  const BlockActivations<float> kept =
      MambaBlock<Even, P, float>::keep(m, Sequences{offsets}, input_gradient, workspace);
  const auto rows = [](const MatrixView<float>& v, std::size_t cols) {
    return !v || (v.rows == M && v.cols == cols && v.contiguous());
  };
  CHECK(rows(kept.x, d));
  CHECK(rows(kept.xz, 2 * E));
  CHECK(rows(kept.u, E));
  CHECK(rows(kept.x_dbl, R + 2 * N));
  CHECK(rows(kept.dt, E));
  CHECK(rows(kept.y, E));
  return workspace.bytes_in_use();
}

/// What backward through the scan reads: in_proj's output (its x for the convolution, its z for the
/// gate), the convolution's output u, x_proj's output, dt before its bias, and the chunks' states.
constexpr std::size_t kept_by_scan = M * 2 * E + M * E + M * (R + 2 * N) + M * E + checkpoint_values;
constexpr std::size_t x = M * d;  // the block's input: norm's input, and in_proj's by way of the norm
constexpr std::size_t y = M * E;  // out_proj's input
constexpr std::size_t f = sizeof(float);

template <class S, class P>
using One = Place<On<S, P>>;

/// No width is a multiple of a vector.
struct Odd {
  static constexpr MambaConfig config{.d_model = 10, .n_layer = 2, .vocab_size = 19, .dt_rank = 3};
};
/// Every kind of policy at once.
struct Mixed : Place<On<site::InProjX, LoRA<2>>, On<site::InProjZ, Full>, On<site::XProjDt, LoRA<1>>,
                     On<site::XProjB, SelectedDimensions<3>>, On<site::XProjC, SelectedDimensions<3>>,
                     On<site::DtProj, LoRA<2>>, On<site::DtBias, Full>, On<site::Conv1d, Full>,
                     On<site::ConvBias, Full>, On<site::ALog, SelectedDimensions<3, 2>>, On<site::D, Full>,
                     On<site::OutProj, LoRA<2>>, On<site::Norm, Full>, On<site::H0, Full>,
                     On<site::Prefix, PrefixTuning<3>>> {};

/// A block of random weights on any device: forward and backward from where it begins, then on from a state;
/// and its change.
template <class Device, class P>
sdlora_test::Results both_directions(double dropout) {
  using sdlora_test::host_values;
  constexpr MambaDimensions s = dimensions(Odd::config);
  constexpr std::size_t inner = s.d_inner, low = s.dt_rank + 2 * N, state_size = inner * N;
  sdlora_test::DeviceNormals<Device> normals(11);
  std::vector<sdlora_test::DeviceMatrix<Device>> memory;
  memory.reserve(10);
  MambaWeights<float, Device> w;
  const auto some = [&](std::size_t rows, std::size_t cols, double scale) {
    memory.push_back(normals.matrix(rows, cols, scale));
    return memory.back().matrix();
  };
  w.norm = some(1, s.d_model, 1.0);
  w.in_proj = some(2 * inner, s.d_model, 0.4);
  w.conv = some(inner, s.d_conv, 0.6);
  w.conv_bias = some(1, inner, 0.3);
  w.x_proj = some(low, inner, 0.3);
  w.dt_proj = some(inner, s.dt_rank, 0.7);
  w.dt_bias = some(1, inner, 1.0);
  w.A_log = some(inner, N, 0.8);
  w.D = some(1, inner, 1.0);
  w.out_proj = some(s.d_model, inner, 0.3);
  const MambaWeights<const float, Device> weights{w.norm,    w.in_proj, w.conv,  w.conv_bias, w.x_proj,
                                                  w.dt_proj, w.dt_bias, w.A_log, w.D,         w.out_proj};
  WorkspaceOn<Device> workspace;
  const MatrixView<float, Device> A = workspace.template matrix<float>(inner, N);
  assign(A, -exp(w.A_log));

  const AdapterOptions options{LoRAOptions{.alpha = 3.0, .dropout = dropout}};
  const LayerSelection selection{{1, 4, 18}, {0, 3, 1, 2, 5, 15}};
  ParameterStore<float, Device> store(10000);
  const MambaBlock<Odd, P, float, Device> block(weights, A, s, 0, store, options,
                                                P::selects ? &selection : nullptr);
  std::vector<float> values = store.host_values();
  sdlora_test::Normals stir(3);
  for (float& v : values) v += static_cast<float>(0.2 * stir.next());
  store.set_values(values);

  const std::size_t bounds[] = {0, 7, 8, 39};
  const Sequences host{bounds};
  const SequencesOn<Device> sequences = place_sequences<Device>(host, workspace);
  auto stream = normals.matrix(39, s.d_model), d_x = normals.matrix(39, s.d_model),
       d_lowest = normals.matrix(39, s.d_model), on = normals.matrix(39, s.d_model),
       windows = normals.matrix(3, (s.d_conv - 1) * inner), states = normals.matrix(3, state_size);
  const Pass pass{.training = true, .step = 2};
  const auto kept = MambaBlock<Odd, P, float, Device>::keep(s, host, true, workspace);
  const std::size_t in_use = workspace.bytes_in_use();
  block.forward(stream.matrix(), sequences, kept, {}, pass, workspace);
  block.template backward<true>(sequences, kept, d_x.matrix(), pass, workspace);
  const std::vector<float> gradients = store.host_gradients();
  store.zero_gradients();
  block.template backward<false>(sequences, kept, d_lowest.matrix(), pass, workspace);
  const BlockState<float, Device> state{windows.matrix(), states.matrix()};
  block.initial_state(host, state, workspace);
  block.forward(on.matrix(), sequences, {}, state, Pass{}, workspace);
  block.add_change(w, 1.0F);
  CHECK(workspace.bytes_in_use() == in_use);
  sdlora_test::Results results{host_values(stream),    host_values(d_x),     gradients,
                               store.host_gradients(), host_values(windows), host_values(states),
                               host_values(on)};
  for (const auto& matrix : memory) results.push_back(host_values(matrix));
  return results;
}

template <class P>
void check_emulated(double dropout = 0.0) {
  sdlora_test::check_results(both_directions<Emulated, P>(dropout), both_directions<Cpu, P>(dropout));
}

}  // namespace

TEST_CASE("mamba_block: kept bytes of the lowest layer that learns") {
  // Nothing below learns, so the gradient of the block's input is not needed.
  CHECK(kept_bytes<presets::NothingTrains>(false) == 0);
  CHECK(kept_bytes<One<site::OutProj, LoRA<8>>>(false) == f * y);
  CHECK(kept_bytes<One<site::OutProj, Full>>(false) == f * y);
  CHECK(kept_bytes<presets::LoRALinear<8>>(false) == f * (x + kept_by_scan + y));
  CHECK(kept_bytes<presets::LoRASsm<8>>(false) == f * kept_by_scan);
  CHECK(kept_bytes<presets::LoRAAll<8>>(false) == f * (x + kept_by_scan + y));
  CHECK(kept_bytes<presets::SDLoRA<8, 15, 4>>(false) == f * (kept_by_scan + y));
  CHECK(kept_bytes<presets::BitFit>(false) == f * kept_by_scan);
  CHECK(kept_bytes<presets::InitialState>(false) == f * kept_by_scan);
  CHECK(kept_bytes<presets::Prefix<5>>(false) == f * kept_by_scan);
  CHECK(kept_bytes<presets::FullFineTune>(false) == f * (x + kept_by_scan + y));
  CHECK(kept_bytes<One<site::Norm, Full>>(false) == f * (x + kept_by_scan));
  CHECK(kept_bytes<One<site::D, Full>>(false) == f * kept_by_scan);
}

TEST_CASE("mamba_block: kept bytes above the lowest layer that learns") {
  // The gradient goes through the whole block; out_proj's input is kept only where out_proj learns.
  CHECK(kept_bytes<One<site::OutProj, LoRA<8>>>(true) == f * (x + kept_by_scan + y));
  CHECK(kept_bytes<presets::LoRALinear<8>>(true) == f * (x + kept_by_scan + y));
  CHECK(kept_bytes<presets::LoRASsm<8>>(true) == f * (x + kept_by_scan));
  CHECK(kept_bytes<presets::SDLoRA<8, 15, 4>>(true) == f * (x + kept_by_scan + y));
  CHECK(kept_bytes<presets::BitFit>(true) == f * (x + kept_by_scan));
  CHECK(kept_bytes<presets::InitialState>(true) == f * (x + kept_by_scan));
  CHECK(kept_bytes<presets::Prompt<5>>(true) == f * (x + kept_by_scan));
  CHECK(kept_bytes<presets::Prefix<5>>(true) == f * (x + kept_by_scan));
  CHECK(kept_bytes<presets::FullFineTune>(true) == f * (x + kept_by_scan + y));
}

TEST_CASE("mamba_block: never memory of every state") {
  // One state per row would be M·E·N values; the chunks' are 6/160 of it.
  CHECK(kept_bytes<presets::FullFineTune>(true) < f * M * E * N / 2);
}

TEST_CASE("mamba_block: sequences begin where the placement says") {
  const auto base = Base<Even, double>::random(m, 3);
  const std::size_t h = E * N, window = 3 * E;
  std::vector<double> states(2 * h, 7.0), windows(2 * window, 7.0);
  const BlockState<double> state{{windows.data(), 2, window}, {states.data(), 2, h}};
  const std::size_t two[] = {0, 1, 2};
  Workspace workspace;
  {
    ParameterStore<double> store(0);
    const MambaBlock<Even, presets::NothingTrains, double> block(base.layer(0), base.A(0), m, 0, store, {},
                                                                 nullptr);
    CHECK(!block.active());
    block.initial_state({two}, state, workspace);
    for (const double v : states) REQUIRE(v == 0.0);
    for (const double v : windows) REQUIRE(v == 0.0);
  }
  {
    const AdapterOptions options{Layers<site::H0>{1, 2}};
    ParameterStore<double> store(h);
    const MambaBlock<Even, presets::InitialState, double> outside(base.layer(0), base.A(0), m, 0, store,
                                                                  options, nullptr);
    CHECK(!outside.active());
    CHECK(store.size() == 0);
    const MambaBlock<Even, presets::InitialState, double> block(base.layer(1), base.A(1), m, 1, store,
                                                                options, nullptr);
    CHECK(block.active());
    REQUIRE(store.size() == h);
    CHECK(store.entries()[0].name == "layers.1.h0");
    for (std::size_t i = 0; i < h; ++i) store.values()[i] = static_cast<double>(i);
    block.initial_state({two}, state, workspace);
    for (std::size_t i = 0; i < 2 * h; ++i) REQUIRE(states[i] == static_cast<double>(i % h));
    for (const double v : windows) REQUIRE(v == 0.0);
    outside.initial_state({two}, state, workspace);
    for (const double v : states) REQUIRE(v == 0.0);
  }
  {
    // A prefix of 2 rows: the window's last two places are the rows, and all sequences share it.
    ParameterStore<double> store(2 * E);
    const MambaBlock<Even, presets::Prefix<2>, double> block(base.layer(0), base.A(0), m, 0, store, {},
                                                             nullptr);
    block.initial_state({two}, state, workspace);
    for (std::size_t s = 0; s < 2; ++s) {
      for (std::size_t e = 0; e < E; ++e) {
        REQUIRE(windows[s * window + e] == 0.0);
        REQUIRE(windows[s * window + E + e] == store.values()[e]);
        REQUIRE(windows[s * window + 2 * E + e] == store.values()[E + e]);
      }
    }
    CHECK(std::equal(states.begin(), states.begin() + h, states.begin() + h));
    CHECK(states[5] != 0.0);
  }
}

TEST_CASE("mamba_block: the emulated device's values and gradients are the host's") {
  check_emulated<Mixed>(0.3);
  check_emulated<presets::FullFineTune>();
  check_emulated<presets::LoRALinear<2>>();
  check_emulated<presets::InitialState>();
}
