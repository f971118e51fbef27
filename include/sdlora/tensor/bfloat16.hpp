#pragma once

#include "../version.hpp"

#include <bit>
#include <cstdint>

namespace sdlora {

/// The upper half of a float, as kernels read and write it: storage only, arithmetic is in float.
struct BFloat16 {
  std::uint16_t bits;

  BFloat16() = default;
  /// Rounds to nearest, ties to even; a NaN stays one.
  constexpr explicit BFloat16(float value) : bits(round(value)) {}

  constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  constexpr explicit operator double() const { return static_cast<float>(*this); }

  /// As the floats are: zeros of both signs are equal, and a NaN equals nothing. `bits` tells more.
  friend constexpr bool operator==(const BFloat16& x, const BFloat16& y) {
    return static_cast<float>(x) == static_cast<float>(y);
  }

 private:
  static constexpr std::uint16_t round(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t upper = word >> 16;
    const std::uint32_t rounded = (word + 0x7fffU + (upper & 1U)) >> 16;
    // A choice without a branch, so that loops become vectors.
    return static_cast<std::uint16_t>((word & 0x7fff'ffffU) > 0x7f80'0000U ? upper | 0x40U : rounded);
  }
};

static_assert(sizeof(BFloat16) == 2);
static_assert(static_cast<float>(BFloat16{1.5F}) == 1.5F);

}  // namespace sdlora
