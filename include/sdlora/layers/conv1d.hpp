#pragma once

#include "../error.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/sequences.hpp"
#include "../tensor/simd.hpp"
#include "../tensor/workspace.hpp"
#include "detail/conv1d_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace sdlora {

/// The arguments of a causal depthwise convolution with SiLU, K taps:
/// out[t] = silu(bias + Σ_k weight[:, k] · x[t − K + 1 + k]), per channel and sequence.
/// Inputs before a sequence come from its window: the K − 1 inputs that went before, oldest first.
template <class T, class D = Cpu>
struct Conv1dInputs {
  SequencesOn<D> sequences;
  MatrixView<const T, D> x;       ///< (M, E)
  MatrixView<const T, D> weight;  ///< (E, K)
  MatrixView<const T, D> bias;    ///< (1, E), or absent
  MatrixView<const T, D> window;  ///< (S, (K − 1)·E), a stride of 0: one shared by all; absent: zeros
};

/// Where the gradients of the convolution go; what is empty is not computed.
template <class T, class D = Cpu>
struct Conv1dGradients {
  MatrixView<T, D> x;       ///< (M, E), overwritten
  MatrixView<T, D> weight;  ///< (E, K), added to
  MatrixView<T, D> bias;    ///< (1, E), added to
  MatrixView<T, D> window;  ///< (1, (K − 1)·E), added to: the shared window's
};

namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// The rows that a convolution reads around each position, with those before the sequence.
template <std::size_t K, class T>
class Conv1dRows {
 public:
  Conv1dRows(const Conv1dInputs<T>& in, Workspace& workspace) : in_(in), channels_(in.x.cols) {
    T* taps = workspace.take<T>(K * channels_).data();
    for (std::size_t e = 0; e < channels_; ++e) {
      for (std::size_t k = 0; k < K; ++k) taps[k * channels_ + e] = in.weight(e, k);
    }
    taps_ = taps;
    T* zeros = workspace.take<T>(channels_).data();
    std::fill_n(zeros, channels_, T(0));
    zeros_ = zeros;
  }

  std::size_t sequence_of(std::size_t row) const {
    const auto& offsets = in_.sequences.offsets;
    return static_cast<std::size_t>(std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin()) -
           1;
  }

  /// The input at position t ≥ −(K − 1) of sequence s.
  const T* input(std::size_t s, std::ptrdiff_t t) const {
    if (t >= 0) return in_.x.row(in_.sequences.first(s) + static_cast<std::size_t>(t));
    if (!in_.window) return zeros_;
    const auto back = static_cast<std::size_t>(t + static_cast<std::ptrdiff_t>(K) - 1);
    return in_.window.row(s) + back * channels_;
  }

  std::array<const T*, K> inputs(std::size_t s, std::size_t t) const {
    std::array<const T*, K> rows;
    for (std::size_t k = 0; k < K; ++k) {
      rows[k] = input(s, static_cast<std::ptrdiff_t>(t + k) - static_cast<std::ptrdiff_t>(K) + 1);
    }
    return rows;
  }

  /// The convolution before SiLU at channel e (and those after it that fill a vector).
  template <class V>
  V before_activation(const std::array<const T*, K>& rows, std::size_t e) const {
    V sum = !in_.bias ? V(T(0)) : load<V>(in_.bias.data + e);
    for (std::size_t k = 0; k < K; ++k)
      sum = fma(load<V>(taps_ + k * channels_ + e), load<V>(rows[k] + e), sum);
    return sum;
  }

  template <class V>
  static V load(const T* p) {
    if constexpr (std::is_same_v<V, T>) {
      return *p;
    } else {
      return V::load_unaligned(p);
    }
  }

  const T* tap(std::size_t k) const { return taps_ + k * channels_; }

 private:
  const Conv1dInputs<T>& in_;
  std::size_t channels_;
  const T* taps_;
  const T* zeros_;
};

/// Throws ShapeError unless `view` is absent or (rows, cols), its rows one after another.
template <class T, class D>
void require_conv_view(const char* what, MatrixView<T, D> view, std::size_t rows, std::size_t cols) {
  if (!view || (view.rows == rows && view.cols == cols && view.contiguous())) return;
  throw ShapeError("conv1d: expected " + std::string(what) + " " + extents_text(rows, cols) + ", found " +
                   extents_text(view.rows, view.cols) + (view.contiguous() ? "" : " with gaps between rows") +
                   "; give it that shape, or leave it out");
}

template <class T, class D>
void require_conv_shapes(const Conv1dInputs<T, D>& in, std::size_t taps, std::size_t rows, std::size_t cols) {
  if (in.weight.rows != in.x.cols || in.weight.cols != taps || rows != in.x.rows || cols != in.x.cols ||
      in.sequences.rows() != in.x.rows) {
    throw ShapeError("conv1d: expected x and out " + extents_text(in.sequences.rows(), in.weight.rows) +
                     " and weight (E, " + std::to_string(taps) + "), found x " +
                     extents_text(in.x.rows, in.x.cols) + ", out " + extents_text(rows, cols) +
                     " and weight " + extents_text(in.weight.rows, in.weight.cols) +
                     "; pass one row per token of all sequences");
  }
  check_sequences("conv1d", in.sequences.on_host(), rows);
  require_conv_view("bias", in.bias, 1, in.x.cols);
  const std::size_t state = (taps - 1) * in.x.cols;
  if (in.window && (in.window.cols != state || in.window.rows != in.sequences.count())) {
    throw ShapeError("conv1d: expected windows " + extents_text(in.sequences.count(), state) + ", found " +
                     extents_text(in.window.rows, in.window.cols) +
                     "; give the last inputs of each sequence, or one for all with a stride of 0");
  }
}

template <class T, class D>
void require_conv_gradients(const Conv1dInputs<T, D>& in, std::size_t taps,
                            const Conv1dGradients<T, D>& gradients) {
  const std::size_t E = in.x.cols;
  if (gradients.x && (gradients.x.rows != in.x.rows || gradients.x.cols != E)) {
    throw ShapeError("conv1d: expected a gradient of x " + extents_text(in.x.rows, E) + ", found " +
                     extents_text(gradients.x.rows, gradients.x.cols) + "; give it the shape of x");
  }
  if (gradients.weight && (gradients.weight.rows != E || gradients.weight.cols != taps)) {
    throw ShapeError("conv1d: expected a gradient of the weight " + extents_text(E, taps) + ", found " +
                     extents_text(gradients.weight.rows, gradients.weight.cols) +
                     "; give it the shape of the weight");
  }
  require_conv_view("a gradient of the bias", gradients.bias, 1, E);
  require_conv_view("a gradient of the shared window", gradients.window, 1, (taps - 1) * E);
}

inline constexpr std::size_t conv_rows = 32;

/// use(row, sequence, position) for every row, tasks of some rows on all threads.
template <std::size_t K, class T, class Use>
void for_conv_rows(const Conv1dRows<K, T>& conv, const Sequences& sequences, const Use& use) {
  const std::size_t M = sequences.rows();
  parallel_for(detail::ceil_div(M, conv_rows), [&](std::size_t task) {
    const std::size_t last = std::min(M, (task + 1) * conv_rows);
    for (std::size_t row = task * conv_rows; row < last; ++row) {
      const std::size_t s = conv.sequence_of(row);
      use(row, s, row - sequences.first(s));
    }
  });
}

/// The gradients of a convolution, each from that of its sums before SiLU.
template <std::size_t K, class T>
class Conv1dBackward {
 public:
  /// From d_out (M, E) and, unless empty, d_final_window (S, (K − 1)·E).
  Conv1dBackward(const Conv1dInputs<T>& in, MatrixView<const T> d_out, MatrixView<const T> d_final_window,
                 Workspace& workspace)
      : in_(in),
        conv_(in, workspace),
        channels_(in.x.cols),
        d_sums_(workspace.matrix<T>(in.x.rows, channels_)),
        d_final_window_(d_final_window) {
    const auto silu_gradient = [](auto x, auto g) {
      using V = decltype(x);
      const V s = sdlora::sigmoid(x);
      return g * s * fma(x, V(T(1)) - s, V(T(1)));
    };
    for_conv_rows(conv_, in_.sequences, [&](std::size_t row, std::size_t s, std::size_t t) {
      const auto rows = conv_.inputs(s, t);
      std::size_t e = 0;
      for (; e + simd_width<T> <= channels_; e += simd_width<T>) {
        silu_gradient(conv_.template before_activation<Simd<T>>(rows, e),
                      Simd<T>::load_unaligned(d_out.row(row) + e))
            .store_unaligned(d_sums_.row(row) + e);
      }
      for (; e < channels_; ++e)
        d_sums_(row, e) = silu_gradient(conv_.template before_activation<T>(rows, e), d_out(row, e));
    });
  }

  /// d_x (M, E) = the inputs' gradient.
  void inputs(MatrixView<T> d_x) const {
    for_conv_rows(conv_, in_.sequences, [&](std::size_t row, std::size_t s, std::size_t t) {
      T* o = d_x.row(row);
      if (t + K - 1 < in_.sequences.length(s)) {  // every reader exists and the final window is beyond
        for (std::size_t e = 0; e < channels_; ++e) o[e] = conv_.tap(K - 1)[e] * d_sums_(row, e);
        for (std::size_t k = 0; k + 1 < K; ++k) {
          const T* tap = conv_.tap(k);
          const T* d = d_sums_.row(row + K - 1 - k);
          for (std::size_t e = 0; e < channels_; ++e) o[e] += tap[e] * d[e];
        }
      } else {
        for (std::size_t e = 0; e < channels_; ++e) o[e] = input(s, static_cast<std::ptrdiff_t>(t), e);
      }
    });
  }

  /// d_window (1, (K − 1)·E) += the gradient of the window that all sequences share.
  void window(MatrixView<T> d_window) const {
    for (std::size_t s = 0; s < in_.sequences.count(); ++s) {
      for (std::size_t j = 0; j + 1 < K; ++j) {
        const auto t = static_cast<std::ptrdiff_t>(j) - static_cast<std::ptrdiff_t>(K - 1);
        for (std::size_t e = 0; e < channels_; ++e) d_window(0, j * channels_ + e) += input(s, t, e);
      }
    }
  }

  /// d_weight (E, K) and d_bias (1, E), unless empty, += the gradients of the taps and the bias.
  void parameters(MatrixView<T> d_weight, MatrixView<T> d_bias) const {
    constexpr std::size_t block = 64;  // channels of one task; each sums over the rows in order
    parallel_for(ceil_div(channels_, block), [&](std::size_t task) {
      const std::size_t first = task * block;
      const std::size_t count = std::min(block, channels_ - first);
      std::array<std::array<T, block>, K + 1> sums{};
      for (std::size_t s = 0; s < in_.sequences.count(); ++s) {
        for (std::size_t t = 0; t < in_.sequences.length(s); ++t) {
          const T* d = d_sums_.row(in_.sequences.first(s) + t) + first;
          const auto rows = conv_.inputs(s, t);
          for (std::size_t k = 0; k < K; ++k) {
            const T* x = rows[k] + first;
            for (std::size_t e = 0; e < count; ++e) sums[k][e] += d[e] * x[e];
          }
          for (std::size_t e = 0; e < count; ++e) sums[K][e] += d[e];
        }
      }
      for (std::size_t e = 0; e < count; ++e) {
        if (d_weight) {
          for (std::size_t k = 0; k < K; ++k) d_weight(first + e, k) += sums[k][e];
        }
        if (d_bias) d_bias(0, first + e) += sums[K][e];
      }
    });
  }

 private:
  /// What position t ≥ −(K − 1) of sequence s receives: from the outputs that read it, and from the
  /// final window if it is part of that.
  T input(std::size_t s, std::ptrdiff_t t, std::size_t e) const {
    const auto length = static_cast<std::ptrdiff_t>(in_.sequences.length(s));
    T sum = T(0);
    for (std::size_t k = 0; k < K; ++k) {
      const std::ptrdiff_t reader = t + static_cast<std::ptrdiff_t>(K - 1 - k);
      if (reader < 0 || reader >= length) continue;
      sum += conv_.tap(k)[e] * d_sums_(in_.sequences.first(s) + static_cast<std::size_t>(reader), e);
    }
    const std::ptrdiff_t place = t - length + static_cast<std::ptrdiff_t>(K - 1);
    if (d_final_window_ && place >= 0) {
      sum += d_final_window_(s, static_cast<std::size_t>(place) * channels_ + e);
    }
    return sum;
  }

  const Conv1dInputs<T>& in_;
  Conv1dRows<K, T> conv_;
  std::size_t channels_;
  MatrixView<T> d_sums_;  // (M, E)
  MatrixView<const T> d_final_window_;
};

template <std::size_t K, class T>
void conv1d_forward(const Conv1dInputs<T>& in, MatrixView<T> out, MatrixView<T> final_window,
                    Workspace& workspace) {
  const WorkspaceScope scope(workspace);
  const Conv1dRows<K, T> conv(in, workspace);
  const std::size_t E = in.x.cols;
  for_conv_rows(conv, in.sequences, [&](std::size_t row, std::size_t s, std::size_t t) {
    const auto rows = conv.inputs(s, t);
    T* o = out.row(row);
    std::size_t e = 0;
    for (; e + simd_width<T> <= E; e += simd_width<T>) {
      sdlora::silu(conv.template before_activation<Simd<T>>(rows, e)).store_unaligned(o + e);
    }
    for (; e < E; ++e) o[e] = sdlora::silu(conv.template before_activation<T>(rows, e));
  });
  if (!final_window) return;
  for (std::size_t s = 0; s < in.sequences.count(); ++s) {
    for (std::size_t j = 0; j + 1 < K; ++j) {
      const auto t =
          static_cast<std::ptrdiff_t>(in.sequences.length(s) + j) - static_cast<std::ptrdiff_t>(K - 1);
      std::copy_n(conv.input(s, t), E, final_window.row(s) + j * E);
    }
  }
}

}  // namespace SDLORA_SIMD_TAG

template <class D>
Conv1dKernelInputs kernel_inputs(const Conv1dInputs<float, D>& in) {
  return {.offsets = reinterpret_cast<const std::int64_t*>(in.sequences.offsets.data),
          .sequences = static_cast<std::int64_t>(in.sequences.count()),
          .x = in.x.bare(),
          .weight = in.weight.bare(),
          .bias = in.bias.data,
          .window = in.window.data,
          .window_stride = static_cast<std::int64_t>(in.window.stride)};
}

/// Calls f with `taps` as a constant. Throws ArgumentError where it is not among those compiled.
template <class Function>
void with_taps(std::size_t taps, const Function& f) {
  switch (taps) {
    case 2:
      return f(std::integral_constant<std::size_t, 2>{});
    case 3:
      return f(std::integral_constant<std::size_t, 3>{});
    case 4:
      return f(std::integral_constant<std::size_t, 4>{});
    default:
      throw ArgumentError("conv1d: expected 2 to 4 taps where their number is given at run time, found " +
                          std::to_string(taps) + "; give the number in the type, as conv1d_silu_forward<" +
                          std::to_string(taps) + "> or the d_conv of a MambaConfig");
  }
}

}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// Causal depthwise convolution with SiLU. K is the number of taps, or `dyn` for 2 to 4, as in.weight says.
/// out (M, E); final_window (S, (K − 1)·E) gets the last
/// K − 1 inputs of each sequence (with its window before them) unless it is empty; it may not
/// overlap the window given. Throws ShapeError, and ArgumentError for another number of taps than these.
template <std::size_t K, class T, class D>
void conv1d_silu_forward(const Conv1dInputs<T, D>& in, std::type_identity_t<MatrixView<T, D>> out,
                         std::type_identity_t<MatrixView<T, D>> final_window, WorkspaceOn<D>& workspace) {
  if constexpr (K == dyn) {
    detail::with_taps(in.weight.cols, [&](auto taps) {
      conv1d_silu_forward<decltype(taps)::value>(in, out, final_window, workspace);
    });
  } else {
    detail::require_conv_shapes(in, K, out.rows, out.cols);
    detail::require_conv_view("final windows", final_window, in.sequences.count(), (K - 1) * in.x.cols);
    if constexpr (is_host<D>) {
      detail::conv1d_forward<K>(in, out, final_window, workspace);
    } else {
      Launcher<D> launcher("conv1d");
      detail::run_conv1d_forward<K>(launcher, detail::kernel_inputs(in), out.bare(), final_window.data);
    }
  }
}

/// Gradients of `conv1d_silu_forward` from d_out (M, E) and, unless empty, d_final_window (S, (K − 1)·E).
/// Throws as that does.
template <std::size_t K, class T, class D>
void conv1d_silu_backward(const Conv1dInputs<T, D>& in, std::type_identity_t<MatrixView<const T, D>> d_out,
                          std::type_identity_t<MatrixView<const T, D>> d_final_window,
                          const Conv1dGradients<T, D>& gradients, WorkspaceOn<D>& workspace) {
  if constexpr (K == dyn) {
    detail::with_taps(in.weight.cols, [&](auto taps) {
      conv1d_silu_backward<decltype(taps)::value>(in, d_out, d_final_window, gradients, workspace);
    });
  } else {
    detail::require_conv_shapes(in, K, d_out.rows, d_out.cols);
    detail::require_conv_view("gradients of the final windows", d_final_window, in.sequences.count(),
                              (K - 1) * in.x.cols);
    detail::require_conv_gradients(in, K, gradients);
    const WorkspaceScope scope(workspace);
    if constexpr (is_host<D>) {
      const detail::Conv1dBackward<K, T> backward(in, d_out, d_final_window, workspace);
      if (gradients.x) backward.inputs(gradients.x);
      if (gradients.window) backward.window(gradients.window);
      if (gradients.weight || gradients.bias) backward.parameters(gradients.weight, gradients.bias);
    } else {
      const detail::Conv1dKernelGradients to{gradients.x.bare(), gradients.weight.bare(), gradients.bias.data,
                                             gradients.window.data};
      const auto inputs = detail::kernel_inputs(in);
      const std::size_t scratch = detail::conv1d_backward_floats(K, inputs, to);
      Launcher<D> launcher("gradients of conv1d");
      detail::run_conv1d_backward<K>(launcher, inputs, d_out.bare(), d_final_window.data, to,
                                     workspace.template matrix<float>(1, scratch).data);
    }
  }
}

}  // namespace SDLORA_SIMD_TAG

}  // namespace sdlora
