#pragma once

#include "detail/column_backward.hpp"
#include "detail/column_forward.hpp"
#include "policy.hpp"

#include <algorithm>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The N states of one channel (adjacent columns) in vector lanes, channel after channel.
/// Work L, depth L, per channel. Stability: that of the sequential scan. For few channels: a row of
/// states fills the lanes where there are not enough channels to do so; with many, the short chain
/// of dependent steps per channel leaves the pipeline idle. Linear recurrences only.
/// Source: as SimdChannels, the inner loop over the states of Gu and Dao, "Mamba", 2023, algorithm 2.
template <std::size_t N = 16>
struct SimdStates {
  static_assert(N > 0, "sdlora::SimdStates: N, the number of states of a channel, must be positive");
  static constexpr std::string_view name = "simd_states";

  template <class T, class Stored>
  static void columns(const LinearBlock<T, Stored>& x, Workspace&) {
    for (std::size_t first = 0; first < x.columns; first += N) {
      detail::scan_columns(x.columns_from(first, std::min(N, x.columns - first)));
    }
  }

  /// All gradients in one pass over a, h and d_h.
  template <class T, class Stored>
  static void columns_backward(const LinearGradientBlock<T, Stored>& x, Workspace&) {
    for (std::size_t first = 0; first < x.columns; first += N) {
      detail::backward_columns(x.columns_from(first, std::min(N, x.columns - first)));
    }
  }
};

static_assert(ScanPolicy<SimdStates<>> && ColumnScan<SimdStates<>> && ColumnScanBackward<SimdStates<>>);
static_assert(NarrowColumnScan<SimdStates<>>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
