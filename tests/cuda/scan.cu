#include <sdlora/scan/cuda/scan.cuh>
#include <sdlora/scan/menu/scan_backward.hpp>
#include <sdlora/scan/menu/sequential.hpp>
#include <sdlora/tensor/cuda/copy.cuh>

#include "support/cuda_device.cuh"
#include "support/device.hpp"
#include "support/numbers.hpp"
#include "support/scan_checks.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <random>
#include <span>
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
  for (const ScanKind kind : {ScanKind::Inclusive, ScanKind::Exclusive}) {
    for (const ScanDirection direction : {ScanDirection::Forward, ScanDirection::Reverse}) {
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
  for (const ScanDirection direction : {ScanDirection::Forward, ScanDirection::Reverse}) {
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

TEST_CASE("scan() of device values under functions whose identity is known, or named") {
  if (skip_without_device(has_cuda_device())) return;
  Tensor<int, Extents<dyn>> in(3000);
  for (std::size_t i = 0; i < in.size(); ++i) in.data()[i] = static_cast<int>(i * 7919 % 1013) - 500;
  const auto device_in = to_device(in);
  const auto check = [&](const auto& op) {
    for (const ScanKind kind : kinds) {
      Tensor<int, Extents<dyn>, Cuda> device_out(in.size());
      scan(CudaLookBack{}, device_in.view(), device_out.view(), {.kind = kind}, op);
      const auto out = to_host(device_out);
      std::vector<int> expected(in.size());
      scan(Sequential{}, std::span(in.data(), in.size()), expected, {.kind = kind}, op);
      CHECK(std::vector<int>(out.data(), out.data() + out.size()) == expected);
    }
  };
  check(std::plus<>{});
  check(Maximum{});
  check(with_identity(std::bit_xor<>{}, 0));
}

TEST_CASE("scan() of device tensors: shapes") {
  // Refused before anything runs, so the host's memory will do.
  std::vector<float> memory(48);
  using View = TensorView<float, Extents<dyn, dyn>, Cuda>;
  const auto view = [&](std::size_t rows, std::size_t columns, std::size_t first = 0) {
    return View(memory.data() + first, Extents<dyn, dyn>(rows, columns));
  };
  const auto x = view(3, 2), h = view(3, 2, 6), d_b = view(3, 2, 12), d_a = view(3, 2, 18);
  CHECK_THROWS_WITH_AS(scan(CudaWarpScan{}, x, x, view(2, 3)), doctest::Contains("one shape"), ShapeError);
  CHECK_THROWS_WITH_AS(scan(CudaWarpScan{}, x, View(nullptr, Extents<dyn, dyn>(3, 2)), h),
                       doctest::Contains("b has no data"), ShapeError);
  CHECK_THROWS_WITH_AS(scan(CudaWarpScan{}, x, x, view(3, 2, 2)), doctest::Contains("h shares memory with a"),
                       ArgumentError);
  const std::vector<std::size_t> offsets{0, 2};
  CHECK_THROWS_WITH_AS(scan(CudaWarpScan{}, x, x, h, {.initial = {}, .sequences = Sequences{offsets}}),
                       doctest::Contains("sequences must be"), ShapeError);
  CHECK_THROWS_WITH_AS(scan(CudaWarpScan{}, x, x, h, {.initial = {memory.data(), 1, 1}}),
                       doctest::Contains("initial must be"), ShapeError);
  scan(CudaWarpScan{}, view(0, 4), view(0, 4), view(0, 4));
  for (const auto& taken : {x, h}) {
    CHECK_THROWS_WITH_AS(scan(CudaWarpScan{}, x, h, taken, {.kind = ScanKind::Exclusive, .initial = {}}),
                         doctest::Contains("give it its own"), ArgumentError);
  }

  const auto refused = [&](const char* what, const auto& a, const auto& d_a_of_call, const auto& d_b_of_call,
                           MatrixView<float> d_initial) {
    CHECK_THROWS_WITH_AS(scan_backward(CudaWarpScan{}, a, h, x, d_a_of_call, d_b_of_call, d_initial),
                         doctest::Contains(what), ShapeError);
  };
  refused("a is (3, 2) but d_b (2, 3)", x, d_a, view(2, 3), {});
  refused("d_a is (1, 2) but d_b (3, 2)", x, view(1, 2, 18), d_b, {});
  refused("d_initial must be", x, d_a, d_b, {memory.data() + 24, 2, 2});
  CHECK_THROWS_WITH_AS(scan_backward(CudaWarpScan{}, x, h, x, d_b, d_b),
                       doctest::Contains("d_a shares memory with d_b"), ArgumentError);
  CHECK_THROWS_AS(scan_backward(CudaWarpScan{}, x, h, x, {}, d_b, {}, {.kind = ScanKind::Exclusive}),
                  ArgumentError);
  scan_backward(CudaWarpScan{}, view(0, 4), view(0, 4), view(0, 4), {}, view(0, 4));

  std::vector<LinearStep<float>> steps(6);
  const auto line = [&](std::size_t first, std::size_t size) {
    return TensorView<LinearStep<float>, Extents<dyn>, Cuda>(steps.data() + first, Extents<dyn>(size));
  };
  CHECK_THROWS_AS(scan(CudaWarpScan{}, line(0, 3), line(3, 2)), ShapeError);
  CHECK_THROWS_AS(scan(CudaWarpScan{}, line(0, 3), line(1, 3)), ArgumentError);
  CHECK_THROWS_WITH_AS(scan(CudaWarpScan{}, line(0, 3), line(0, 3)), doctest::Contains("give out its own"),
                       ArgumentError);
  scan(CudaWarpScan{}, line(0, 0), line(0, 0));
}
