#pragma once

#include "../detail/assign_kernel.hpp"
#include "copy.cuh"
#include "launch.cuh"
#include "storage.cuh"

namespace sdlora::detail {

/// Expressions on the GPU: each assignment is one kernel on the thread's current stream.
template <>
struct Evaluator<Cuda> : KernelEvaluator<Cuda> {};

}  // namespace sdlora::detail
