#pragma once

#include <sdlora/adapters/lora.hpp>
#include <sdlora/layers/conv1d.hpp>
#include <sdlora/layers/rms_norm.hpp>
#include <sdlora/model/base.hpp>
#include <sdlora/model/cross_entropy.hpp>
#include <sdlora/scan/selective_scan.hpp>
#include <sdlora/tensor/matmul.hpp>

// What the tests' models are made of, compiled once for all of them (instances.cpp).

#ifndef SDLORA_TEST_INSTANCE
#define SDLORA_TEST_INSTANCE extern template
#endif

#define SDLORA_TEST_INSTANCES(T)                                                                            \
  SDLORA_TEST_INSTANCE void detail::matmul<false, false, T>(MatrixView<T>, MatrixView<const T>,             \
                                                            MatrixView<const T>, Write, T);                 \
  SDLORA_TEST_INSTANCE void detail::matmul<false, true, T>(MatrixView<T>, MatrixView<const T>,              \
                                                           MatrixView<const T>, Write, T);                  \
  SDLORA_TEST_INSTANCE void detail::matmul<true, false, T>(MatrixView<T>, MatrixView<const T>,              \
                                                           MatrixView<const T>, Write, T);                  \
  SDLORA_TEST_INSTANCE void rms_norm_forward<T>(MatrixView<const T>, const T*, T, MatrixView<T>);           \
  SDLORA_TEST_INSTANCE void rms_norm_backward<T>(MatrixView<const T>, const T*, T, MatrixView<const T>,     \
                                                 MatrixView<T>, T*, Workspace&);                            \
  SDLORA_TEST_INSTANCE void conv1d_silu_forward<4, T>(const Conv1dInputs<T>&, MatrixView<T>, T*,            \
                                                      Workspace&);                                          \
  SDLORA_TEST_INSTANCE void conv1d_silu_backward<4, T>(const Conv1dInputs<T>&, MatrixView<const T>,         \
                                                       const T*, const Conv1dGradients<T>&, Workspace&);    \
  SDLORA_TEST_INSTANCE void selective_scan_forward<16, T>(const SelectiveScanInputs<T>&, MatrixView<T>, T*, \
                                                          T*, Workspace&);                                  \
  SDLORA_TEST_INSTANCE Loss head_cross_entropy<T>(MatrixView<const T>, MatrixView<const T>,                 \
                                                  std::span<const std::int32_t>, T, MatrixView<T>,          \
                                                  MatrixView<T>, Workspace&);                               \
  SDLORA_TEST_INSTANCE class LoRA<>::Linear<T>;                                                             \
  SDLORA_TEST_INSTANCE class LoRA<2>::Linear<T>;

namespace sdlora {
SDLORA_TEST_INSTANCES(float)
SDLORA_TEST_INSTANCES(double)
}  // namespace sdlora
