#pragma once

// All that needs nvcc.
#include "scan/cuda/block_scan.cuh"
#include "scan/cuda/policies.cuh"
#include "scan/cuda/scan.cuh"
#include "scan/cuda/selective_scan.cuh"
#include "tensor/cuda/copy.cuh"
#include "tensor/cuda/device_matrix.cuh"
#include "tensor/cuda/evaluate.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/storage.cuh"
#include "tensor/cuda/stream.cuh"
