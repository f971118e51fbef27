#pragma once

#include "column_tiles.hpp"
#include "policy.hpp"

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// Columns side by side in vector lanes, states in registers, time in sequence: the default on a CPU.
/// Work L, depth L, per column. Stability: that of the sequential scan (one rounding less per step
/// where a fused multiply-add exists). Linear recurrences only. Results that exceed the caches are
/// stored around them.
struct SimdChannels {
  static constexpr std::string_view name = "simd_channels";

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace&) {
    detail::scan_columns(x);
  }

  /// All gradients in one pass over a, h and grad_h.
  template <class T>
  static void columns_backward(const LinearGradientBlock<T>& x, Workspace&) {
    detail::backward_columns(x);
  }
};

static_assert(ScanPolicy<SimdChannels> && ColumnScan<SimdChannels> && ColumnScanBackward<SimdChannels>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
