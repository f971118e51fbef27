#pragma once

#include "../detail/assign_kernel.hpp"
#include "../evaluate.hpp"
#include "copy.cuh"
#include "launch.cuh"
#include "storage.cuh"
#include "stream.cuh"

namespace sdlora::detail {

/// Expressions on the GPU: each assignment is one kernel on the thread's current stream.
template <>
struct Evaluator<Cuda> {
  template <class E, class Node>
  static E shape(const Node& node) {
    return taken_shape<E>(node);
  }

  template <AssignMode Mode, class T, class E, class Node>
  static void assign(const TensorView<T, E, Cuda>& destination, const Node& node) {
    StreamLauncher<CudaBlock> launcher(CudaStream::current().get(), "assignment of an expression");
    assign_by_kernel<Mode, Cuda>(launcher, destination.data(), destination.extents(), node);
  }
};

}  // namespace sdlora::detail
