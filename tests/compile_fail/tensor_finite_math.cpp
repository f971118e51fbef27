// expect: sdlora: exp and log need IEEE rounding and NaN; compile without -ffast-math or parts of it
#ifdef SDLORA_EXPECT_FAILURE
#undef __FINITE_MATH_ONLY__
#define __FINITE_MATH_ONLY__ 1  // as -ffinite-math-only does
#endif
#include <sdlora/tensor/simd.hpp>

float power(float x) { return sdlora::exp(x); }
