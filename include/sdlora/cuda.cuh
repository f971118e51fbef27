#pragma once

// All that needs nvcc.
#include "scan/cuda/linear_scan.cuh"
#include "scan/cuda/selective_scan.cuh"
