#pragma once

#include "../scan/selective/random_scan.hpp"

#include <sdlora/error.hpp>
#include <sdlora/scan/selective/reference.hpp>
#include <sdlora/scan/selective/selective_scan.hpp>
#include <sdlora/tensor/bfloat16.hpp>
#include <sdlora/tensor/device.hpp>
#include <sdlora/tensor/workspace.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// One body for every device: the public calls of the selective scan against the definition in double.

namespace sdlora_test {

/// Arrays of the host copied to a device and back.
template <class Device>
class DeviceArrays {
 public:
  template <class T>
  const T* place(const std::vector<T>& values) {
    return memory_.placed(std::span<const T>(values)).data;
  }
  template <class T>
  T* place_copy(const std::vector<T>& values) {
    T* const copy = memory_.template matrix<T>(1, values.size()).data;
    sdlora::Storage<T, Device>::write(copy, values.data(), values.size());
    return copy;
  }
  template <class T>
  static std::vector<T> read(const T* values, std::size_t count) {
    std::vector<T> result(count);
    sdlora::Storage<T, Device>::read(result.data(), values, count);
    return result;
  }
  sdlora::WorkspaceOn<Device>& memory() { return memory_; }

 private:
  sdlora::WorkspaceOn<Device> memory_;
};

template <class To, class From>
std::vector<To> values_as(const std::vector<From>& values) {
  std::vector<To> result;
  for (const From value : values) {
    if constexpr (std::is_same_v<From, sdlora::BFloat16>) {
      result.push_back(static_cast<To>(static_cast<float>(value)));
    } else {
      result.push_back(static_cast<To>(value));
    }
  }
  return result;
}

/// The problem in double, its activations as IO holds them.
template <class IO>
RandomScan<double> problem_in_double(const RandomScan<float>& p) {
  RandomScan<double> q(p.lengths, p.E, p.N);
  const auto activation = [](const std::vector<float>& values) {
    return values_as<double>(values_as<IO>(values));
  };
  q.u = activation(p.u), q.dt = activation(p.dt), q.z = activation(p.z);
  q.B = activation(p.B), q.C = activation(p.C), q.d_out = activation(p.d_out);
  q.A = values_as<double>(p.A), q.D = values_as<double>(p.D), q.dt_bias = values_as<double>(p.dt_bias);
  q.initial_state = values_as<double>(p.initial_state);
  q.d_final_state = values_as<double>(p.d_final_state);
  q.with_z = p.with_z, q.with_D = p.with_D, q.with_bias = p.with_bias, q.with_initial = p.with_initial;
  q.shared_initial = p.shared_initial;
  return q;
}

/// What `p` gives a selective scan, in the device's memory.
template <class Device, class IO>
sdlora::SelectiveScanInputs<IO, Device> place_inputs(const RandomScan<float>& p,
                                                     DeviceArrays<Device>& arrays) {
  const std::size_t M = p.rows(), E = p.E, N = p.N, gap = p.gap;
  const auto activation = [&](const std::vector<float>& values, std::size_t cols) {
    return sdlora::MatrixView<const IO, Device>(arrays.place_copy(values_as<IO>(values)), M, cols,
                                                cols + gap);
  };
  sdlora::SelectiveScanInputs<IO, Device> in;
  in.sequences = sdlora::place_sequences(sdlora::Sequences{p.offsets}, arrays.memory());
  in.u = activation(p.u, E);
  in.dt = activation(p.dt, E);
  in.B = activation(p.B, N);
  in.C = activation(p.C, N);
  if (p.with_z) in.z = activation(p.z, E);
  in.A = {arrays.place(p.A), E, N, N + gap};
  if (p.with_D) in.D = {arrays.place(p.D), 1, E};
  if (p.with_bias) in.dt_bias = {arrays.place(p.dt_bias), 1, E};
  if (p.with_initial) {
    in.initial_state = {arrays.place(p.initial_state), p.sequences(), E * N, p.initial_stride()};
  }
  return in;
}

/// Forward and backward of `p` on the device against the definition: every result, the gradients added to
/// what is there, those that are not asked for and all gaps untouched.
template <class Device, std::size_t N, sdlora::SelectiveScanGradients Wanted, class IO = float>
void check_selective_scan_on(const RandomScan<float>& p, std::vector<std::size_t> channels = {},
                             bool with_final = true) {
  using namespace sdlora;
  const double tolerance = std::is_same_v<IO, float> ? 1e-5 : 1e-2;
  const std::size_t M = p.rows(), E = p.E, S = p.sequences(), values = E * p.N, gap = p.gap;
  const RandomScan<double> exact = problem_in_double<IO>(p);
  std::vector<double> expected_out(M * E), expected_final(S * values);
  selective_scan_reference_forward(exact.inputs(), {expected_out.data(), M, E},
                                   exact.states(expected_final.data()));
  GradientArrays<double> expected(exact, channels);
  selective_scan_reference_backward(
      exact.inputs(), exact.matrix(exact.d_out, M, E),
      with_final ? exact.states(exact.d_final_state.data()) : MatrixView<const double>{}, Wanted,
      expected.outputs());

  DeviceArrays<Device> arrays;
  WorkspaceOn<Device> workspace;
  const auto in = place_inputs<Device, IO>(p, arrays);
  const auto check = [&](const char* name, const auto& got, const std::vector<double>& want) {
    const std::string result = name;
    INFO(result);
    CHECK(difference(values_as<float>(got), values_as<float>(want)) < tolerance);
  };

  // Final states at a stride of their own.
  IO* const out = arrays.place_copy(std::vector<IO>(M * E, IO(7.0F)));
  float* const final_state = arrays.place_copy(std::vector<float>(S * (values + 1), 7));
  const std::size_t kept = selective_scan_checkpoint_size<Device>(Sequences{p.offsets}, E, p.N);
  float* const checkpoints = arrays.memory().template matrix<float>(1, kept).data;
  selective_scan_forward<N>(in, {out, M, E}, {final_state, S, values, values + 1}, checkpoints, workspace);
  check("out", arrays.read(out, M * E), expected_out);
  const std::vector<float> strided = arrays.read(final_state, S * (values + 1));
  std::vector<float> states;
  for (std::size_t s = 0; s < S; ++s) {
    const auto first = strided.begin() + static_cast<std::ptrdiff_t>(s * (values + 1));
    states.insert(states.end(), first, first + static_cast<std::ptrdiff_t>(values));
    CHECK(strided[s * (values + 1) + values] == 7);
  }
  check("final_state", states, expected_final);

  GradientArrays<float> begin(p, channels);
  SelectiveScanGradientOutputs<IO, Device> to;
  const auto activation = [&](const std::vector<float>& start, std::size_t cols) {
    return MatrixView<IO, Device>(arrays.place_copy(values_as<IO>(start)), M, cols, cols + gap);
  };
  to.u = activation(begin.u, E);
  to.dt = activation(begin.dt, E);
  to.z = activation(begin.z, E);
  to.B = activation(begin.B, p.N);
  to.C = activation(begin.C, p.N);
  to.A = {arrays.place_copy(begin.A), begin.A.size() / p.N, p.N};
  to.channels = begin.channels;
  to.D = {arrays.place_copy(begin.D), 1, E};
  to.dt_bias = {arrays.place_copy(begin.dt_bias), 1, E};
  to.initial_state = {arrays.place_copy(begin.initial_state), S, values, p.initial_stride()};
  MatrixView<const float, Device> d_final;
  if (with_final) d_final = {arrays.place(p.d_final_state), S, values};
  selective_scan_backward<N, Wanted>(
      in, checkpoints, {arrays.place_copy(values_as<IO>(p.d_out)), M, E, E + gap}, d_final, to, workspace);
  CHECK(workspace.bytes_in_use() == 0);
  check("u", arrays.read(to.u.data, begin.u.size()), expected.u);
  check("dt", arrays.read(to.dt.data, begin.dt.size()), expected.dt);
  check("z", arrays.read(to.z.data, begin.z.size()), expected.z);
  check("B", arrays.read(to.B.data, begin.B.size()), expected.B);
  check("C", arrays.read(to.C.data, begin.C.size()), expected.C);
  check("A", arrays.read(to.A.data, begin.A.size()), expected.A);
  check("D", arrays.read(to.D.data, begin.D.size()), expected.D);
  check("dt_bias", arrays.read(to.dt_bias.data, begin.dt_bias.size()), expected.dt_bias);
  check("initial_state", arrays.read(to.initial_state.data, begin.initial_state.size()),
        expected.initial_state);
}

inline constexpr sdlora::SelectiveScanGradients gradients_without_z_and_D = [] {
  sdlora::SelectiveScanGradients gradients = sdlora::SelectiveScanGradients::all();
  gradients.z = gradients.D = false;
  return gradients;
}();

/// Several sequences, some of one row or none, own and shared initial states.
template <class Device>
void check_selective_scan_sequences() {
  constexpr auto all = sdlora::SelectiveScanGradients::all();
  for (const bool shared : {false, true}) {
    CAPTURE(shared);
    for (const auto& lengths : std::vector<std::vector<std::size_t>>{{1}, {19, 1, 0, 1, 7}, {0, 0}}) {
      RandomScan<float> p(lengths, 7, 5);
      p.shared_initial = shared;
      check_selective_scan_on<Device, 5, all>(p);
      check_selective_scan_on<Device, 5, all>(p, {}, false);
    }
  }
  // A device cuts these few channels over many rows into segments of time.
  check_selective_scan_on<Device, 5, all>(RandomScan<float>({300, 1}, 3, 5));
}

/// Without z, D, dt_bias and an initial state, each by itself and all.
template <class Device>
void check_selective_scan_optional_inputs() {
  for (unsigned mask = 0; mask < 16; ++mask) {
    CAPTURE(mask);
    if (mask != 0 && mask != 15 && (mask & (mask - 1)) != 0) continue;
    RandomScan<float> p({11, 1}, 3, 5, mask);
    p.with_z = (mask & 1U) != 0;
    p.with_D = (mask & 2U) != 0;
    p.with_bias = (mask & 4U) != 0;
    p.with_initial = (mask & 8U) != 0;
    check_selective_scan_on<Device, 5, gradients_without_z_and_D>(p);
  }
}

/// A's gradient in selected channels; few gradients; those that need no kept states.
template <class Device>
void check_selective_scan_wanted() {
  using sdlora::AGradient;
  using Gradients = sdlora::SelectiveScanGradients;
  const RandomScan<float> p({11, 1, 6}, 9, 5);
  constexpr Gradients selected{.dt = true, .A = AGradient::SelectedChannels};
  for (const auto& channels : std::vector<std::vector<std::size_t>>{{0, 3, 8}, {8}, {4}}) {
    check_selective_scan_on<Device, 5, selected>(p, channels);
  }
  check_selective_scan_on<Device, 5, Gradients{.u = true, .B = true, .initial_state = true}>(p);
  check_selective_scan_on<Device, 5, Gradients{.D = true, .dt_bias = true}>(p);
  check_selective_scan_on<Device, 5, Gradients{}>(p);
}

/// The number of states known at run time only, and calls that do not fit.
template <class Device>
void check_selective_scan_calls() {
  using namespace sdlora;
  const RandomScan<float> p({5, 3}, 4, 6);
  check_selective_scan_on<Device, dyn, SelectiveScanGradients{.u = true}>(p);

  DeviceArrays<Device> arrays;
  WorkspaceOn<Device> workspace;
  const std::vector<float> zeros(p.rows() * p.E);
  float* const out = arrays.place_copy(zeros);
  const auto refused = [&](const char* what, const auto& spoil) {
    auto in = place_inputs<Device, float>(p, arrays);
    MatrixView<float, Device> to(out, p.rows(), p.E);
    MatrixView<float, Device> final_state;
    spoil(in, to, final_state);
    CHECK_THROWS_WITH_AS(selective_scan_forward<6>(in, to, final_state, nullptr, workspace),
                         doctest::Contains(what), ShapeError);
  };
  refused("u is (7, 4) but must be (8, 4)", [](auto& in, auto&, auto&) { in.u.rows = 7; });
  refused("D is (1, 3) but must be (1, 4)", [](auto& in, auto&, auto&) { in.D.cols = 3; });
  refused("the initial state is (1, 24) but must be (2, 24)",
          [](auto& in, auto&, auto&) { in.initial_state.rows = 1; });
  refused("out is (8, 5) but must be (8, 4)", [](auto&, auto& to, auto&) { to.cols = 5; });
  refused("the final state is (2, 23) but must be (2, 24)",
          [](auto&, auto& to, auto& final_state) { final_state = {to.data, 2, 23}; });
  refused("the final state has rows of 24 values at a distance of 0",
          [](auto&, auto& to, auto& final_state) { final_state = {to.data, 2, 24, 0}; });
  if constexpr (!is_host<Device>) {
    refused("copy of the offsets is (1, 2) but must be (1, 3)",
            [](auto& in, auto&, auto&) { in.sequences.offsets.cols = 2; });
    auto in = place_inputs<Device, float>(p, arrays);
    SelectiveScanGradientOutputs<float, Device> to;
    to.dt = {out, p.rows(), p.E};
    CHECK_THROWS_WITH_AS((selective_scan_backward<6, SelectiveScanGradients{.dt = true}>(in, nullptr, in.u,
                                                                                         {}, to, workspace)),
                         doctest::Contains("pass the checkpoints"), ShapeError);
  }
}

}  // namespace sdlora_test
