#pragma once

#include <sdlora/tensor/detail/kernels/matmul.hpp>
#include <sdlora/tensor/matmul.hpp>

#include "guarded.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace sdlora_test {

struct MatmulShape {
  std::size_t m, n, k;
};

/// The product's kernels against `matmul` on the host, operands and out among NaN.
template <bool TransposeA, bool TransposeB, class Device>
void check_matmul_kernels(Device& device, const MatmulShape& shape, sdlora::Write write, float scale) {
  using namespace sdlora;
  CAPTURE(shape.m);
  CAPTURE(shape.n);
  CAPTURE(shape.k);
  const auto [m, n, k] = shape;
  Normals normals(m + 31 * n + 997 * k);
  const auto a = normals.vector<float>(m * k), b = normals.vector<float>(k * n);
  const std::vector<float> before = normals.vector<float>(m * n);
  const std::size_t a_rows = TransposeA ? k : m, a_cols = TransposeA ? m : k;
  const std::size_t b_rows = TransposeB ? n : k, b_cols = TransposeB ? k : n;
  std::vector<float> expected = before;
  detail::matmul<TransposeA, TransposeB>(MatrixView<float>(expected.data(), m, n),
                                         MatrixView<const float>(a.data(), a_rows, a_cols),
                                         MatrixView<const float>(b.data(), b_rows, b_cols), write, scale);
  Guarded<Device> left(a_rows, a_cols, 3, a), right(b_rows, b_cols, 0, b);
  // What is overwritten need not be a number before.
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const float guard = write == Write::Add ? Guarded<Device>::added_to : nan;
  Guarded<Device> out(m, n, 5, write == Write::Add ? before : std::vector<float>(m * n, nan), guard);
  detail::run_matmul<TransposeA, TransposeB>(device, out.view(), MatrixView<const float>(left.view()),
                                             MatrixView<const float>(right.view()), write, scale);
  CHECK(relative_error(out.values(), expected) <= 2e-6);
  // The same bits by tiles of either size.
  const std::vector<float> found = out.values();
  if (k == 0) return;
  const auto by_tiles = [&]<int Quads>(std::integral_constant<int, Quads>) {
    Guarded<Device> again(m, n, 5, before, guard);
    detail::run_matmul_tiles<TransposeA, TransposeB, Quads>(
        device,
        detail::MatmulArguments{again.view(), left.view(), right.view(), static_cast<std::int64_t>(k), scale},
        write);
    CHECK(again.values() == found);
  };
  by_tiles(std::integral_constant<int, 1>{});
  by_tiles(std::integral_constant<int, 2>{});
}

template <class Device>
void check_matmul_kernels(Device& device, const std::vector<MatmulShape>& shapes) {
  using sdlora::Write;
  for (const MatmulShape& shape : shapes) {
    check_matmul_kernels<false, false>(device, shape, Write::Overwrite, 1.0F);
    check_matmul_kernels<false, true>(device, shape, Write::Overwrite, -0.5F);
    check_matmul_kernels<true, false>(device, shape, Write::Add, 2.5F);
  }
  for (const MatmulShape& shape : {MatmulShape{3, 5, 0}, MatmulShape{1, 1, 1}, MatmulShape{0, 4, 3}}) {
    check_matmul_kernels<false, false>(device, shape, Write::Overwrite, 1.0F);
    check_matmul_kernels<false, true>(device, shape, Write::Add, 1.0F);
    check_matmul_kernels<true, false>(device, shape, Write::Overwrite, 3.0F);
  }
  check_matmul_kernels<false, false>(device, {2, 3, 0}, Write::Overwrite,
                                     std::numeric_limits<float>::infinity());
}

}  // namespace sdlora_test
