#pragma once

#include "detail/column_backward.hpp"
#include "detail/column_forward.hpp"
#include "policy.hpp"

#include <type_traits>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// Columns side by side in vector lanes, states in registers, time in sequence: the default on a CPU.
/// Work L, depth L, per column. Stability: that of the sequential scan (one rounding less per step
/// where a fused multiply-add exists). Linear recurrences only. Results that exceed the caches are
/// stored around them.
/// Source: the recurrence as it is written, its independent columns made the inner loop; e.g. Allen and
/// Kennedy, "Automatic translation of FORTRAN programs to vector form", TOPLAS 9(4), 1987.
struct SimdChannels {
  static constexpr std::string_view name = "simd_channels";

  template <class T, class Stored>
  static void columns(const LinearBlock<T, Stored>& x, Workspace& workspace) {
    // Rows are met once by rows, and once for each tile by tiles, which are faster where stored values fill
    // lines.
    if constexpr (!std::is_same_v<T, Stored>) {
      if (x.streaming && !x.exclusive && x.columns >= detail::row_columns) {
        const detail::Scratch<T> states(workspace, x.columns);
        return detail::scan_rows(x, states.values().data());
      }
    }
    detail::scan_columns(x);
  }

  /// All gradients in one pass over a, h and d_h.
  template <class T, class Stored>
  static void columns_backward(const LinearGradientBlock<T, Stored>& x, Workspace& workspace) {
    if (x.streaming && x.columns >= detail::row_columns) {
      const detail::Scratch<T> states(workspace, x.columns);
      detail::backward_rows(x, states.values().data());
    } else {
      detail::backward_columns(x);
    }
  }
};

static_assert(ScanPolicy<SimdChannels> && ColumnScan<SimdChannels> && ColumnScanBackward<SimdChannels>);
static_assert(NarrowColumnScan<SimdChannels>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
