#pragma once

#include "../../../tensor/extents.hpp"
#include "blocks.hpp"
#include "parameters.hpp"
#include "rows.hpp"

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// What a chunk of one line needs, computed for all its rows before the recurrence runs, where the
/// elementary functions pipeline: arrays (scan_chunk, line).
template <class T>
struct ForwardTile {
  T *delta, *input, *y, *gate;  // Δ; Δ·u; D·u, then Σ C·h too; silu(z)

  static constexpr std::size_t size = 4 * scan_chunk * scan_line<T>;
  explicit ForwardTile(T* memory)
      : delta(memory), input(memory + size / 4), y(memory + 2 * (size / 4)), gate(memory + 3 * (size / 4)) {}
};

/// Runs `States` states of the channels of one vector over `length` rows. `tile` points at the vector
/// in the tile, `A2` and `h` at the vector in (N, line) blocks, `B` and `C` at rows N apart. Without
/// `Output` only the states are computed, and C is not read. Bounded: as in `decay`.
template <std::size_t States, bool Output, bool Bounded, class T, std::size_t Ahead>
inline void forward_states(const ForwardTile<T> tile, std::size_t v, std::size_t length, const T* A2, T* h,
                           const T* B, const T* C, std::size_t N, RowsAhead<Ahead> ahead) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>;
  V state[States];
  unrolled<States>([&](std::size_t n) SDLORA_INLINED { state[n] = V::load_aligned(h + n * P); });
  for (std::size_t t = 0; t < length; ++t) {
    const V delta = V::load_aligned(tile.delta + t * P + v);
    const V input = V::load_aligned(tile.input + t * P + v);
    ahead.fetch();
    V y(T(0));
    if constexpr (Output) y = V::load_aligned(tile.y + t * P + v);
    constexpr std::size_t step = std::min(States, scan_states_in_step);
    unrolled<States / step>([&](std::size_t i) SDLORA_INLINED {
      using Step = Pack<V, step>;
      const Step a = decay<Bounded>(
          Step::each([&](std::size_t) SDLORA_INLINED { return delta; }),
          Step::each([&](std::size_t j) SDLORA_INLINED { return V::load_aligned(A2 + (i * step + j) * P); }));
      unrolled<step>([&](std::size_t j) SDLORA_INLINED {
        const std::size_t n = i * step + j;
        state[n] = fma(a.part[j], state[n], V(input * V(B[t * N + n])));
        if constexpr (Output) y = fma(V(C[t * N + n]), state[n], y);
      });
    });
    if constexpr (Output) y.store_aligned(tile.y + t * P + v);
  }
  unrolled<States>([&](std::size_t n) SDLORA_INLINED { state[n].store_aligned(h + n * P); });
}

/// The chunk of a line that comes next, to be fetched meanwhile.
struct LineAhead {
  std::size_t line, first_row;
};

/// One chunk of one line: `h` (N, line) goes in and out.
template <std::size_t N, bool Output, class T>
void forward_line(const SelectiveScanInputs<T>& in, const MatrixView<T>& out,
                  const ScanParameters<T>& parameters, std::size_t line, std::size_t first_row,
                  std::size_t length, T* h, const T* B, const T* C, const ForwardTile<T>& tile, T* staging,
                  const LineAhead& next) {
  using V = Simd<T>;
  constexpr std::size_t P = scan_line<T>, W = simd_width<T>, part = scan_chunk * P;
  const std::size_t channel = line * P, count = std::min(P, in.channels() - channel), states = in.states();
  const LineRows<T> u(in.u, first_row, length, channel, count, staging);
  const LineRows<T> dt(in.dt, first_row, length, channel, count, staging + part);
  const LineRows<T> z(Output && in.z ? in.z : in.u, first_row, length, channel, count, staging + 2 * part);
  const bool gated = Output && in.z;

  bool bounded = true;
  for (std::size_t v = 0; v < P; v += W) {
    const V D = V::load_aligned(parameters.D.data() + channel + v);
    const V bias = V::load_aligned(parameters.dt_bias.data() + channel + v);
    V largest(T(0));
    for (std::size_t t = 0; t < length; t += scan_rows_in_step) {
      using Rows = Pack<V, scan_rows_in_step>;
      const auto row = [&](std::size_t i) SDLORA_INLINED { return std::min(t + i, length - 1); };
      const Rows delta = softplus_generic(Rows::each(
          [&](std::size_t i) SDLORA_INLINED { return V(V::load_unaligned(dt.row(row(i)) + v) + bias); }));
      unrolled<scan_rows_in_step>([&](std::size_t i) SDLORA_INLINED {
        const std::size_t at = row(i) * P + v;
        const V value = V::load_unaligned(u.row(row(i)) + v);
        delta.part[i].store_aligned(tile.delta + at);
        largest = greater(largest, delta.part[i]);
        V(delta.part[i] * value).store_aligned(tile.input + at);
        if constexpr (Output) V(D * value).store_aligned(tile.y + at);
      });
      if (gated) {
        const Rows x =
            Rows::each([&](std::size_t i) SDLORA_INLINED { return V::load_unaligned(z.row(row(i)) + v); });
        const Rows gate = x * sigmoid_generic(x);
        unrolled<scan_rows_in_step>(
            [&](std::size_t i) SDLORA_INLINED { gate.part[i].store_aligned(tile.gate + row(i) * P + v); });
      }
    }
    bounded = bounded && within_decay_limit(largest, parameters.A2_bound.data() + channel + v);
  }

  RowsAhead<4> soon(1);
  soon.add(in.u, next.first_row, next.line * P);
  soon.add(in.dt, next.first_row, next.line * P);
  if (gated) soon.add(in.z, next.first_row, next.line * P);
  // Its own rows are written only when the states have run.
  if constexpr (Output) soon.add(out, first_row, channel);

  const T* A2 = parameters.A2.data() + line * P * states;
  for_state_blocks<N, scan_state_block<T>>(states, [&](auto block, std::size_t n) {
    for (std::size_t v = 0; v < P; v += W) {
      using Passes = LinePasses<N, scan_state_block<T>, T>;
      const auto ahead = soon.template share<Passes::share(4)>(Passes::index(n, v), Passes::count(states), 0);
      const auto run = [&]<bool Bounded>() {
        forward_states<block(), Output, Bounded>(tile, v, length, A2 + n * P + v, h + n * P + v, B + n, C + n,
                                                 states, ahead);
      };
      if (bounded) {
        run.template operator()<true>();
      } else {
        run.template operator()<false>();
      }
    }
  });

  if constexpr (!Output) return;
  const LineRowsOut<T> result(out, first_row, length, channel, count, staging);
  for (std::size_t t = 0; t < length; ++t) {
    for (std::size_t v = 0; v < P; v += W) {
      V y = V::load_aligned(tile.y + t * P + v);
      if (gated) y = y * V::load_aligned(tile.gate + t * P + v);
      y.store_unaligned(result.row(t) + v);
    }
  }
  result.finish();
}

/// The scratch memory of a task of the forward pass.
template <class T>
struct ForwardScratch {
  ForwardTile<T> tile;
  T *staging, *h, *B, *C;  // of LineRows; (lines of the group, N, line); rows of a chunk

  ForwardScratch(typename ScanScratch<T>::Slot& slot, std::size_t states)
      : tile(slot.take(ForwardTile<T>::size)),
        staging(slot.take(3 * scan_chunk * scan_line<T>)),
        h(slot.take(scan_group * states * scan_line<T>)),
        B(slot.take(scan_chunk * states)),
        C(slot.take(scan_chunk * states)) {}

  static std::size_t size(std::size_t states) {
    constexpr std::size_t P = scan_line<T>;
    return ForwardTile<T>::size + 3 * scan_chunk * P + scan_group * states * P +
           2 * round_up(scan_chunk * states, P);
  }
};

/// One sequence, the channels of one group. Without `Output` only `final_state` and `delta_sums` (lines,
/// line), Σ Δ, are written; `out`, `checkpoints` and C are not touched.
template <std::size_t N, bool Output, class T>
void forward_sequence(const SelectiveScanInputs<T>& in, const MatrixView<T>& out,
                      const MatrixView<T>& final_state, T* checkpoints, const ScanParameters<T>& parameters,
                      const ScanPlan& plan, std::size_t s, std::size_t group,
                      const ForwardScratch<T>& scratch, T* delta_sums = nullptr) {
  constexpr std::size_t P = scan_line<T>;
  const std::size_t E = in.channels(), states = in.states(), line_size = states * P;
  const std::size_t first_line = plan.first_line(group), last_line = plan.last_line(group);
  const auto state = [&](std::size_t line) { return scratch.h + (line - first_line) * line_size; };
  const T* initial = in.initial_state ? in.initial_state.row(s) : nullptr;
  for (std::size_t line = first_line; line < last_line; ++line) {
    load_states(state(line), initial, states, line * P, E, states);
    if constexpr (!Output) std::fill_n(delta_sums + line * P, P, T(0));
  }
  const std::size_t first = in.sequences.first(s), length = in.sequences.length(s);
  for (std::size_t begin = 0; begin < length; begin += scan_chunk) {
    const std::size_t rows = std::min(scan_chunk, length - begin);
    copy_rows<N>(scratch.B, in.B, first + begin, rows);
    if constexpr (Output) {
      copy_rows<N>(scratch.C, in.C, first + begin, rows);
      if (checkpoints) {
        const std::size_t chunk = plan.chunk_begin[s] + begin / scan_chunk;
        std::copy_n(scratch.h, (last_line - first_line) * line_size,
                    checkpoints + (chunk * plan.lines + first_line) * line_size);
      }
    }
    for (std::size_t line = first_line; line < last_line; ++line) {
      LineAhead next{line + 1, first + begin};
      if (next.line == last_line) {
        next = {first_line, first + (begin + rows < length ? begin + rows : begin)};
      }
      forward_line<N, Output>(in, out, parameters, line, first + begin, rows, state(line), scratch.B,
                              scratch.C, scratch.tile, scratch.staging, next);
      if constexpr (!Output) add_deltas(scratch.tile.delta, rows, delta_sums + line * P);
    }
  }
  if (final_state) {
    for (std::size_t line = first_line; line < last_line; ++line) {
      store_states(final_state.row(s), state(line), line * P, E, states);
    }
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
