#pragma once

#include <sdlora/adapters/lora.hpp>
#include <sdlora/layers/conv1d.hpp>
#include <sdlora/layers/rms_norm.hpp>
#include <sdlora/model/cross_entropy.hpp>
#include <sdlora/scan/selective/selective_scan.hpp>
#include <sdlora/tensor/frozen_weight.hpp>
#include <sdlora/tensor/matmul.hpp>

// What every model is made of, whatever its placement: for programs with several to compile once. To be
// used in namespace sdlora, with KIND `extern template` in a header and `template` in one source file.
#define SDLORA_MODEL_INSTANCES(KIND, T)                                                                   \
  KIND void detail::matmul<false, false, T, Cpu>(MatrixView<T>, MatrixView<const T>, MatrixView<const T>, \
                                                 Write, T);                                               \
  KIND void detail::matmul<false, true, T, Cpu>(MatrixView<T>, MatrixView<const T>, MatrixView<const T>,  \
                                                Write, T);                                                \
  KIND void detail::matmul<true, false, T, Cpu>(MatrixView<T>, MatrixView<const T>, MatrixView<const T>,  \
                                                Write, T);                                                \
  KIND void matmul<T, Cpu>(MatrixView<T>, MatrixView<const T>, TransposedFrozenWeight<T, Cpu>, Write, T); \
  KIND void matmul<T, Cpu>(MatrixView<T>, MatrixView<const T>, const FrozenWeight<T>&, Write, T);         \
  KIND void look_up<T, Cpu, const std::int32_t>(MatrixView<T>, const FrozenWeight<T>&,                    \
                                                MatrixView<const std::int32_t>);                          \
  KIND void rms_norm_forward<T, Cpu>(MatrixView<const T>, MatrixView<const T>, T, MatrixView<T>);         \
  KIND void rms_norm_backward<T, Cpu>(MatrixView<const T>, MatrixView<const T>, T, MatrixView<const T>,   \
                                      MatrixView<T>, MatrixView<T>, Workspace&);                          \
  KIND Loss head_cross_entropy<T, Cpu, PlainHead>(MatrixView<const T>, const FrozenWeight<T>&,            \
                                                  std::span<const std::int32_t>, T, MatrixView<T>,        \
                                                  MatrixView<T>, Workspace&, const PlainHead&);           \
  KIND class LowRank<T>;

// The same for what depends on the number of states and of taps, or `dyn` where a model leaves them open.
#define SDLORA_SIZED_INSTANCES(KIND, T, STATES, TAPS)                                                       \
  KIND void conv1d_silu_forward<TAPS, T, Cpu>(const Conv1dInputs<T>&, MatrixView<T>, MatrixView<T>,         \
                                              Workspace&);                                                  \
  KIND void conv1d_silu_backward<TAPS, T, Cpu>(const Conv1dInputs<T>&, MatrixView<const T>,                 \
                                               MatrixView<const T>, const Conv1dGradients<T>&, Workspace&); \
  KIND void selective_scan_forward<STATES, T, Cpu>(const SelectiveScanInputs<T>&, MatrixView<T>,            \
                                                   MatrixView<T>, T*, Workspace&);
