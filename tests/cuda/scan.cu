#include <sdlora/scan/cuda/scan.cuh>
#include <sdlora/scan/scan_backward.hpp>
#include <sdlora/scan/sequential.hpp>
#include <sdlora/tensor/cuda/copy.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/numbers.hpp"
#include "support/scan_checks.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;
using namespace scan_checks;

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
  check_against_host(CudaLookBack{});
}

TEST_CASE("scan_backward() of device tensors") {
  if (skip_without_device(has_cuda_device())) return;
  const std::vector<std::size_t> offsets{0, 70, 70, 71, 1400};
  const Sequences sequences{offsets};
  const std::size_t rows = offsets.back(), columns = 37, count = sequences.count();
  Normals normals(6);
  const auto draw = [&](std::size_t m, std::size_t n) {
    Matrix values(m, n);
    for (std::size_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(normals.next()) / 3;
    return values;
  };
  Matrix a = draw(rows, columns), h = draw(rows, columns), d_h = draw(rows, columns),
         initial = draw(count, columns);
  const auto device_a = to_device(a), device_h = to_device(h), device_d_h = to_device(d_h),
             device_initial = to_device(initial);
  const auto values = [](const Matrix& m) { return std::vector<float>(m.data(), m.data() + m.size()); };
  for (const ScanDirection direction : {ScanDirection::forward, ScanDirection::reverse}) {
    Matrix d_a(rows, columns), d_b(rows, columns), d_initial(count, columns);
    scan_backward(Sequential{}, a.matrix(), h.matrix(), d_h.matrix(), d_a.matrix(), d_b.matrix(),
                  d_initial.matrix(),
                  {.direction = direction, .initial = initial.matrix(), .sequences = sequences});
    using DeviceMatrix = Tensor<float, Extents<dyn, dyn>, Cuda>;
    DeviceMatrix device_d_a(rows, columns), device_d_b(rows, columns),
        device_d_initial(to_device(draw(count, columns)));
    scan_backward(
        CudaSplitTime{}, device_a.view(), device_h.view(), device_d_h.view(), device_d_a.view(),
        device_d_b.view(), {device_d_initial.data(), count, columns},
        {.direction = direction, .initial = {device_initial.data(), count, columns}, .sequences = sequences});
    CHECK(relative_error(values(to_host(device_d_a)), values(d_a)) < 2e-6);
    CHECK(relative_error(values(to_host(device_d_b)), values(d_b)) < 2e-6);
    CHECK(relative_error(values(to_host(device_d_initial)), values(d_initial)) < 2e-6);
  }
}

TEST_CASE("scan() of device values under an operator") {
  if (skip_without_device(has_cuda_device())) return;
  using Value = ModularMatrix::value_type;
  const std::vector<std::size_t> offsets{0, 70, 70, 71, 3000};
  std::mt19937 generator(3);
  Tensor<Value, Extents<dyn>> in(offsets.back());
  for (std::size_t i = 0; i < in.size(); ++i) in.data()[i] = ModularMatrix::random(generator);
  const std::vector<Value> values(in.data(), in.data() + in.size());
  const auto device_in = to_device(in);
  for (const ScanKind kind : kinds) {
    for (const ScanDirection direction : directions) {
      const ScanOptions<Value> options{kind, direction, ModularMatrix::random(generator), {offsets}};
      Tensor<Value, Extents<dyn>, Cuda> device_out(in.size());
      scan(CudaLookBack{}, device_in.view(), device_out.view(), options, ModularMatrix{});
      const auto out = to_host(device_out);
      CHECK(std::vector<Value>(out.data(), out.data() + out.size()) ==
            by_definition(values, ModularMatrix{}, options));
    }
  }
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
  std::vector<float> rows(12);
  const auto at = [&](std::size_t first) {
    return TensorView<float, Extents<dyn, dyn>, Cuda>(rows.data() + first, Extents<dyn, dyn>(3, 2));
  };
  for (const std::size_t taken : {0UL, 6UL}) {
    CHECK_THROWS_WITH_AS(
        scan(CudaWarpScan{}, at(0), at(6), at(taken), {.kind = ScanKind::exclusive, .initial = {}}),
        doctest::Contains("give it its own"), ArgumentError);
  }

  CHECK_THROWS_AS(scan_backward(CudaWarpScan{}, view(3, 2), view(3, 2), view(2, 3), {}, view(3, 2)),
                  ShapeError);
  float value = 0;
  const TensorView<float, Extents<dyn, dyn>, Cuda> other(&value, Extents<dyn, dyn>(1, 2));
  CHECK_THROWS_AS(scan_backward(CudaWarpScan{}, view(3, 2), view(3, 2), view(3, 2), other, view(3, 2)),
                  ShapeError);
  CHECK_THROWS_AS(
      scan_backward(CudaWarpScan{}, view(3, 2), view(3, 2), view(3, 2), {}, view(3, 2), {&value, 2, 2}),
      ShapeError);
  CHECK_THROWS_AS(scan_backward(CudaWarpScan{}, view(3, 2), view(3, 2), view(3, 2), {}, view(3, 2), {},
                                {.kind = ScanKind::exclusive}),
                  ArgumentError);
  scan_backward(CudaWarpScan{}, view(0, 4), view(0, 4), view(0, 4), {}, view(0, 4));

  const auto line = [](std::size_t size) {
    return TensorView<LinearStep<float>, Extents<dyn>, Cuda>(nullptr, Extents<dyn>(size));
  };
  CHECK_THROWS_AS(scan(CudaWarpScan{}, line(3), line(4)), ShapeError);
  scan(CudaWarpScan{}, line(0), line(0));
}
