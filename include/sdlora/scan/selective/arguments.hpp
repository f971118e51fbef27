#pragma once

#include "../../error.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/sequences.hpp"
#include "../detail/matrix_checks.hpp"
#include "../menu/detail/call_checks.hpp"
#include "gradients.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

namespace sdlora {

/// What a selective scan reads. Per row t of a sequence, channel e and state n:
///   Δ = softplus(dt + dt_bias)                 discretisation step
///   h ← exp(Δ·A[e,n])·h + Δ·u·B[t,n]           recurrence
///   out = (Σ_n C[t,n]·h + D·u) · silu(z)       skip and gate
/// (Gu and Dao, "Mamba", 2023, algorithm 2.) Views may be strided; they are not owned.
template <class T>
struct SelectiveScanInputs {
  static_assert(
      std::is_same_v<T, float> || std::is_same_v<T, double>,
      "sdlora::SelectiveScanInputs: values are float or double; on a GPU cuda_selective_scan_forward "
      "and _backward read bfloat16");

  Sequences sequences;               ///< packed rows; the state restarts at each sequence
  MatrixView<const T> u, dt;         ///< (M, E); dt before bias and softplus
  MatrixView<const T> B, C;          ///< (M, N)
  MatrixView<const T> z;             ///< (M, E) gate; absent (no gate) when empty
  MatrixView<const T> A;             ///< (E, N), = −exp(A_log), so ≤ 0: above, states grow without bound
  const T* D = nullptr;              ///< (E); absent (no skip) when null
  const T* dt_bias = nullptr;        ///< (E); absent when null
  const T* initial_state = nullptr;  ///< (S, E, N); zero when null
  std::size_t initial_stride = 0;    ///< elements between sequences' states; 0: one state shared by all

  constexpr std::size_t channels() const { return A.rows; }
  constexpr std::size_t states() const { return A.cols; }
};

/// Where a backward pass puts its gradients; only those asked for are touched.
template <class T>
struct SelectiveScanGradientOutputs {
  MatrixView<T> u, dt;  ///< (M, E), overwritten; dt is the one before bias and softplus
  MatrixView<T> B, C;   ///< (M, N), overwritten
  MatrixView<T> z;      ///< (M, E), overwritten
  T* A = nullptr;       ///< (E, N), or (channels.size(), N) for AGradient::SelectedChannels; added to
  std::span<const std::size_t> channels;  ///< ascending channel indices, for SelectedChannels
  T* D = nullptr;                         ///< (E), added to
  T* dt_bias = nullptr;                   ///< (E), added to
  T* initial_state = nullptr;             ///< (S, E, N), added to
  std::size_t initial_stride = 0;         ///< as in the inputs; 0: summed over the sequences, in order
};

namespace detail {

template <class T>
MatrixChecks matrix_checks(const SelectiveScanInputs<T>& in) {
  return {"selective_scan",
          in.sequences.rows(),
          in.channels(),
          in.states(),
          "one row per row of the sequences",
          "one column per channel of A",
          "one column per state of A"};
}

/// Throws ShapeError unless all inputs fit together. N is the compile-time number of states, or `dyn`.
template <std::size_t N, class T>
void check_selective_scan_inputs(const SelectiveScanInputs<T>& in) {
  const std::size_t rows = in.sequences.rows(), E = in.channels(), states = in.states();
  if (N != dyn && states != N) {
    throw ShapeError("selective_scan: A has " + std::to_string(states) +
                     " states but the call is compiled for " + std::to_string(N) + "; use that N, or dyn");
  }
  if (in.sequences.offsets.empty() && in.u.rows > 0) {
    throw ShapeError("selective_scan: u has " + std::to_string(in.u.rows) +
                     " rows but no sequences are given; pass their offsets, {0, " +
                     std::to_string(in.u.rows) + "} for one");
  }
  check_sequences("selective_scan", in.sequences, rows);
  check_matrix("selective_scan", "A", in.A, E, states, "its channels", "its states");
  matrix_checks(in).check_inputs(in);
  if (in.initial_state && in.initial_stride != 0 && in.initial_stride < E * states) {
    throw ShapeError("selective_scan: initial states of " + std::to_string(E * states) +
                     " values lie at a distance of " + std::to_string(in.initial_stride) +
                     "; give a stride of at least their size, or 0 to share one state");
  }
}

/// Throws ShapeError unless every gradient that is asked for has its input and a fitting output.
template <class T>
void check_selective_scan_gradients(const SelectiveScanInputs<T>& in, const MatrixView<const T>& d_out,
                                    const SelectiveScanGradients& wanted,
                                    const SelectiveScanGradientOutputs<T>& gradients) {
  const std::size_t E = in.channels(), states = in.states();
  const MatrixChecks checks = matrix_checks(in);
  checks.check_gradients(in, d_out, wanted, gradients);
  if (wanted.A == AGradient::SelectedChannels) {
    if (!gradients.A && !gradients.channels.empty()) checks.missing("A");
    for (std::size_t i = 0; i < gradients.channels.size(); ++i) {
      if (gradients.channels[i] >= E || (i > 0 && gradients.channels[i] <= gradients.channels[i - 1])) {
        throw ShapeError("selective_scan: selected channels must ascend and be below " + std::to_string(E) +
                         "; entry " + std::to_string(i) + " is " + std::to_string(gradients.channels[i]));
      }
    }
  }
  if (E * states == 0) return;
  if (wanted.A == AGradient::All && !gradients.A) checks.missing("A");
  if (wanted.D && (!in.D || !gradients.D)) checks.missing("D");
  if (wanted.dt_bias && !gradients.dt_bias) checks.missing("dt_bias");
  if (wanted.initial_state && in.sequences.count() > 0) {
    if (!gradients.initial_state) checks.missing("the initial state");
    if (gradients.initial_stride != 0 && gradients.initial_stride < E * states) {
      throw ShapeError("selective_scan: gradients of initial states of " + std::to_string(E * states) +
                       " values lie at a distance of " + std::to_string(gradients.initial_stride) +
                       "; give a stride of at least their size, or 0 to sum over the sequences");
    }
  }
}

}  // namespace detail
}  // namespace sdlora
