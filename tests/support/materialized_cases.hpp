#pragma once

#include <sdlora/scan/selective/interface.hpp>
#include <sdlora/scan/selective/materialized.hpp>
#include <sdlora/scan/selective/reference.hpp>
#include <sdlora/tensor/tensor.hpp>

#include "scan/selective/random_scan.hpp"
#include "support/device_copies.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

// One test body for the materialized scan in the memory of a device, the emulator's or a GPU's.
namespace sdlora_test {

/// Matrices in the memory of a device, and back.
template <class Device, class T>
class DeviceMatrices {
  using Matrix = sdlora::Tensor<T, sdlora::Extents<sdlora::dyn, sdlora::dyn>>;

 public:
  /// The matrix (rows, cols) whose rows lie `stride` apart in `values`.
  sdlora::MatrixView<T, Device> put(const std::vector<T>& values, std::size_t rows, std::size_t cols,
                                    std::size_t stride) {
    Matrix m(rows == 0 ? 0 : rows, stride);
    for (std::size_t i = 0; i < rows * stride; ++i) m.data()[i] = i < values.size() ? values[i] : T(0);
    kept_.push_back(CopyThrough<Device>{}.put(m));
    return {kept_.back().data(), rows, cols, stride};
  }
  static void get(const sdlora::MatrixView<T, Device>& view, std::vector<T>& values) {
    sdlora::Storage<T, Device>::read(values.data(), view.data,
                                     std::min(values.size(), view.rows * view.stride));
  }

 private:
  std::vector<sdlora::Tensor<T, sdlora::Extents<sdlora::dyn, sdlora::dyn>, Device>> kept_;
};

/// Outputs, final states and the gradients that `Wanted` asks for, by `Scan` on `Device`, against the
/// reference.
template <class Device, class Scan, sdlora::SelectiveScanGradients Wanted, class T>
void check_scan_type(const RandomScan<T>& p, std::vector<std::size_t> channels = {}) {
  using namespace sdlora;
  static_assert(SelectiveScan<Scan, Device>);
  constexpr double tolerance = sizeof(T) == 8 ? 1e-12 : 2e-5;
  const std::size_t M = p.rows(), S = p.sequences(), E = p.E, N = p.N, wide = E + p.gap, narrow = N + p.gap,
                    state = E * N, stride = state + 2;
  DeviceMatrices<Device, T> memory;
  WorkspaceOn<Device> batch, workspace;
  SelectiveScanInputs<T, Device> in;
  in.sequences = place_sequences(Sequences{p.offsets}, batch);
  in.u = memory.put(p.u, M, E, wide);
  in.dt = memory.put(p.dt, M, E, wide);
  in.B = memory.put(p.B, M, N, narrow);
  in.C = memory.put(p.C, M, N, narrow);
  in.A = memory.put(p.A, E, N, narrow);
  if (p.with_z) in.z = memory.put(p.z, M, E, wide);
  if (p.with_D) in.D = memory.put(p.D, 1, E, E);
  if (p.with_bias) in.dt_bias = memory.put(p.dt_bias, 1, E, E);
  if (p.with_initial) in.initial_state = memory.put(p.initial_state, S, state, stride);
  if (p.shared_initial) in.initial_state.stride = 0;

  std::vector<T> out(M * wide, T(7)), final_state(S * state, T(7)), expected_out = out,
                                                                    expected_state = final_state;
  GradientArrays<T> got(p, channels), expected(p, channels);
  const auto on_out = memory.put(out, M, E, wide), on_state = memory.put(final_state, S, state, state),
             d_out = memory.put(p.d_out, M, E, wide), d_state = memory.put(p.d_final_state, S, state, state);
  const std::size_t A_rows = channels.empty() ? E : channels.size();
  const SelectiveScanGradientOutputs<T, Device> to{memory.put(got.u, M, E, wide),
                                                   memory.put(got.dt, M, E, wide),
                                                   memory.put(got.B, M, N, narrow),
                                                   memory.put(got.C, M, N, narrow),
                                                   memory.put(got.z, M, E, wide),
                                                   memory.put(got.A, A_rows, N, N),
                                                   got.channels,
                                                   memory.put(got.D, 1, E, E),
                                                   memory.put(got.dt_bias, 1, E, E),
                                                   memory.put(got.initial_state, S, state, stride)};
  auto shared = to;
  if (p.shared_initial) shared.initial_state.stride = 0;

  const auto checkpoints = memory.put({}, 1, Scan::template checkpoint_size<Device>({p.offsets}, E, N),
                                      Scan::template checkpoint_size<Device>({p.offsets}, E, N));
  Scan::template forward<dyn>(in, on_out, on_state, checkpoints.data, workspace);
  Scan::template backward<dyn, Wanted>(in, checkpoints.data, d_out, d_state, shared, workspace);
  CHECK(workspace.bytes_in_use() == 0);
  selective_scan_reference_forward(p.inputs(), {expected_out.data(), M, E, wide},
                                   p.states(expected_state.data()));
  selective_scan_reference_backward(p.inputs(), p.matrix(p.d_out, M, E), p.states(p.d_final_state.data()),
                                    Wanted, expected.outputs());
  memory.get(on_out, out);
  memory.get(on_state, final_state);
  CHECK(difference(out, expected_out) < tolerance);
  CHECK(difference(final_state, expected_state) < tolerance);
  const auto check = [&](const char* name, const MatrixView<T, Device>& view, std::vector<T>& values,
                         const std::vector<T>& reference) {
    INFO(std::string(name));
    memory.get(view, values);
    CHECK(difference(values, reference) < tolerance);
  };
  check("u", to.u, got.u, expected.u);
  check("dt", to.dt, got.dt, expected.dt);
  check("B", to.B, got.B, expected.B);
  check("C", to.C, got.C, expected.C);
  check("z", to.z, got.z, expected.z);
  check("A", to.A, got.A, expected.A);
  check("D", to.D, got.D, expected.D);
  check("dt_bias", to.dt_bias, got.dt_bias, expected.dt_bias);
  check("initial_state", to.initial_state, got.initial_state, expected.initial_state);
}

/// Several sequences, one shared start, absent parts, selected channels, many groups and one.
template <class Device, class Policy>
void check_materialized_on_device() {
  using namespace sdlora;
  constexpr SelectiveScanGradients all = SelectiveScanGradients::all();
  constexpr SelectiveScanGradients bare{.u = true, .dt = true, .B = true, .A = AGradient::SelectedChannels};
  RandomScan<float> p({7, 0, 1, 11}, 5, 3);
  check_scan_type<Device, Materialized<Policy>, all>(p);
  check_scan_type<Device, Materialized<Policy, 1>, all>(p);
  p.with_z = p.with_D = p.with_bias = p.with_initial = false;
  check_scan_type<Device, Materialized<Policy>, bare>(p, {0, 3, 4});
  RandomScan<float> shared({2, 3}, 2, 4);
  shared.shared_initial = true;
  check_scan_type<Device, Materialized<Policy, 3000>, all>(shared);
}

}  // namespace sdlora_test
