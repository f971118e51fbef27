#pragma once

#include "../../../tensor/extents.hpp"
#include "backward_work.hpp"
#include "blocks.hpp"
#include "parameters.hpp"
#include "rows.hpp"

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// The most states that the backward pass handles at once. With them, what one vector keeps of a chunk and
/// the sums over channels (four arrays of scan_chunk rows) stay in the first-level cache: keeping more and
/// reading it back from the second level costs more than the recurrence itself.
template <class T>
inline constexpr std::size_t scan_reverse_block = std::max<std::size_t>(1, 256 / (simd_width<T> * sizeof(T)));

/// The values of one chunk of one line: arrays (scan_chunk, line).
template <class T>
struct BackwardTile {
  T *delta, *input, *u;  // Δ; Δ·u; u
  T *d_y, *dt_slope;     // the gradient before the gate; Δ's derivative by dt
  T *z_slope, *y;        // d_out·silu'(z); D·u + Σ C·h
  T *gB, *qA;            // Σ g·B; Σ g·a·h·A·log2(e)

  static constexpr std::size_t size = 9 * scan_chunk * scan_line<T>;
  BackwardTile() = default;
  explicit BackwardTile(T* memory) {
    T** const arrays[] = {&delta, &input, &u, &d_y, &dt_slope, &z_slope, &y, &gB, &qA};
    for (T** array : arrays) {
      *array = memory;
      memory += size / 9;
    }
  }
};

/// What a task keeps of a chunk for one block of states, arrays (scan_chunk, States, vector): of the vector
/// in hand, a and a·h before the row; over all lines so far, Σ g·Δ·u (for d_B) and Σ d_y·h (for d_C).
template <class T>
struct BackwardBlock {
  T *decay, *ah, *B_sum, *C_sum;

  // Apart by no multiple of 4 KiB: a load would wait for a store to the same place in another page.
  static constexpr std::size_t array =
      ceil_div(scan_chunk * scan_reverse_block<T> * simd_width<T> * sizeof(T), 4096) * (4096 / sizeof(T)) +
      1024 / sizeof(T);
  static constexpr std::size_t size = 4 * array;
  BackwardBlock() = default;
  explicit BackwardBlock(T* memory)
      : decay(memory), ah(memory + array), B_sum(memory + 2 * array), C_sum(memory + 3 * array) {}
};

/// What the sums over channels are added to, in rows `stride` apart: the block's sums so far; for its first
/// vector one row of zeros, again and again, so that nothing is cleared.
template <class T>
struct SumsBefore {
  const T *B, *C;
  std::size_t stride;
};

/// Adds up the lanes of `Count` vectors: sums[i] = Σ lanes of vectors[i]. Pairs of vectors are zipped
/// while a 128-bit lane still has room, which instruction sets with and without lanes do alike; then the
/// 128-bit lanes are added.
template <std::size_t Count, class T>
inline void add_lanes(const T* vectors, T* sums) {
  using V = Simd<T>;
  constexpr std::size_t W = simd_width<T>, period = 16 / sizeof(T), padded = round_up(Count, period);
  using Quad = typename xsimd::make_sized_batch<T, period>::type;
  V x[padded];
  for (std::size_t i = 0; i < padded; ++i) x[i] = i < Count ? V::load_aligned(vectors + i * W) : V(T(0));
  alignas(64) T lanes[W];
  for (std::size_t first = 0; first < padded; first += period) {
    // After a level, a vector holds the sums of 2·level inputs, repeated with that period.
    for (std::size_t level = 1; level < period; level *= 2) {
      for (std::size_t i = 0; i < period / (2 * level); ++i) {
        const V a = x[first + i], b = x[first + i + period / (2 * level)];
        x[first + i] = xsimd::zip_lo(a, b) + xsimd::zip_hi(a, b);
      }
    }
    x[first].store_aligned(lanes);
    Quad sum = Quad::load_aligned(lanes);
    for (std::size_t k = period; k < W; k += period) sum += Quad::load_aligned(lanes + k);
    if (first + period <= Count) {
      sum.store_unaligned(sums + first);
    } else {
      sum.store_aligned(lanes);
      for (std::size_t j = 0; first + j < Count; ++j) sums[first + j] = lanes[j];
    }
  }
}

// The kernels take tiles by value: vector stores may alias anything, so what is behind a reference would
// be read again after each.

/// Runs the recurrence again over `length` rows of one vector, from the state `h` (N, line) that the
/// forward pass saved, and keeps what the reverse pass needs.
template <RecomputeWork Work, std::size_t States, bool Bounded, class T, std::size_t Ahead>
inline void recompute_states(const BackwardTile<T> tile, const BackwardBlock<T> block, std::size_t v,
                             std::size_t length, const T* A2, const T* h, const T* B, const T* C,
                             std::size_t N, const SumsBefore<T> before, RowsAhead<Ahead> ahead) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>, W = simd_width<T>;
  V state[States];
  if constexpr (Work.states()) {
    unrolled<States>([&](std::size_t n) SDLORA_INLINED { state[n] = V::load_unaligned(h + n * P); });
  }
  for (std::size_t t = 0; t < length; ++t) {
    ahead.fetch();
    const V delta = V::load_aligned(tile.delta + t * P + v);
    const V input = V::load_aligned(tile.input + t * P + v);
    const V d_y = V::load_aligned(tile.d_y + t * P + v);
    V y = V::load_aligned(tile.y + t * P + v);
    const std::size_t row = t * States * W;
    constexpr std::size_t step = std::min(States, scan_states_in_step);
    unrolled<States / step>([&](std::size_t i) SDLORA_INLINED {
      using Step = Pack<V, step>;
      const Step a = decay<Bounded>(
          Step::each([&](std::size_t) SDLORA_INLINED { return delta; }),
          Step::each([&](std::size_t j) SDLORA_INLINED { return V::load_aligned(A2 + (i * step + j) * P); }));
      unrolled<step>([&](std::size_t j) SDLORA_INLINED {
        const std::size_t n = i * step + j;
        if constexpr (Work.decay) a.part[j].store_aligned(block.decay + row + n * W);
        if constexpr (Work.states()) {
          const V ah = a.part[j] * state[n];
          if constexpr (Work.ah) ah.store_aligned(block.ah + row + n * W);
          state[n] = fma(input, V(B[t * N + n]), ah);
          if constexpr (Work.z) y = fma(V(C[t * N + n]), state[n], y);
          if constexpr (Work.C) {
            const V sum = V::load_aligned(before.C + t * before.stride + n * W);
            fma(d_y, state[n], sum).store_aligned(block.C_sum + row + n * W);
          }
        }
      });
    });
    if constexpr (Work.z) y.store_aligned(tile.y + t * P + v);
  }
}

/// Runs the adjoint recurrence over the rows that recompute_states kept, last row first. `carry` is a·g of
/// the row behind, `d_A` a sum over rows, both (N, line).
template <BackwardWork Work, std::size_t States, class T>
inline void reverse_states(const BackwardTile<T> tile, const BackwardBlock<T> block, std::size_t v,
                           std::size_t length, const T* A2, T* carry, T* d_A, const T* B, const T* C,
                           std::size_t N, const SumsBefore<T> before) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>, W = simd_width<T>;
  V g[States], sum_A[States];
  unrolled<States>([&](std::size_t n) SDLORA_INLINED {
    g[n] = V::load_aligned(carry + n * P);
    if constexpr (Work.A) sum_A[n] = V::load_aligned(d_A + n * P);
  });
  for (std::size_t t = length; t-- > 0;) {
    const V delta = V::load_aligned(tile.delta + t * P + v);
    const V input = V::load_aligned(tile.input + t * P + v);
    const V d_y = V::load_aligned(tile.d_y + t * P + v);
    V gB = V::load_aligned(tile.gB + t * P + v);
    V qA = V::load_aligned(tile.qA + t * P + v);
    const std::size_t row = t * States * W;
    unrolled<States>([&](std::size_t n) SDLORA_INLINED {
      const V gradient = fma(V(C[t * N + n]), d_y, g[n]);
      if constexpr (Work.gB()) gB = fma(gradient, V(B[t * N + n]), gB);
      if constexpr (Work.B) {
        const V sum = V::load_aligned(before.B + t * before.stride + n * W);
        fma(gradient, input, sum).store_aligned(block.B_sum + row + n * W);
      }
      if constexpr (Work.gah()) {
        const V q = gradient * V::load_aligned(block.ah + row + n * W);
        if constexpr (Work.A) sum_A[n] = fma(delta, q, sum_A[n]);
        if constexpr (Work.delta) qA = fma(V::load_aligned(A2 + n * P), q, qA);
      }
      g[n] = gradient * V::load_aligned(block.decay + row + n * W);
    });
    if constexpr (Work.gB()) gB.store_aligned(tile.gB + t * P + v);
    if constexpr (Work.delta) qA.store_aligned(tile.qA + t * P + v);
  }
  unrolled<States>([&](std::size_t n) SDLORA_INLINED {
    g[n].store_aligned(carry + n * P);
    if constexpr (Work.A) sum_A[n].store_aligned(d_A + n * P);
  });
}

/// Fills the tile of one chunk of one line, with what only Δ's gradient (`Delta`) or z's (`Gate`) needs where
/// one of these is wanted. Returns whether its decays are bounded.
template <bool Delta, bool Gate, class T>
bool prepare_backward_line(const SelectiveScanInputs<T>& in, const MatrixView<const T>& d_out,
                           const ScanParameters<T>& parameters, std::size_t line, std::size_t first_row,
                           std::size_t length, const BackwardTile<T> tile, T* staging) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>, W = simd_width<T>, part = scan_chunk * P;
  const std::size_t channel = line * P, count = std::min(P, in.channels() - channel);
  const LineRows<T> u_rows(in.u, first_row, length, channel, count, staging);
  const LineRows<T> dt_rows(in.dt, first_row, length, channel, count, staging + part);
  const LineRows<T> d_out_rows(d_out, first_row, length, channel, count, staging + 2 * part);
  const bool gated = static_cast<bool>(in.z);
  const LineRows<T> z_rows(gated ? in.z : in.u, first_row, length, channel, count, staging + 3 * part);
  bool bounded = true;
  for (std::size_t v = 0; v < P; v += W) {
    const V D = V::load_aligned(parameters.D.data() + channel + v);
    const V bias = V::load_aligned(parameters.dt_bias.data() + channel + v);
    V largest(T(0));
    for (std::size_t t = 0; t < length; t += scan_rows_in_step) {
      using Rows = Pack<V, scan_rows_in_step>;
      const auto row = [&](std::size_t i) SDLORA_INLINED { return std::min(t + i, length - 1); };
      const Rows one(T(1)), zero(T(0));
      const Rows raw = Rows::each(
          [&](std::size_t i) SDLORA_INLINED { return V(V::load_unaligned(dt_rows.row(row(i)) + v) + bias); });
      const Rows e = exp_below_overflow(negative_absolute(raw));
      const Rows delta = greater(zero, raw) + log1p_unit(e);
      unrolled<scan_rows_in_step>([&](std::size_t i) SDLORA_INLINED {
        const std::size_t at = row(i) * P + v;
        const V u = V::load_unaligned(u_rows.row(row(i)) + v);
        delta.part[i].store_aligned(tile.delta + at);
        largest = greater(largest, delta.part[i]);
        V(delta.part[i] * u).store_aligned(tile.input + at);
        u.store_aligned(tile.u + at);
        if constexpr (Gate) V(D * u).store_aligned(tile.y + at);
        V(T(0)).store_aligned(tile.gB + at);
        V(T(0)).store_aligned(tile.qA + at);
      });
      if constexpr (Delta) {
        const Rows slope = choose(raw < zero, e, one) / (one + e);
        unrolled<scan_rows_in_step>([&](std::size_t i) SDLORA_INLINED {
          slope.part[i].store_aligned(tile.dt_slope + row(i) * P + v);
        });
      }
      Rows d_y = Rows::each([&](std::size_t i)
                                SDLORA_INLINED { return V::load_unaligned(d_out_rows.row(row(i)) + v); });
      if (gated) {
        const Rows z = Rows::each([&](std::size_t i)
                                      SDLORA_INLINED { return V::load_unaligned(z_rows.row(row(i)) + v); });
        const Rows s = sigmoid_generic(z);
        if constexpr (Gate) {
          const Rows slope = d_y * s * fused_multiply_add(z, one - s, one);
          unrolled<scan_rows_in_step>([&](std::size_t i) SDLORA_INLINED {
            slope.part[i].store_aligned(tile.z_slope + row(i) * P + v);
          });
        }
        d_y = d_y * (z * s);
      }
      unrolled<scan_rows_in_step>(
          [&](std::size_t i) SDLORA_INLINED { d_y.part[i].store_aligned(tile.d_y + row(i) * P + v); });
    }
    bounded = bounded && within_decay_limit(largest, parameters.A2_bound.data() + channel + v);
  }
  return bounded;
}

/// The gradients of one chunk of one line that end there: u, dt and z; and the sums for D and dt_bias.
template <SelectiveScanGradients Wanted, class T>
void finish_backward_line(const SelectiveScanInputs<T>& in, const SelectiveScanGradientOutputs<T>& gradients,
                          const ScanParameters<T>& parameters, std::size_t line, std::size_t first_row,
                          std::size_t length, const BackwardTile<T> tile, T* d_D, T* d_bias, T* staging) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>, W = simd_width<T>, part = scan_chunk * P;
  const std::size_t channel = line * P, count = std::min(P, in.channels() - channel);
  const MatrixView<T> none(nullptr, 0, 0, 0);
  const LineRowsOut<T> d_u(Wanted.u ? gradients.u : none, first_row, length, channel, count, staging);
  const LineRowsOut<T> d_dt(Wanted.dt ? gradients.dt : none, first_row, length, channel, count,
                            staging + part);
  const LineRowsOut<T> d_z(Wanted.z ? gradients.z : none, first_row, length, channel, count,
                           staging + 2 * part);
  const V ln2(T(0.693147180559945309417232121458176568L));
  for (std::size_t v = 0; v < P; v += W) {
    const V D = V::load_aligned(parameters.D.data() + channel + v);
    V sum_D = V::load_aligned(d_D + v), sum_bias = V::load_aligned(d_bias + v);
    for (std::size_t t = 0; t < length; ++t) {
      const std::size_t at = t * P + v;
      const V u = V::load_aligned(tile.u + at), d_y = V::load_aligned(tile.d_y + at);
      if constexpr (Wanted.u) {
        const V value = fma(V::load_aligned(tile.delta + at), V::load_aligned(tile.gB + at), V(D * d_y));
        value.store_unaligned(d_u.row(t) + v);
      }
      if constexpr (Wanted.dt || Wanted.dt_bias) {
        const V d_delta = fma(u, V::load_aligned(tile.gB + at), V(ln2 * V::load_aligned(tile.qA + at)));
        const V slope = V::load_aligned(tile.dt_slope + at);
        if constexpr (Wanted.dt) V(d_delta * slope).store_unaligned(d_dt.row(t) + v);
        if constexpr (Wanted.dt_bias) sum_bias = fma(d_delta, slope, sum_bias);
      }
      if constexpr (Wanted.z) {
        V(V::load_aligned(tile.z_slope + at) * V::load_aligned(tile.y + at)).store_unaligned(d_z.row(t) + v);
      }
      if constexpr (Wanted.D) sum_D = fma(d_y, u, sum_D);
    }
    if constexpr (Wanted.D) sum_D.store_aligned(d_D + v);
    if constexpr (Wanted.dt_bias) sum_bias.store_aligned(d_bias + v);
  }
  if constexpr (Wanted.u) d_u.finish();
  if constexpr (Wanted.dt) d_dt.finish();
  if constexpr (Wanted.z) d_z.finish();
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
