#pragma once

#include "../../tensor/extents.hpp"
#include "../../tensor/parallel.hpp"
#include "detail/column_forward.hpp"
#include "policy.hpp"

#include <algorithm>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// Two passes over chunks of `Length` time steps: every chunk is reduced to one step (in parallel),
/// the steps are chained, then every chunk is scanned from its entering state (in parallel).
/// Work 2L, depth Length + L / Length. Stability: good. The cut depends on L alone, so results are
/// the same for any number of threads. For few columns and many cores.
/// Source: reduce-then-scan, e.g. Merrill and Garland, "Single-pass parallel prefix scan with
/// decoupled look-back", NVIDIA 2016, §2.
template <std::size_t Length = 1024>
struct Chunked {
  static_assert(Length > 0, "sdlora::Chunked: Length, the time steps of a chunk, must be positive");
  static constexpr std::string_view name = "chunked";
  static constexpr bool splits_time = true;

  template <AssociativeOperator Op>
  static void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace& workspace) {
    using V = typename Op::value_type;
    const std::size_t chunks = detail::ceil_div(values.size(), Length);
    if (chunks == 0) return;
    detail::Scratch<V> scratch(workspace, chunks);
    const auto totals = scratch.values();
    const auto chunk = [&](std::size_t c) {
      return values.subspan(c * Length, std::min(Length, values.size() - c * Length));
    };
    const auto scan_in_place = [&](std::span<V> part) {
      for (std::size_t i = 1; i < part.size(); ++i) part[i] = op(part[i - 1], part[i]);
    };
    parallel_for(chunks, [&](std::size_t c) {
      const auto part = chunk(c);
      if (c == 0) {  // nothing enters it, so its first pass is its last
        scan_in_place(part);
        totals[c] = part.back();
      } else if (c + 1 < chunks) {
        V total = part.front();
        for (std::size_t i = 1; i < part.size(); ++i) total = op(total, part[i]);
        totals[c] = total;
      }
    });
    for (std::size_t c = 1; c + 1 < chunks; ++c) totals[c] = op(totals[c - 1], totals[c]);
    parallel_for(chunks - 1, [&](std::size_t before) {
      const auto part = chunk(before + 1);
      part.front() = op(totals[before], part.front());
      scan_in_place(part);
    });
  }

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace& workspace) {
    const std::size_t chunks = detail::ceil_div(x.length, Length);
    if (chunks == 0 || x.columns == 0) return;
    constexpr std::size_t block = detail::tile_vectors * simd_width<T>;
    const std::size_t blocks = detail::ceil_div(x.columns, block);
    detail::Scratch<T> scratch(workspace, 2 * chunks * x.columns);
    T* const products = scratch.values().data();      // (chunks, columns)
    T* const states = products + chunks * x.columns;  // (chunks, columns), after each chunk
    const auto part = [&](std::size_t c, std::size_t j) {
      const auto row = static_cast<std::ptrdiff_t>(c * Length);
      LinearBlock<T> chunk = x;
      chunk.a += row * x.a_step;
      chunk.b += row * x.b_step;
      chunk.h += row * x.h_step;
      chunk.length = std::min(Length, x.length - c * Length);
      return chunk.columns_from(j * block, std::min(block, x.columns - j * block));
    };
    parallel_for((chunks - 1) * blocks, [&](std::size_t task) {
      const std::size_t c = task / blocks, j = task % blocks;
      T* product = products + c * x.columns + j * block;
      T* state = states + c * x.columns + j * block;
      detail::for_each_tile<detail::tile_vectors / 2, simd_width<T>>(
          part(c, j), [&]<class V, std::size_t Count>(const LinearBlock<T>& tile) {
            detail::reduce_tile<V, Count>(tile, product, state);
            product += tile.columns;
            state += tile.columns;
          });
    });
    for (std::size_t c = 0; c + 1 < chunks; ++c) {
      T* state = states + c * x.columns;
      const T* product = products + c * x.columns;
      const T* entering = c == 0 ? x.initial : state - x.columns;
      for (std::size_t j = 0; j < x.columns; ++j) {
        const T before = entering ? entering[j] : T(0);
        state[j] = LinearRecurrence<T>::apply({product[j], state[j]}, before);
      }
    }
    parallel_for(chunks * blocks, [&](std::size_t task) {
      const std::size_t c = task / blocks, j = task % blocks;
      LinearBlock<T> chunk = part(c, j);
      if (c > 0) chunk.initial = states + (c - 1) * x.columns + j * block;
      detail::scan_columns(chunk);
    });
  }
};

static_assert(ScanPolicy<Chunked<>> && ElementScan<Chunked<>> && ColumnScan<Chunked<>>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
