#include <sdlora/tensor/detail/assign_kernel.hpp>
#include <sdlora/tensor/emulator.hpp>

#include "support/expression_cases.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// A device whose kernels run in the emulator and whose memory is the host's.
struct EmulatedGpu {};
struct CountedLaunches : Emulator {
  using Emulator::Emulator;
  int launches = 0;
  template <class Kernel>
  void run(std::int64_t blocks, std::size_t shared_floats, const typename Kernel::Arguments& arguments) {
    ++launches;
    Emulator::run<Kernel>(blocks, shared_floats, arguments);
  }
};
CountedLaunches emulator(3);

}  // namespace

namespace sdlora {

template <class T>
class Storage<T, EmulatedGpu> : public Storage<T, Cpu> {
 public:
  using Storage<T, Cpu>::Storage;
};

namespace detail {
template <>
struct Evaluator<EmulatedGpu> {
  template <class E, class Node>
  static E shape(const Node& node) {
    return taken_shape<E>(node);
  }
  template <AssignMode Mode, class T, class E, class Node>
  static void assign(const TensorView<T, E, EmulatedGpu>& destination, const Node& node) {
    assign_by_kernel<Mode, EmulatedGpu>(emulator, destination.data(), destination.extents(), node);
  }
};
}  // namespace detail

}  // namespace sdlora

namespace {

template <class To>
struct CopyThrough {
  using Device = To;
  template <class T, class E>
  Tensor<T, E, To> put(const Tensor<T, E>& tensor) const {
    Tensor<T, E, To> result(tensor.extents(), uninitialized);
    Storage<T, Cpu>::copy(result.data(), tensor.data(), tensor.size());
    return result;
  }
  template <class T, class E>
  Tensor<T, E> get(const Tensor<T, E, To>& tensor) const {
    Tensor<T, E> result(tensor.extents(), uninitialized);
    Storage<T, Cpu>::copy(result.data(), tensor.data(), tensor.size());
    return result;
  }
};

}  // namespace

TEST_CASE("assignment kernels in the emulator: float") {
  check_expressions<float>(CopyThrough<EmulatedGpu>{},
                           {{1, 1}, {5, 1}, {1, 31}, {7, 33}, {129, 3}, {2, 1029}});
}

TEST_CASE("assignment kernels in the emulator: double") {
  check_expressions<double>(CopyThrough<EmulatedGpu>{}, {{3, 65}, {1, 1024}});
}

TEST_CASE("an assignment is one kernel") {
  using Matrix = Tensor<float, Extents<dyn, dyn>, EmulatedGpu>;
  Matrix a(5, 33), b(5, 33), y(5, 33);
  emulator.launches = 0;
  y = a * b + exp(a) - silu(b * 2.0F);
  CHECK(emulator.launches == 1);
  y = a * rsqrt(mean(a * a) + 1e-5F);
  CHECK(emulator.launches == 2);
  y += a;
  CHECK(emulator.launches == 3);
}

TEST_CASE("the same cases on the host") {
  check_expressions<float>(CopyThrough<Cpu>{}, {{1, 1}, {5, 1}, {7, 33}, {2, 1029}});
}

TEST_CASE("assignment kernels in the emulator: quotients, a NaN in a row, no memory") {
  const CopyThrough<EmulatedGpu> transfer;
  Tensor<float, Extents<3, 40>> host;
  host.fill(6);
  host(1, 37) = std::numeric_limits<float>::quiet_NaN();
  Tensor<float, Extents<3, 40>, EmulatedGpu> x = transfer.put(host);
  const Tensor<float, Extents<3, 1>, EmulatedGpu> largest = max(x);
  CHECK(transfer.get(largest)(0, 0) == 6);
  CHECK(std::isnan(transfer.get(largest)(1, 0)));
  x /= 4;
  CHECK(transfer.get(x)(2, 39) == 1.5F);
  const auto taken = std::move(x);
  CHECK_THROWS_AS(x += 1, ShapeError);
}
