#pragma once

namespace sdlora::detail {

/// The gradients that a backward may be asked for, as bits of its `Mask`.
struct GradientBit {
  static constexpr unsigned u = 1, dt = 2, z = 4, B = 8, C = 16, A = 32, D = 64, dt_bias = 128, initial = 256;
  /// In the place of `A`: that of listed channels only.
  static constexpr unsigned A_selected = 512;
};

/// What a backward with the gradients of `Mask` has to compute.
template <bool Gate, unsigned Mask>
struct KernelGradients {
  static constexpr bool has(unsigned bits) { return (Mask & bits) != 0; }
  static constexpr bool dB = has(GradientBit::B);
  static constexpr bool dC = has(GradientBit::C);
  static constexpr bool dA = has(GradientBit::A | GradientBit::A_selected);
  static constexpr bool dz = Gate && has(GradientBit::z);
  static constexpr bool delta = has(GradientBit::dt | GradientBit::dt_bias);
  static constexpr bool product = has(GradientBit::u) || delta;  // Σ g·B
  static constexpr bool decay = dA || delta;                     // g·a·h
  static constexpr bool sums = dz || product;                    // over the states
  static_assert(
      !(has(GradientBit::A) && has(GradientBit::A_selected)),
      "sdlora: a backward gives the gradient of A for all channels or for listed ones; ask for one");
};

}  // namespace sdlora::detail
