#pragma once

#include "../version.hpp"

#include <bit>
#include <cstdint>

namespace sdlora::detail {

/// IEEE 754 binary16 to float, exact (subnormals, infinities and NaN included).
constexpr float float16_to_float(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t magnitude = half & 0x7FFFu;
  if (magnitude >= 0x7C00u) return std::bit_cast<float>(sign | 0x7F80'0000u | (magnitude & 0x3FFu) << 13);
  if (magnitude >= 0x0400u) return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
  const float value = static_cast<float>(magnitude) * 0x1p-24f;  // zero or subnormal
  return sign != 0 ? -value : value;
}

/// Rounds to the nearest binary16, ties to even. A NaN stays one; what is too large becomes infinite.
constexpr std::uint16_t float_to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7FFF'FFFFu;
  std::uint32_t half = 0;
  if (magnitude > 0x7F80'0000u) {
    half = 0x7E00u;
  } else if (magnitude >= 0x4780'0000u) {  // 65536 and above
    half = 0x7C00u;
  } else if (magnitude >= 0x3880'0000u) {  // 2^-14: normal; the carry of 65520 reaches infinity
    half = (magnitude - (112u << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  } else {
    // Adding 0.5 aligns the subnormal's last bit with the sum's, which the addition rounds.
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    half = std::bit_cast<std::uint32_t>(aligned) - 0x3F00'0000u;
  }
  return static_cast<std::uint16_t>(sign | half);
}

}  // namespace sdlora::detail
