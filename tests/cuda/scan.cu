#include <sdlora/scan/cuda/scan.cuh>
#include <sdlora/scan/sequential.hpp>
#include <sdlora/tensor/cuda/copy.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

static_assert(CudaScanPolicy<CudaWarpScan> && CudaScanPolicy<CudaBlockScan<cub::BLOCK_SCAN_RAKING>> &&
              CudaScanPolicy<CudaSplitTime> && CudaScanPolicy<CudaThrustScan>);
static_assert(!CudaScanPolicy<Sequential> && !ScanPolicy<CudaWarpScan>);

namespace {

using Matrix = Tensor<float, Extents<dyn, dyn>>;

template <class Policy>
void check_against_host(Policy policy) {
  const std::string name(policy.name);
  INFO(name);
  const std::vector<std::size_t> offsets{0, 70, 70, 71, 1400};
  const std::size_t rows = offsets.back(), columns = 37;
  Normals normals(5);
  Matrix a(rows, columns), b(rows, columns), initial(offsets.size() - 1, columns), expected(rows, columns);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.data()[i] = i % 89 == 3 ? 0.0F : 0.9F / (1.0F + static_cast<float>(i % 7));
    b.data()[i] = static_cast<float>(normals.next());
  }
  for (std::size_t i = 0; i < initial.size(); ++i) initial.data()[i] = static_cast<float>(normals.next());
  const auto device_a = to_device(a), device_b = to_device(b), device_initial = to_device(initial);
  for (const ScanKind kind : {ScanKind::inclusive, ScanKind::exclusive}) {
    for (const ScanDirection direction : {ScanDirection::forward, ScanDirection::reverse}) {
      const Sequences sequences{offsets};
      scan(Sequential{}, a.matrix(), b.matrix(), expected.matrix(),
           {kind, direction, initial.matrix(), sequences});
      Tensor<float, Extents<dyn, dyn>, Cuda> device_h(rows, columns);
      const MatrixView<const float> states{device_initial.data(), offsets.size() - 1, columns};
      scan(policy, device_a.view(), device_b.view(), device_h.view(), {kind, direction, states, sequences});
      const auto h = to_host(device_h);
      CHECK(relative_error(std::vector<float>(h.data(), h.data() + h.size()),
                           std::vector<float>(expected.data(), expected.data() + expected.size())) < 2e-6);
    }
  }
}

}  // namespace

TEST_CASE("scan() of device tensors") {
  if (skip_without_device(has_cuda_device())) return;
  check_against_host(CudaThreadPerChannel{});
  check_against_host(CudaSplitTime{});
  check_against_host(CudaWarpScan{});
  check_against_host(CudaLookBack{});
}

TEST_CASE("scan() of device tensors: shapes") {
  const auto view = [](std::size_t rows, std::size_t columns) {
    return TensorView<float, Extents<dyn, dyn>, Cuda>(nullptr, Extents<dyn, dyn>(rows, columns));
  };
  CHECK_THROWS_AS(scan(CudaWarpScan{}, view(3, 2), view(3, 2), view(2, 3)), ShapeError);
  const std::vector<std::size_t> offsets{0, 2};
  CHECK_THROWS_AS(scan(CudaWarpScan{}, view(3, 2), view(3, 2), view(3, 2),
                       {.initial = {}, .sequences = Sequences{offsets}}),
                  ShapeError);
  const std::vector<float> initial(2);
  CHECK_THROWS_AS(
      scan(CudaWarpScan{}, view(3, 2), view(3, 2), view(3, 2), {.initial = {initial.data(), 1, 1}}),
      ShapeError);
  scan(CudaWarpScan{}, view(0, 4), view(0, 4), view(0, 4));
}
