#pragma once

#include "blelloch.hpp"
#include "chunked.hpp"
#include "cumsum_ratio.hpp"
#include "heinsen.hpp"
#include "hillis_steele.hpp"
#include "kogge_stone.hpp"
#include "scan.hpp"
#include "scan_backward.hpp"
#include "sequential.hpp"
#include "simd_channels.hpp"
#include "simd_states.hpp"
#include "sklansky.hpp"

namespace sdlora {

/// Scan policies as a type, for tests and benchmarks that go over all of them.
template <ScanPolicy... Policies>
struct PolicyList {
  /// Calls f(policy) for each.
  template <class F>
  static void for_each(F&& f) {
    (f(Policies{}), ...);
  }
};

/// The algorithms of the CPU for any associative operator.
using ElementPolicies = PolicyList<Sequential, Chunked<>, Blelloch, HillisSteele, KoggeStone<>, Sklansky>;

/// The algorithms of the CPU for linear recurrences over columns without limits on their values.
using ColumnPolicies = PolicyList<Sequential, SimdChannels, SimdStates<>, Chunked<>, Blelloch, HillisSteele,
                                  KoggeStone<>, Sklansky>;

/// Those for linear recurrences on a limited domain, guarded.
using GuardedPolicies = PolicyList<Heinsen, CumsumRatio>;

}  // namespace sdlora
