#pragma once

// All of tensor/.
#include "tensor/device.hpp"
#include "tensor/extents.hpp"
#include "tensor/matmul.hpp"
#include "tensor/matmul_eigen.hpp"
#include "tensor/matrix_view.hpp"
#include "tensor/parallel.hpp"
#include "tensor/random.hpp"
#include "tensor/sequences.hpp"
#include "tensor/simd.hpp"
#include "tensor/tensor.hpp"
#include "tensor/tensor_view.hpp"
#include "tensor/workspace.hpp"
