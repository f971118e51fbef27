#pragma once

#include "../../error.hpp"
#include "../../tensor/bfloat16.hpp"
#include "../../tensor/device.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/sequences.hpp"
#include "../detail/matrix_checks.hpp"
#include "gradients.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

namespace sdlora {

/// The type of a selective scan's states and parameters, for activations of type T: float for bfloat16, else
/// T itself.
template <class T>
using ScanState = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

/// What a selective scan reads. Per row t of a sequence, channel e and state n:
///   Δ = softplus(dt + dt_bias)                 discretisation step
///   h ← exp(Δ·A[e,n])·h + Δ·u·B[t,n]           recurrence
///   out = (Σ_n C[t,n]·h + D·u) · silu(z)       skip and gate
/// (Gu and Dao, "Mamba", 2023, algorithm 2.) Views may be strided; they are not owned. All memory is the
/// device's. T is float or double on the `Cpu`, float or BFloat16 on devices that run kernels.
template <class T, class Device = Cpu>
struct SelectiveScanInputs {
  static_assert(
      is_host<Device> ? std::is_same_v<T, float> || std::is_same_v<T, double>
                      : std::is_same_v<T, float> || std::is_same_v<T, BFloat16>,
      "sdlora::SelectiveScanInputs: values are float or double on the Cpu, float or BFloat16 on devices that "
      "run kernels");
  using state_type = ScanState<T>;

  SequencesOn<Device> sequences = {};                 ///< packed rows; the state restarts at each sequence
  MatrixView<const T, Device> u = {}, dt = {};        ///< (M, E); dt before bias and softplus
  MatrixView<const T, Device> B = {}, C = {};         ///< (M, N)
  MatrixView<const T, Device> z = {};                 ///< (M, E) gate; absent (no gate) when empty
  MatrixView<const state_type, Device> A = {};        ///< (E, N), = −exp(A_log), so ≤ 0: above, states grow
  MatrixView<const state_type, Device> D = {};        ///< (1, E); absent (no skip) when empty
  MatrixView<const state_type, Device> dt_bias = {};  ///< (1, E); absent when empty
  MatrixView<const state_type, Device> initial_state =
      {};  ///< (S, E·N), stride 0: one for all; zero when empty

  constexpr std::size_t channels() const { return A.rows; }
  constexpr std::size_t states() const { return A.cols; }
};

/// Where a backward pass puts its gradients; only those asked for are touched.
template <class T, class Device = Cpu>
struct SelectiveScanGradientOutputs {
  using state_type = ScanState<T>;

  MatrixView<T, Device> u = {}, dt = {};  ///< (M, E), overwritten; dt is the one before bias and softplus
  MatrixView<T, Device> B = {}, C = {};   ///< (M, N), overwritten
  MatrixView<T, Device> z = {};           ///< (M, E), overwritten
  MatrixView<state_type, Device> A = {};  ///< (E, N), or (channels.size(), N) for SelectedChannels; added to
  std::span<const std::size_t> channels = {};   ///< ascending, for SelectedChannels; the host's memory
  MatrixView<state_type, Device> D = {};        ///< (1, E), added to
  MatrixView<state_type, Device> dt_bias = {};  ///< (1, E), added to
  MatrixView<state_type, Device> initial_state =
      {};  ///< (S, E·N), added to; stride 0: the sum over sequences
};

namespace detail {

template <class T, class Device>
MatrixChecks matrix_checks(const SelectiveScanInputs<T, Device>& in) {
  return {"selective_scan",
          in.sequences.rows(),
          in.channels(),
          in.states(),
          "one row per row of the sequences",
          "one column per channel of A",
          "one column per state of A"};
}

/// Throws ShapeError unless `vector` has one row of a value per channel.
template <class T, class Device>
void check_scan_vector(const char* what, const MatrixView<T, Device>& vector, std::size_t channels) {
  check_matrix("selective_scan", what, vector, 1, channels, "one row", "one column per channel of A");
}

/// Throws ShapeError unless `states` is absent or (S, E·N); a stride of 0, where it means something, is
/// taken.
template <class T, class Device>
void check_scan_states(const char* what, const MatrixView<T, Device>& states, std::size_t sequences,
                       std::size_t values, bool may_be_shared) {
  if (!states && states.rows == 0) return;
  MatrixView<T, Device> rows = states;
  if (may_be_shared && rows.stride == 0) rows.stride = rows.cols;
  check_matrix("selective_scan", what, rows, sequences, values, "one row per sequence",
               may_be_shared ? "one column per value of a state (channels x states), at a stride of 0 to "
                               "share one state"
                             : "one column per value of a state (channels x states)");
}

/// Throws ShapeError unless all inputs fit together. N is the compile-time number of states, or `dyn`.
template <std::size_t N, class T, class Device>
void check_selective_scan_inputs(const SelectiveScanInputs<T, Device>& in) {
  const std::size_t rows = in.sequences.rows(), E = in.channels(), states = in.states();
  if (N != dyn && states != N) {
    throw ShapeError("selective_scan: A has " + std::to_string(states) +
                     " states but the call is compiled for " + std::to_string(N) + "; use that N, or dyn");
  }
  const Sequences& sequences = in.sequences.on_host();
  if (sequences.offsets.empty() && in.u.rows > 0) {
    throw ShapeError("selective_scan: u has " + std::to_string(in.u.rows) +
                     " rows but no sequences are given; pass their offsets, {0, " +
                     std::to_string(in.u.rows) + "} for one");
  }
  check_sequences("selective_scan", sequences, rows);
  if constexpr (!is_host<Device>) {
    check_matrix("selective_scan", "the device's copy of the offsets", in.sequences.offsets,
                 sequences.offsets.empty() ? in.sequences.offsets.rows : 1, sequences.offsets.size(),
                 "one row", "one column per offset (place_sequences makes it)");
  }
  check_matrix("selective_scan", "A", in.A, E, states, "its channels", "its states");
  matrix_checks(in).check_inputs(in);
  if (in.D || in.D.rows > 0) check_scan_vector("D", in.D, E);
  if (in.dt_bias || in.dt_bias.rows > 0) check_scan_vector("dt_bias", in.dt_bias, E);
  check_scan_states("the initial state", in.initial_state, sequences.count(), E * states, true);
}

/// Throws ShapeError unless every gradient that is asked for has its input and a fitting output.
template <class T, class Device>
void check_selective_scan_gradients(const SelectiveScanInputs<T, Device>& in,
                                    const std::type_identity_t<MatrixView<const T, Device>>& d_out,
                                    const SelectiveScanGradients& wanted,
                                    const SelectiveScanGradientOutputs<T, Device>& gradients) {
  const std::size_t E = in.channels(), states = in.states();
  const MatrixChecks checks = matrix_checks(in);
  checks.check_gradients(in, d_out, wanted, gradients);
  if (wanted.A == AGradient::SelectedChannels) {
    const std::size_t count = gradients.channels.size();
    if (!gradients.A && count * states > 0) checks.missing("A");
    for (std::size_t i = 0; i < count; ++i) {
      if (gradients.channels[i] >= E || (i > 0 && gradients.channels[i] <= gradients.channels[i - 1])) {
        throw ShapeError("selective_scan: selected channels must ascend and be below " + std::to_string(E) +
                         "; entry " + std::to_string(i) + " is " + std::to_string(gradients.channels[i]));
      }
    }
    if (count * states > 0) {
      check_matrix("selective_scan", "the gradient of A", gradients.A, count, states,
                   "one row per selected channel", "one column per state of A");
    }
  }
  if (E * states == 0) return;
  if (wanted.A == AGradient::All) {
    if (!gradients.A) checks.missing("A");
    check_matrix("selective_scan", "the gradient of A", gradients.A, E, states, "one row per channel of A",
                 "one column per state of A");
  }
  if (wanted.D) {
    if (!in.D || !gradients.D) checks.missing("D");
    check_scan_vector("the gradient of D", gradients.D, E);
  }
  if (wanted.dt_bias) {
    if (!gradients.dt_bias) checks.missing("dt_bias");
    check_scan_vector("the gradient of dt_bias", gradients.dt_bias, E);
  }
  if (wanted.initial_state && in.sequences.count() > 0) {
    if (!gradients.initial_state) checks.missing("the initial state");
    check_scan_states("the gradient of the initial state", gradients.initial_state, in.sequences.count(),
                      E * states, true);
  }
}

/// Throws ShapeError unless states at the end of sequences, or their gradients, fit `in` or are absent.
template <class T, class S, class Device>
void check_final_states(const char* what, const SelectiveScanInputs<T, Device>& in,
                        const MatrixView<S, Device>& states) {
  check_scan_states(what, states, in.sequences.count(), in.channels() * in.states(), false);
}

}  // namespace detail
}  // namespace sdlora
