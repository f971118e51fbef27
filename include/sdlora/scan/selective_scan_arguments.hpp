#pragma once

#include "../error.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/sequences.hpp"
#include "detail/matrix_check.hpp"
#include "options.hpp"

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

/// Which part of A's gradient is computed.
enum class AGradient {
  None,
  SelectedChannels,  ///< rows of the listed channels only: costs in proportion to the vectors they touch
  All
};

/// Which gradients a backward pass computes. What is not asked for is not compiled.
struct SelectiveScanGradients {
  bool u = false, dt = false, B = false, C = false, z = false;
  AGradient A = AGradient::None;
  bool D = false, dt_bias = false, initial_state = false;

  static constexpr SelectiveScanGradients all() {
    return {true, true, true, true, true, AGradient::All, true, true, true};
  }
  friend constexpr bool operator==(const SelectiveScanGradients&, const SelectiveScanGradients&) = default;
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
void check_scan_matrix(const char* what, const MatrixView<T>& matrix, std::size_t rows, std::size_t cols,
                       const char* why) {
  check_matrix("selective_scan", what, matrix, rows, cols, why);
}

inline constexpr const char* scan_row_rule =
    "one row per row of the sequences and one column per channel of A";
inline constexpr const char* scan_state_rule =
    "one row per row of the sequences and one column per state of A";

/// Throws ShapeError unless all inputs fit together. N is the compile-time number of states, or `dyn`.
template <std::size_t N, class T>
void check_selective_scan_inputs(const SelectiveScanInputs<T>& in) {
  const std::size_t rows = in.sequences.rows(), E = in.channels(), states = in.states();
  if (N != dyn && states != N) {
    throw ShapeError("selective_scan: A has " + std::to_string(states) +
                     " states but the call is compiled for " + std::to_string(N) + "; use that N, or dyn");
  }
  check_sequences("selective_scan", in.sequences, rows);
  check_scan_matrix("A", in.A, E, states, "");
  check_scan_matrix("u", in.u, rows, E, scan_row_rule);
  check_scan_matrix("dt", in.dt, rows, E, scan_row_rule);
  if (in.z) check_scan_matrix("z", in.z, rows, E, scan_row_rule);
  check_scan_matrix("B", in.B, rows, states, scan_state_rule);
  check_scan_matrix("C", in.C, rows, states, scan_state_rule);
  if (in.initial_state && in.initial_stride != 0 && in.initial_stride < E * states) {
    throw ShapeError("selective_scan: initial states of " + std::to_string(E * states) +
                     " values lie at a distance of " + std::to_string(in.initial_stride) +
                     "; give a stride of at least their size, or 0 to share one state");
  }
}

[[noreturn]] inline void selective_scan_missing(const char* what) {
  throw ShapeError(
      std::string("selective_scan: the gradient of ") + what +
      " is asked for, but the input or the output for it is absent; pass both, or do not ask for it");
}

/// Throws ShapeError unless every gradient that is asked for has its input and a fitting output.
template <class T>
void check_selective_scan_gradients(const SelectiveScanInputs<T>& in, const MatrixView<const T>& d_out,
                                    const SelectiveScanGradients& wanted,
                                    const SelectiveScanGradientOutputs<T>& out) {
  const std::size_t rows = in.sequences.rows(), E = in.channels(), states = in.states();
  check_scan_matrix("d_out", d_out, rows, E, scan_row_rule);
  if (wanted.u) check_scan_matrix("the gradient of u", out.u, rows, E, scan_row_rule);
  if (wanted.dt) check_scan_matrix("the gradient of dt", out.dt, rows, E, scan_row_rule);
  if (wanted.B) check_scan_matrix("the gradient of B", out.B, rows, states, scan_state_rule);
  if (wanted.C) check_scan_matrix("the gradient of C", out.C, rows, states, scan_state_rule);
  if (wanted.z) {
    if (!in.z && rows * E > 0) selective_scan_missing("z");
    check_scan_matrix("the gradient of z", out.z, rows, E, scan_row_rule);
  }
  if (wanted.A == AGradient::SelectedChannels) {
    if (!out.A && !out.channels.empty()) selective_scan_missing("A");
    for (std::size_t i = 0; i < out.channels.size(); ++i) {
      if (out.channels[i] >= E || (i > 0 && out.channels[i] <= out.channels[i - 1])) {
        throw ShapeError("selective_scan: selected channels must ascend and be below " + std::to_string(E) +
                         "; entry " + std::to_string(i) + " is " + std::to_string(out.channels[i]));
      }
    }
  }
  if (E * states == 0) return;
  if (wanted.A == AGradient::All && !out.A) selective_scan_missing("A");
  if (wanted.D && (!in.D || !out.D)) selective_scan_missing("D");
  if (wanted.dt_bias && !out.dt_bias) selective_scan_missing("dt_bias");
  if (wanted.initial_state && in.sequences.count() > 0) {
    if (!out.initial_state) selective_scan_missing("the initial state");
    if (out.initial_stride != 0 && out.initial_stride < E * states) {
      throw ShapeError("selective_scan: gradients of initial states of " + std::to_string(E * states) +
                       " values lie at a distance of " + std::to_string(out.initial_stride) +
                       "; give a stride of at least their size, or 0 to sum over the sequences");
    }
  }
}

}  // namespace detail
}  // namespace sdlora
