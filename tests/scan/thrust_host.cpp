#include <doctest/doctest.h>

#if __has_include(<thrust/scan.h>)

#ifndef THRUST_DEVICE_SYSTEM
#define THRUST_DEVICE_SYSTEM THRUST_DEVICE_SYSTEM_CPP
#endif

#include <cstdint>
#include <sdlora/scan/cuda/thrust_host.cuh>
#include <sdlora/scan/scan.hpp>
#include <sdlora/scan/sequential.hpp>
#include <vector>

using namespace sdlora;

TEST_CASE("scan: Thrust's host system agrees exactly with the sequential scan") {
  // Affine maps modulo 2³²: exact, and not commutative.
  const LinearRecurrence<std::uint32_t> op;
  for (const std::size_t length : {0U, 1U, 2U, 31U, 1025U, 65537U}) {
    std::vector<LinearStep<std::uint32_t>> in(length), expected(length), found(length);
    std::uint32_t seed = 1;
    for (auto& step : in) {
      seed = seed * 1664525U + 1013904223U;
      step = {seed | 1U, seed >> 7};
    }
    for (const auto kind : {ScanKind::inclusive, ScanKind::exclusive}) {
      for (const auto direction : {ScanDirection::forward, ScanDirection::reverse}) {
        const ScanOptions<LinearStep<std::uint32_t>> options{.kind = kind,
                                                             .direction = direction,
                                                             .initial = LinearStep<std::uint32_t>{3, 5},
                                                             .sequences = {}};
        scan(Sequential{}, in, expected, options, op);
        scan(ThrustHost{}, in, found, options, op);
        CHECK(found == expected);
      }
    }
  }
}

#else

TEST_CASE("scan: Thrust's host system agrees exactly with the sequential scan") {
  MESSAGE("skipped: Thrust's headers are not in the include path");
}

#endif
