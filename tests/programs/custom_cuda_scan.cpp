// examples/custom_cuda_scan: its kernel in the emulator.
#include "../examples/support/raking_scan.hpp"

#include "support/emulated_device.hpp"
#include "support/scan_problem_cases.hpp"

#include <sdlora/scan/menu/detail/kernels/columns.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

struct ByRaking {
  template <class Problem>
  void operator()(const Problem& x) const {
    using Kernel = RakingKernel<Problem>;
    EmulatedDevice device(static_cast<std::uint64_t>(x.length));
    if (x.has_head()) {
      device.template run<detail::HeadKernel<Problem>>(detail::ColumnKernelShape::blocks(x.columns), 0, x);
    }
    std::vector<typename Kernel::Value> pieces(static_cast<std::size_t>(x.columns) * Kernel::threads);
    device.template run<Kernel>(x.columns, 0, {x, pieces.data()});
  }
};

}  // namespace

TEST_CASE("custom_cuda_scan: its kernel, in the emulator") {
  // Fewer steps than threads, a piece more than full pieces, and several steps to a piece.
  for (const std::int64_t length : {1, 2, 129, 1025}) {
    const ProblemData<float> data(length, 7);
    check_linear_problem<EmulatedDevice>(data, ByRaking{});
    check_gradient_problem<EmulatedDevice>(data, ByRaking{});
    check_value_problem<EmulatedDevice>(length, ByRaking{});
  }
}
