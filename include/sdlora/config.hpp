#pragma once

#include "version.hpp"

// The one host/device macro of the library. Arithmetic shared with kernels is plain `constexpr`;
// this is for what cannot be.
#if defined(__CUDACC__)
#define SDLORA_HOST_DEVICE __host__ __device__
#else
#define SDLORA_HOST_DEVICE
#endif
