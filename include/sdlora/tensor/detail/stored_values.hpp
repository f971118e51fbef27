#pragma once

#include "../bfloat16.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// Stored values of a weight as floats and as bfloat16: from bytes at any address on the host, from arrays in
// kernels. Loops are plain, so that the compiler makes vectors of them.

namespace sdlora::detail {

/// As a BFloat16 holds it, in words of 32 bits all the way: vectors need not change their width.
constexpr float rounded_to_bfloat16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (word + 0x7fffU + ((word >> 16) & 1U)) & 0xffff'0000U;
  return std::bit_cast<float>((word & 0x7fff'ffffU) > 0x7f80'0000U ? (word & 0xffff'0000U) | 0x40'0000U
                                                                   : rounded);
}

/// The value that is stored; `scale` is that of the row of an int8.
template <class Stored>
constexpr float widened(Stored value, [[maybe_unused]] float scale) {
  if constexpr (std::is_same_v<Stored, std::int8_t>) {
    return static_cast<float>(value) * scale;
  } else {
    return static_cast<float>(value);
  }
}

/// Rows of stored values at any byte of the host.
template <class Stored>
struct StoredBytes {
  const std::byte* data;
  std::size_t stride;
  const float* scales;

  template <class Weight>
  explicit StoredBytes(const Weight& weight)
      : data(weight.data), stride(weight.stride), scales(weight.scales) {}

  float scale(std::size_t row) const { return scales == nullptr ? 1.0F : scales[row]; }
  const std::byte* at(std::size_t row, std::size_t column) const {
    return data + (row * stride + column) * sizeof(Stored);
  }
  float operator()(std::size_t row, std::size_t column) const {
    Stored value;
    std::memcpy(&value, at(row, column), sizeof value);
    return widened(value, scale(row));
  }

  /// Values from (row, column) on as floats, rounded to bfloat16 where `Rounded`, or as BFloat16.
  template <bool Rounded = false, class To>
  void read(std::size_t row, std::size_t column, std::size_t count, To* to) const {
    const std::byte* from = at(row, column);
    const float by = scale(row);
    for (std::size_t j = 0; j < count; ++j) {
      Stored value;
      std::memcpy(&value, from + j * sizeof(Stored), sizeof value);
      if constexpr (std::is_same_v<To, BFloat16> && std::is_same_v<Stored, BFloat16>) {
        to[j] = value;
      } else if constexpr (std::is_same_v<To, BFloat16>) {
        to[j] = BFloat16(widened(value, by));
      } else if constexpr (Rounded && !std::is_same_v<Stored, BFloat16>) {
        to[j] = rounded_to_bfloat16(widened(value, by));
      } else {
        to[j] = widened(value, by);
      }
    }
  }
};

/// A matrix of stored values as kernels read it, rounded to bfloat16 where `Rounded`.
template <class Stored, bool Rounded>
struct StoredValues {
  const Stored* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;
  const float* scales = nullptr;

  constexpr StoredValues() = default;
  template <class Weight>
  explicit StoredValues(const Weight& weight)
      : data(weight.stored().data),
        rows(weight.rows),
        cols(weight.cols),
        stride(weight.stride),
        scales(weight.scales) {}

  constexpr float operator()(std::size_t row, std::size_t column) const {
    const float value =
        widened(data[row * stride + column], std::is_same_v<Stored, std::int8_t> ? scales[row] : 1.0F);
    if constexpr (Rounded && !std::is_same_v<Stored, BFloat16>) {
      return rounded_to_bfloat16(value);
    } else {
      return value;
    }
  }
};

/// A row of floats, each rounded to bfloat16: as such, or as floats again.
inline void round_row(BFloat16* to, const float* from, std::size_t count) {
  for (std::size_t j = 0; j < count; ++j) to[j] = BFloat16(from[j]);
}
inline void round_row(float* to, const float* from, std::size_t count) {
  for (std::size_t j = 0; j < count; ++j) to[j] = rounded_to_bfloat16(from[j]);
}

}  // namespace sdlora::detail
