#pragma once

#include "../../../tensor/extents.hpp"
#include "../../../tensor/parallel.hpp"
#include "../arguments.hpp"
#include "blocks.hpp"
#include "parameters.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>

// The fused selective scan of sequences of one row, as generation has them: lanes are the states of a
// channel, which lie together, so that neither A nor states change their layout on the way.

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// Whether `scan_steps` does it: no sequence has more than one row, and states fill vectors.
template <class T>
bool is_scan_step(const SelectiveScanInputs<T>& in) {
  const std::size_t S = in.sequences.count();
  if (in.states() == 0 || in.states() % simd_width<T> != 0 || in.sequences.rows() > S) return false;
  for (std::size_t s = 0; s < S; ++s) {
    if (in.sequences.length(s) > 1) return false;
  }
  return true;
}

/// Channels [first, first + count) of one row, of at most scan_step_channels; `initial` and `final_state` are
/// the row's states or null.
inline constexpr std::size_t scan_step_channels = 128;
template <class T>
void scan_step(const SelectiveScanInputs<T>& in, const MatrixView<T>& out, std::size_t row, const T* initial,
               T* final_state, std::size_t first, std::size_t count) {
  using V = Simd<T>;
  constexpr std::size_t W = simd_width<T>;
  const std::size_t N = in.states();
  alignas(alignment) T delta[scan_step_channels], input[scan_step_channels], y[scan_step_channels];
  const auto load = [&](const T* from, std::size_t i) SDLORA_INLINED {
    if (i + W <= count) return V::load_unaligned(from + i);
    alignas(alignment) T part[W] = {};
    std::copy_n(from + i, count - i, part);
    return V::load_aligned(part);
  };
  for (std::size_t i = 0; i < count; i += W) {
    V dt = load(in.dt.row(row) + first, i);
    if (in.dt_bias) dt += load(in.dt_bias.row(0) + first, i);
    const V step = softplus_generic(dt);
    step.store_aligned(delta + i);
    V(step * load(in.u.row(row) + first, i)).store_aligned(input + i);
  }
  const T *B = in.B.row(row), *C = in.C.row(row);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t channel = first + i;
    const T* A = in.A.row(channel);
    V sum(T(0));
    for (std::size_t n = 0; n < N; n += W) {
      const V rate = V::load_unaligned(A + n) * V(FloatFormat<T>::log2e);
      // The decay adds a number's low bits to an exponent: those of a NaN must be none.
      const V clean = choose(rate == rate, rate, V(std::numeric_limits<T>::quiet_NaN()));
      const V before = initial != nullptr ? V::load_unaligned(initial + channel * N + n) : V(T(0));
      const V state = fused_multiply_add(decay<false>(V(delta[i]), clean), before,
                                         V(V(input[i]) * V::load_unaligned(B + n)));
      if (final_state != nullptr) state.store_unaligned(final_state + channel * N + n);
      sum = fused_multiply_add(V::load_unaligned(C + n), state, sum);
    }
    y[i] = xsimd::hadd(sum);
  }
  for (std::size_t i = 0; i < count; i += W) {
    V value = V::load_aligned(y + i);
    if (in.D) value = fused_multiply_add(load(in.D.row(0) + first, i), load(in.u.row(row) + first, i), value);
    if (in.z) {
      const V z = load(in.z.row(row) + first, i);
      value = value * z * sigmoid_generic(z);
    }
    T* to = out.row(row) + first + i;
    if (i + W <= count) {
      value.store_unaligned(to);
    } else {
      value.store_aligned(y + i);
      std::copy_n(y + i, count - i, to);
    }
  }
}

/// All sequences, where `is_scan_step`.
template <class T>
void scan_steps(const SelectiveScanInputs<T>& in, const MatrixView<T>& out,
                const MatrixView<T>& final_state) {
  const std::size_t E = in.channels(), S = in.sequences.count(), parts = ceil_div(E, scan_step_channels);
  run_scan_tasks(parts * S, 2 * S * E * in.states(), [&](std::size_t task) {
    const std::size_t s = task / parts, first = task % parts * scan_step_channels;
    const std::size_t count = std::min(scan_step_channels, E - first);
    const T* initial = in.initial_state ? in.initial_state.row(s) : nullptr;
    T* after = final_state ? final_state.row(s) : nullptr;
    if (in.sequences.length(s) != 0) {
      scan_step(in, out, in.sequences.first(s), initial, after, first, count);
    } else if (after != nullptr) {
      const std::size_t begin = first * in.states(), values = count * in.states();
      if (initial != nullptr) {
        std::copy_n(initial + begin, values, after + begin);
      } else {
        std::fill_n(after + begin, values, T(0));
      }
    }
  });
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
