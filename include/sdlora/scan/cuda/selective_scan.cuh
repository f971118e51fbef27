#pragma once

#include "../../tensor/cuda/storage.cuh"
#include "../selective/selective_scan.hpp"
#include "detail/launch.cuh"

// With this header `selective_scan_forward` and `selective_scan_backward` take arguments of the device
// `Cuda`. Their kernels run on the thread's current stream (tensor/cuda/stream.cuh); a CUDA graph can capture
// a call whose workspace has grown to its size. A block of the backward takes up to 177 KB of shared memory
// (N above 128); a device that has less refuses it with an Error.
