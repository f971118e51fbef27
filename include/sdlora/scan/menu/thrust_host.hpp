#pragma once

// Needs Thrust (CCCL 3, as in CUDA 13, in its include/cccl) in the include path, so no collection includes
// this. A host compiler will do, with THRUST_DEVICE_SYSTEM defined as THRUST_DEVICE_SYSTEM_CPP: else Thrust
// looks for CUDA. What runs is THRUST_HOST_SYSTEM: THRUST_HOST_SYSTEM_CPP (the default) or _OMP (with
// -fopenmp); _TBB is untested.

#include "policy.hpp"

#include <thrust/execution_policy.h>
#include <thrust/scan.h>

namespace sdlora {

/// Thrust's inclusive scan on its host system (THRUST_HOST_SYSTEM: sequential by default).
/// Work L, depth L on the sequential system; CCCL 3.0's OpenMP system scans in sequence too.
/// Stability: that of the sequential scan. Shows that operators of this library are Thrust's as well:
/// on the GPU the same call runs as a single-pass device scan.
/// Source: https://nvidia.github.io/cccl/thrust/
struct ThrustHost {
  static constexpr std::string_view name = "thrust_host";

  template <AssociativeOperator Op>
  static void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace&) {
    auto* const first = values.data();
    thrust::inclusive_scan(thrust::host, first, first + values.size(), first, op);
  }
};

static_assert(ScanPolicy<ThrustHost> && ElementScan<ThrustHost>);

}  // namespace sdlora
