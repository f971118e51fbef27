#pragma once

// All of sdlora that needs no CUDA, in the order in which data flows.
#include "error.hpp"
#include "version.hpp"

// clang-format off
#include "tensor.hpp"
#include "scan.hpp"
#include "adapters.hpp"
#include "layers.hpp"
#include "model.hpp"
#include "io.hpp"
#include "training.hpp"
// clang-format on
