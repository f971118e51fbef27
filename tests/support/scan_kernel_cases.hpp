#pragma once

#include <sdlora/scan/selective/detail/kernels/arguments.hpp>
#include <sdlora/scan/selective/detail/kernels/plan.hpp>
#include <sdlora/scan/selective/detail/kernels/runs.hpp>
#include <sdlora/scan/selective/reference.hpp>
#include <sdlora/tensor/bfloat16.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

// One body for the emulator and the GPU. A `Device` has
//   template <class T> struct Buffer { explicit Buffer(const std::vector<T>&); T* data(); std::vector<T>
//   read(); } template run<Kernel>(blocks, shared_floats, arguments)
//   static constexpr double slack, how much further off its results may be than with the host's functions

namespace sdlora_test {

struct ScanCase {
  std::vector<std::int64_t> lengths;
  int channels = 1;
  int states = 1;
  int interval = 8;
  std::int64_t segment_length = 0;
  bool with_states = true;  // an initial state and a gradient of the final one
  bool shared_initial_state = false;
  bool with_vectors = true;        // D and dt_bias
  int padding = 3;                 // columns beside each matrix, NaN
  std::vector<int> selected = {};  // channels, for AGradient::SelectedChannels
  // Ranges that values are drawn from.
  struct Range {
    double low, high;
  };
  Range dt = {-6, 1}, A = {-8, -0.01}, z = {-4, 4};
};

inline std::string describe(const ScanCase& c) {
  std::string text = "lengths";
  for (const auto l : c.lengths) text += " " + std::to_string(l);
  return text + ", E " + std::to_string(c.channels) + ", N " + std::to_string(c.states) + ", interval " +
         std::to_string(c.interval) + ", segment " + std::to_string(c.segment_length);
}

/// Uniform values, the same on every machine.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : state_(seed) {}
  double operator()(double low, double high) {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return low + (high - low) * static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

/// ‖found − expected‖ / ‖expected‖, infinite where a value is NaN.
template <class T>
double norm_error(const std::vector<T>& found, const std::vector<double>& expected) {
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = static_cast<double>(static_cast<float>(found[i])) - expected[i];
    if (!(std::fabs(difference) < std::numeric_limits<double>::max()))
      return std::numeric_limits<double>::infinity();
    error += difference * difference;
    norm += expected[i] * expected[i];
  }
  return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

/// A matrix whose rows have NaN beside them, and the same values in double.
template <class IO>
struct PaddedMatrix {
  std::size_t rows, cols, stride;
  std::vector<IO> values;
  std::vector<double> exact;

  PaddedMatrix(std::size_t rows_, std::size_t cols_, std::size_t padding)
      : rows(rows_),
        cols(cols_),
        stride(cols_ + padding),
        values(rows * stride + 1, IO(std::numeric_limits<float>::quiet_NaN())),
        exact(rows * cols) {}

  PaddedMatrix& fill(Draws& draw, double low, double high) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        const IO value(static_cast<float>(draw(low, high)));
        values[i * stride + j] = value;
        exact[i * cols + j] = static_cast<double>(static_cast<float>(value));
      }
    }
    return *this;
  }
  sdlora::MatrixView<const double> view() const { return {exact.data(), rows, cols}; }

  /// The values of a matrix of this shape; checks that what lies beside them is untouched.
  std::vector<IO> take(const std::vector<IO>& all) const {
    std::vector<IO> inner;
    bool intact = true;
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < stride; ++j) {
        if (j < cols) {
          inner.push_back(all[i * stride + j]);
        } else {
          intact = intact && std::isnan(static_cast<float>(all[i * stride + j]));
        }
      }
    }
    CHECK_MESSAGE(intact, "something was written beside a matrix");
    return inner;
  }
};

inline std::vector<double> exact_of(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

inline std::vector<float> floats(Draws& draw, std::size_t count, double low, double high) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(draw(low, high));
  return values;
}

/// Runs forward and backward of one case on the device and compares all results with the definition
/// in double. Gives the bits of all results.
template <class IO, bool Gate, int FixedStates = 0,
          sdlora::SelectiveScanGradients Wanted = sdlora::SelectiveScanGradients::all(), class Device>
std::vector<std::uint32_t> check_scan_kernels(Device& device, const ScanCase& c, std::uint64_t seed = 7) {
  using namespace sdlora;
  constexpr SelectiveScanGradients asked = [] {
    SelectiveScanGradients gradients = Wanted;
    gradients.z = Wanted.z && Gate;
    return gradients;
  }();
  const std::string title =
      describe(c) + (std::is_same_v<IO, float> ? ", float" : ", bfloat16") + (Gate ? ", gate" : "");
  INFO(title);
  const double tolerance = std::is_same_v<IO, float> ? 3e-6 * Device::slack : 4e-3;
  constexpr double sum_tolerance = 2e-5 * Device::slack;  // sums over time in float, which may cancel
  constexpr double before = 0.25;                         // gradients that are added to
  Draws draw(seed);

  std::vector<std::int64_t> offsets{0};
  for (const auto l : c.lengths) offsets.push_back(offsets.back() + l);
  const std::vector<std::size_t> host_offsets(offsets.begin(), offsets.end());
  const std::size_t S = c.lengths.size(), M = host_offsets.back();
  const auto E = static_cast<std::size_t>(c.channels), N = static_cast<std::size_t>(c.states);
  const auto padding = static_cast<std::size_t>(c.padding);

  PaddedMatrix<IO> u(M, E, padding), dt(M, E, padding), z(M, E, padding), B(M, N, padding), C(M, N, padding),
      d_out(M, E, padding), wide(M, E, padding), narrow(M, N, padding);
  u.fill(draw, -1, 1);
  dt.fill(draw, c.dt.low, c.dt.high);
  z.fill(draw, c.z.low, c.z.high);
  B.fill(draw, -1, 1);
  C.fill(draw, -1, 1);
  d_out.fill(draw, -1, 1);
  const auto A = floats(draw, E * N, c.A.low, c.A.high), D = floats(draw, E, -1, 1),
             bias = floats(draw, E, -1, 1), initial_state = floats(draw, S * E * N, -1, 1),
             d_final_state = floats(draw, S * E * N, -1, 1);

  SelectiveScanInputs<double> exact;
  const auto exact_A = exact_of(A), exact_D = exact_of(D), exact_bias = exact_of(bias),
             exact_initial_state = exact_of(initial_state), exact_d_final_state = exact_of(d_final_state);
  exact.sequences = Sequences{host_offsets};
  exact.u = u.view();
  exact.dt = dt.view();
  exact.B = B.view();
  exact.C = C.view();
  if (Gate) exact.z = z.view();
  exact.A = {exact_A.data(), E, N};
  if (c.with_vectors) {
    exact.D = {exact_D.data(), 1, E};
    exact.dt_bias = {exact_bias.data(), 1, E};
  }
  if (c.with_states) {
    exact.initial_state = {exact_initial_state.data(), S, E * N, c.shared_initial_state ? 0 : E * N};
  }
  std::vector<double> out(M * E), final_state(S * E * N), d_u(M * E), d_dt(M * E), d_z(M * E), d_B(M * N),
      d_C(M * N), d_A(E * N, before), d_D(E, before), d_bias(E, before), d_initial_state(S * E * N, before);
  selective_scan_reference_forward(exact, {out.data(), M, E}, {final_state.data(), S, E * N});
  SelectiveScanGradients wanted = SelectiveScanGradients::all();
  wanted.z = Gate;
  wanted.D = c.with_vectors;
  const std::vector<std::size_t> selected(c.selected.begin(), c.selected.end());
  if constexpr (Wanted.A == AGradient::SelectedChannels) {
    wanted.A = AGradient::SelectedChannels;
    d_A.assign(selected.size() * N, before);
  }
  SelectiveScanGradientOutputs<double> expected;
  expected.u = {d_u.data(), M, E};
  expected.dt = {d_dt.data(), M, E};
  expected.z = {d_z.data(), M, E};
  expected.B = {d_B.data(), M, N};
  expected.C = {d_C.data(), M, N};
  expected.A = {d_A.data(), d_A.size() / N, N};
  expected.channels = selected;
  expected.D = {d_D.data(), 1, E};
  expected.dt_bias = {d_bias.data(), 1, E};
  expected.initial_state = {d_initial_state.data(), S, E * N, c.shared_initial_state ? 0 : E * N};
  MatrixView<const double> exact_d_final;
  if (c.with_states) exact_d_final = {exact_d_final_state.data(), S, E * N};
  selective_scan_reference_backward(exact, d_out.view(), exact_d_final, wanted, expected);

  using Values = typename Device::template Buffer<IO>;
  using Floats = typename Device::template Buffer<float>;
  typename Device::template Buffer<std::int64_t> device_offsets(offsets);
  Values device_u(u.values), device_dt(dt.values), device_z(z.values), device_B(B.values), device_C(C.values),
      device_d_out(d_out.values);
  Floats device_A(A), device_D(D), device_bias(bias), device_initial_state(initial_state),
      device_d_final_state(d_final_state);
  detail::KernelInputs<IO> in;
  in.u = {device_u.data(), M, E, u.stride};
  in.dt = {device_dt.data(), M, E, dt.stride};
  if (Gate) in.z = {device_z.data(), M, E, z.stride};
  in.B = {device_B.data(), M, N, B.stride};
  in.C = {device_C.data(), M, N, C.stride};
  in.A = device_A.data();
  in.offsets = device_offsets.data();
  if (c.with_vectors) {
    in.D = device_D.data();
    in.dt_bias = device_bias.data();
  }
  if (c.with_states) in.initial_state = device_initial_state.data();
  const auto initial_stride = static_cast<std::int64_t>(c.shared_initial_state ? 0 : E * N);
  in.initial_stride = initial_stride;

  detail::KernelScanShape shape{offsets.back(), static_cast<std::int64_t>(S), 0, c.channels, c.states};
  for (const auto l : c.lengths) shape.longest = std::max(shape.longest, l);
  const detail::KernelScanPlan plan(shape,
                                    {.checkpoint_interval = c.interval, .segment_length = c.segment_length});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto poisoned = [&](std::size_t count) { return std::vector<float>(count + 1, nan); };

  // Forward.
  Values device_out(wide.values);
  Floats device_final(poisoned(S * E * N)), checkpoints(poisoned(plan.checkpoint_floats())),
      workspace(poisoned(plan.forward_workspace_floats()));
  const detail::KernelOutputs<IO> outputs{
      {device_out.data(), M, E, wide.stride}, device_final.data(), checkpoints.data()};
  detail::run_scan_forward<IO, FixedStates, Gate>(device, plan, in, outputs, workspace.data());
  std::vector<std::uint32_t> bits;
  const auto check_close = [&](const auto& found, const std::vector<double>& want, double limit) {
    for (const auto value : found) bits.push_back(std::bit_cast<std::uint32_t>(static_cast<float>(value)));
    CHECK(norm_error(found, want) < limit);
  };
  check_close(wide.take(device_out.read()), out, tolerance);
  check_close(device_final.read(), final_state, sum_tolerance);

  // Backward.
  Values device_d_u(wide.values), device_d_dt(wide.values), device_d_z(wide.values),
      device_d_B(narrow.values), device_d_C(narrow.values);
  // What is added to begins where the expected gradients do, what is not asked for as NaN.
  const auto added_to = [&](bool is_wanted, std::size_t count) {
    return is_wanted ? std::vector<float>(count, static_cast<float>(before)) : poisoned(count);
  };
  Floats device_d_A(added_to(asked.A != AGradient::None, d_A.size())), device_d_D(added_to(asked.D, E)),
      device_d_bias(added_to(asked.dt_bias, E)),
      device_d_initial_state(added_to(asked.initial_state, S * E * N)),
      backward_workspace(poisoned(plan.backward_workspace_floats(asked, static_cast<int>(c.selected.size()),
                                                                 c.shared_initial_state)));
  typename Device::template Buffer<std::int64_t> device_selected(
      std::vector<std::int64_t>(c.selected.begin(), c.selected.end()));
  detail::KernelGradients<IO> gradients;
  gradients.u = {device_d_u.data(), M, E, wide.stride};
  gradients.dt = {device_d_dt.data(), M, E, wide.stride};
  gradients.z = {device_d_z.data(), M, E, wide.stride};
  gradients.B = {device_d_B.data(), M, N, narrow.stride};
  gradients.C = {device_d_C.data(), M, N, narrow.stride};
  gradients.A = device_d_A.data();
  gradients.D = device_d_D.data();
  gradients.dt_bias = device_d_bias.data();
  gradients.initial_state = device_d_initial_state.data();
  gradients.initial_stride = initial_stride;
  gradients.selected = device_selected.data();
  gradients.selected_count = static_cast<int>(c.selected.size());
  detail::run_scan_backward<IO, FixedStates, Gate, asked>(
      device, plan, in, checkpoints.data(), {device_d_out.data(), M, E, d_out.stride},
      c.with_states ? MatrixView<const float>(device_d_final_state.data(), S, E * N)
                    : MatrixView<const float>(),
      gradients, backward_workspace.data());
  const auto untouched = [](const auto& values) {
    return std::all_of(values.begin(), values.end(),
                       [](auto v) { return std::isnan(static_cast<float>(v)); });
  };
  const auto compare = [&](bool is_wanted, const char* name, const auto& found,
                           const std::vector<double>& want, double limit) {
    const std::string gradient = name;
    INFO(gradient);
    if (is_wanted) {
      check_close(found, want, limit);
    } else {
      CHECK(untouched(found));
    }
  };
  compare(Wanted.u, "d_u", wide.take(device_d_u.read()), d_u, tolerance);
  compare(Wanted.dt, "d_dt", wide.take(device_d_dt.read()), d_dt, tolerance);
  if (Gate) compare(Wanted.z, "d_z", wide.take(device_d_z.read()), d_z, tolerance);
  compare(Wanted.B, "d_B", narrow.take(device_d_B.read()), d_B, tolerance);
  compare(Wanted.C, "d_C", narrow.take(device_d_C.read()), d_C, tolerance);
  compare(Wanted.A != AGradient::None, "d_A", device_d_A.read(), d_A, sum_tolerance);
  if (c.with_vectors) compare(Wanted.D, "d_D", device_d_D.read(), d_D, sum_tolerance);
  compare(Wanted.dt_bias, "d_dt_bias", device_d_bias.read(), d_bias, sum_tolerance);
  compare(Wanted.initial_state, "d_initial_state", device_d_initial_state.read(), d_initial_state,
          sum_tolerance);
  return bits;
}

/// 16 states in sequences of unequal length: whole and in segments, states kept at each of `intervals`, rows
/// of which four values cannot (padding 3) and can be moved at once.
template <class IO, class Device>
void check_scan_kernels_cut(Device& device, std::initializer_list<int> intervals) {
  for (const std::int64_t segment : {0, 64, 128}) {
    for (const int interval : intervals) {
      for (const int padding : {3, 4}) {
        check_scan_kernels<IO, true, 16>(device, {.lengths = {300, 0, 45, 129},
                                                  .channels = 200,
                                                  .states = 16,
                                                  .interval = interval,
                                                  .segment_length = segment,
                                                  .padding = padding});
      }
    }
  }
}

}  // namespace sdlora_test
