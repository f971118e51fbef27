#pragma once

#include "../version.hpp"

// g++ before 13 takes the deliberately undefined operands of its own AVX-512 header for mistakes.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0)
#error "sdlora: exp and log need IEEE rounding and NaN; compile without -ffast-math or parts of it"
#endif

// The name of the instruction set that this translation unit is compiled for. The SIMD kernels, what they
// call and the expressions sit in an inline namespace of this name: a unit for another instruction set has
// its own. Everything else (matmul, tensors, layers, Eigen's kernels) has one name in all units, and the
// linker keeps the code of any one of them. So a program has one -march; code for several belongs in as many
// shared libraries with hidden symbols.
#if XSIMD_WITH_AVX512BW
#define SDLORA_SIMD_TAG simd_avx512bw
#elif XSIMD_WITH_AVX512F
#define SDLORA_SIMD_TAG simd_avx512f
#elif XSIMD_WITH_FMA3_AVX2
#define SDLORA_SIMD_TAG simd_avx2_fma
#elif XSIMD_WITH_AVX2
#define SDLORA_SIMD_TAG simd_avx2
#elif XSIMD_WITH_FMA3_AVX
#define SDLORA_SIMD_TAG simd_avx_fma
#elif XSIMD_WITH_AVX
#define SDLORA_SIMD_TAG simd_avx
#elif XSIMD_WITH_SSE4_2
#define SDLORA_SIMD_TAG simd_sse42
#elif XSIMD_WITH_SSE2
#define SDLORA_SIMD_TAG simd_sse2
#elif XSIMD_WITH_NEON64
#define SDLORA_SIMD_TAG simd_neon64
#else
#define SDLORA_SIMD_TAG simd_other
#endif

// On a function or behind the parameters of a lambda: part of a kernel's loop, never a call. Under a
// sanitizer, where speed does not count, inlining everything only makes compiling take minutes.
#if defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define SDLORA_INLINED __attribute__((always_inline))
#else
#define SDLORA_INLINED
#endif
