#pragma once

#include "../../../../tensor/bfloat16.hpp"
#include "../../../detail/kernel_arithmetic.hpp"

#include <bit>
#include <cstdint>

namespace sdlora::detail {

/// `Width` neighbouring values of a matrix in registers, as they lie in memory.
template <class IO, int Width>
struct Packed {
  IO values[Width] = {};

  constexpr float get(int i) const { return static_cast<float>(values[i]); }
  /// From `count` values; those after them become zeros. `vector`: all are there, in one aligned access.
  template <class Block>
  static constexpr Packed load(const Block& block, const IO* from, int count, bool vector) {
    Packed packed;
    if (vector) {
      if (count > 0) block.template load_vector<Width>(from, packed.values);
    } else {
      unroll<Width>([&](auto i) {
        if (i < count) packed.values[i] = from[i];
      });
    }
    return packed;
  }
  template <class Block>
  static constexpr void store(const Block& block, IO* to, const float (&values)[Width], int count,
                              bool vector) {
    IO narrow[Width];
    unroll<Width>([&](auto i) { narrow[i] = block.template narrow<IO>(values[i]); });
    if (vector) {
      block.template store_vector<Width>(to, narrow);
    } else {
      unroll<Width>([&](auto i) {
        if (i < count) to[i] = narrow[i];
      });
    }
  }
};

/// Two to a word, so that each becomes a float by one operation.
template <int Width>
  requires(Width % 2 == 0)
struct Packed<BFloat16, Width> {
  std::uint32_t words[Width / 2] = {};

  constexpr float get(int i) const {
    const std::uint32_t word = words[i / 2];
    return std::bit_cast<float>(i % 2 == 0 ? word << 16U : word & 0xffff'0000U);
  }
  template <class Block>
  static constexpr Packed load(const Block& block, const BFloat16* from, int count, bool vector) {
    Packed packed;
    if (vector) {
      if (count > 0)
        block.template load_vector<Width / 2>(reinterpret_cast<const std::uint32_t*>(from), packed.words);
    } else {
      unroll<Width>([&](auto i) {
        if (i < count) packed.words[i / 2] |= static_cast<std::uint32_t>(from[i].bits) << (i % 2 * 16U);
      });
    }
    return packed;
  }
  template <class Block>
  static constexpr void store(const Block& block, BFloat16* to, const float (&values)[Width], int count,
                              bool vector) {
    std::uint32_t words[Width / 2];
    unroll<Width / 2>([&](auto i) { words[i] = block.narrow_two(values[2 * i], values[2 * i + 1]); });
    if (vector) {
      block.template store_vector<Width / 2>(reinterpret_cast<std::uint32_t*>(to), words);
    } else {
      unroll<Width>([&](auto i) {
        if (i < count) to[i].bits = static_cast<std::uint16_t>(words[i / 2] >> (i % 2 * 16U));
      });
    }
  }
};

}  // namespace sdlora::detail
