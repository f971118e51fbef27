#pragma once

#include "../../error.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/sequences.hpp"
#include "../../tensor/workspace.hpp"

#include <cstddef>
#include <string>
#include <type_traits>

namespace sdlora {

/// What the S4D layer (Gu et al., arXiv 2206.11893) reads: H independent channels, each with N complex states
/// that stand for conjugate pairs, so that twice the real part is taken. Of a channel, with
/// A = −exp(log_A_real) + i·A_imag, dt = exp(log_dt), B = 1 and zero-order hold:
///   h_t = exp(dt·A)·h_{t−1} + (exp(dt·A) − 1)/A · u_t,   y_t = 2·Re(Σ_n C_n·h_{t,n}) + D·u_t
/// Complex values lie as pairs (real, imaginary), state after state.
template <class T, class Device = Cpu>
struct S4dInputs {
  Sequences sequences = {};                        ///< none: all rows are one
  MatrixView<const T, Device> u;                   ///< (M, H)
  MatrixView<const T, Device> log_A_real;          ///< (H, N)
  MatrixView<const T, Device> A_imag;              ///< (H, N)
  MatrixView<const T, Device> C;                   ///< (H, 2N)
  MatrixView<const T, Device> log_dt;              ///< (1, H)
  MatrixView<const T, Device> D = {};              ///< (1, H); absent: no skip
  MatrixView<const T, Device> initial_state = {};  ///< (S, 2HN), of stride 0 one for all; absent: zero
};

/// Where the gradients of an S4D layer go: u's is written, all others are added to. Those that are absent are
/// not wanted.
template <class T, class Device = Cpu>
struct S4dGradients {
  MatrixView<T, Device> u = {};              ///< (M, H)
  MatrixView<T, Device> log_A_real = {};     ///< (H, N)
  MatrixView<T, Device> A_imag = {};         ///< (H, N)
  MatrixView<T, Device> C = {};              ///< (H, 2N)
  MatrixView<T, Device> log_dt = {};         ///< (1, H)
  MatrixView<T, Device> D = {};              ///< (1, H)
  MatrixView<T, Device> initial_state = {};  ///< (S, 2HN), of stride 0 one for all

  /// Whether any of log_A_real, A_imag, C and log_dt is wanted.
  bool kernel() const { return log_A_real || A_imag || C || log_dt; }
};

/// A way to evaluate the S4D layer: an empty type with static
///   forward(in, y, final_state, workspace)     y (M, H); the states (S, 2HN) unless absent
///   backward(in, d_y, gradients, workspace)    from d_y (M, H)
/// S4dRecurrence and S4dConvolution are such ways, of the same function within rounding.
template <class E>
concept S4dEvaluation =
    std::is_empty_v<E> && requires(const S4dInputs<float>& in, MatrixView<float> out, Workspace& workspace) {
      E::forward(in, out, out, workspace);
      E::backward(in, MatrixView<const float>(out), S4dGradients<float>{}, workspace);
    };

namespace detail {

/// Throws ShapeError unless `found` is absent or (rows, cols).
template <class T, class D>
void require_s4d_view(const char* what, MatrixView<T, D> found, std::size_t rows, std::size_t cols) {
  if (!found || (found.rows == rows && found.cols == cols)) return;
  throw ShapeError("s4d: expected " + std::string(what) + " " + extents_text(rows, cols) + ", found " +
                   extents_text(found.rows, found.cols) + "; give it the sizes of u and log_A_real");
}

/// The sequences of a call, all rows where it names none.
struct S4dSequences {
  explicit S4dSequences(const Sequences& given, std::size_t rows)
      : ends{0, rows}, sequences(given.offsets.empty() ? Sequences{ends} : given) {
    check_sequences("s4d", sequences, rows);
  }
  S4dSequences(const S4dSequences&) = delete;
  S4dSequences& operator=(const S4dSequences&) = delete;

  std::size_t ends[2];
  Sequences sequences;
};

/// Throws ShapeError where shapes do not fit; `rows` are of y or its gradient.
template <class T, class D>
void check_s4d(const S4dInputs<T, D>& in, const Sequences& sequences, MatrixView<const T, D> y) {
  const std::size_t H = in.log_A_real.rows, N = in.log_A_real.cols;
  if (!in.log_A_real || !in.A_imag || !in.C || !in.log_dt) {
    throw ShapeError("s4d: expected log_A_real, A_imag, C and log_dt, found one of them absent; give all");
  }
  require_s4d_view("u", in.u, y.rows, H);
  require_s4d_view("an output or its gradient", y, in.u.rows, H);
  require_s4d_view("A_imag", in.A_imag, H, N);
  require_s4d_view("C", in.C, H, 2 * N);
  require_s4d_view("log_dt", in.log_dt, 1, H);
  require_s4d_view("D", in.D, 1, H);
  require_s4d_view("initial states", in.initial_state, sequences.count(), 2 * H * N);
}

/// The same of gradients.
template <class T, class D>
void check_s4d_gradients(const S4dInputs<T, D>& in, const Sequences& sequences,
                         const S4dGradients<T, D>& gradients) {
  const std::size_t H = in.log_A_real.rows, N = in.log_A_real.cols;
  require_s4d_view("a gradient of u", gradients.u, in.u.rows, H);
  require_s4d_view("a gradient of log_A_real", gradients.log_A_real, H, N);
  require_s4d_view("a gradient of A_imag", gradients.A_imag, H, N);
  require_s4d_view("a gradient of C", gradients.C, H, 2 * N);
  require_s4d_view("a gradient of log_dt", gradients.log_dt, 1, H);
  require_s4d_view("a gradient of D", gradients.D, 1, H);
  require_s4d_view("a gradient of the initial states", gradients.initial_state, sequences.count(), 2 * H * N);
}

}  // namespace detail
}  // namespace sdlora
