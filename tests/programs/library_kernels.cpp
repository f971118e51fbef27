// bench/scan_variants_cuda makes a selective scan of library scans; the kernels before and behind those, in
// the emulator, with a scan in between, against the definition.
#include "../bench/support/gpu/library_kernels.hpp"

#include "support/emulated_device.hpp"
#include "support/scan_kernel_cases.hpp"

#include <sdlora/scan/selective/reference.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class IO>
void check_library_kernels(std::size_t L, std::size_t E, std::size_t N) {
  CAPTURE(L);
  CAPTURE(E);
  CAPTURE(N);
  Draws draw(3);
  PaddedMatrix<IO> u(L, E, 0), dt(L, E, 0), z(L, E, 0), B(L, N, 0), C(L, N, 0), out(L, E, 0);
  u.fill(draw, -1, 1);
  dt.fill(draw, -6, 1);
  z.fill(draw, -4, 4);
  B.fill(draw, -1, 1);
  C.fill(draw, -1, 1);
  const auto A = floats(draw, E * N, -8, -0.01), D = floats(draw, E, -1, 1), bias = floats(draw, E, -1, 1);
  const auto exact_A = exact_of(A), exact_D = exact_of(D), exact_bias = exact_of(bias);
  const std::size_t offsets[] = {0, L};
  SelectiveScanInputs<double> exact;
  exact.sequences = {offsets};
  exact.u = u.view();
  exact.dt = dt.view();
  exact.z = z.view();
  exact.B = B.view();
  exact.C = C.view();
  exact.A = {exact_A.data(), E, N};
  exact.D = {exact_D.data(), 1, E};
  exact.dt_bias = {exact_bias.data(), 1, E};
  std::vector<double> expected(L * E);
  selective_scan_reference_forward(exact, {expected.data(), L, E}, {});

  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> a(E * N * L, nan), b(E * N * L, nan), h(E * N * L, nan);
  using Prepare = gpu_suite::PrepareKernel<IO>;
  using Finish = gpu_suite::FinishKernel<IO>;
  typename Prepare::Arguments x;
  x.in.u = {u.values.data(), L, E};
  x.in.dt = {dt.values.data(), L, E};
  x.in.z = {z.values.data(), L, E};
  x.in.B = {B.values.data(), L, N};
  x.in.C = {C.values.data(), L, N};
  x.in.A = A.data();
  x.in.D = D.data();
  x.in.dt_bias = bias.data();
  x.length = static_cast<std::int64_t>(L);
  x.channels = static_cast<int>(E);
  x.states = static_cast<int>(N);
  x.a = a.data();
  x.b = b.data();
  x.h = h.data();
  x.out = out.values.data();
  EmulatedDevice device;
  device.run<Prepare>(Prepare::blocks(x), Prepare::shared_floats(x.states), x);
  for (std::size_t column = 0; column < E * N; ++column) {
    float state = 0;
    for (std::size_t t = 0; t < L; ++t) {
      state = a[column * L + t] * state + b[column * L + t];
      h[column * L + t] = state;
    }
  }
  device.run<Finish>(Finish::blocks(x), Finish::shared_floats(x.states), x);
  CHECK(norm_error(out.take(out.values), expected) < (std::is_same_v<IO, float> ? 3e-6 : 4e-3));
}

}  // namespace

TEST_CASE("the benchmark's selective scan of library scans: squares of steps and channels, whole and cut") {
  check_library_kernels<float>(64, 32, 16);
  check_library_kernels<float>(1, 1, 1);
  check_library_kernels<float>(37, 71, 3);
  check_library_kernels<float>(33, 5, 16);
  check_library_kernels<BFloat16>(70, 40, 16);
}
