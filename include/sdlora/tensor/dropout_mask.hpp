#pragma once

#include "expression.hpp"
#include "random.hpp"

#include <cstddef>
#include <cstdint>

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

template <class T>
struct BoundMask {
  RandomStream random;
  double rate;
  T kept;
  std::size_t row_length;

  constexpr T value(std::size_t row, std::size_t column) const {
    return random.uniform(row * row_length + column) < rate ? T(0) : kept;
  }

  template <class V>
  struct Cursor {
    BoundMask mask;
    std::size_t row;
    template <class Lanes>
    V at(std::size_t j, Lanes) const {
      alignas(alignment) T buffer[V::size];
      for (std::size_t k = 0; k < V::size; ++k) buffer[k] = mask.value(row, j + k);
      return V::load_aligned(buffer);
    }
  };
  template <class V>
  auto cursor(std::size_t row) const {
    return Cursor<V>{*this, row};
  }
  template <class V>
  auto flat_cursor() const {
    return Cursor<V>{*this, 0};
  }
};

template <class T>
struct MaskLeaf {
  using expression_tag = void;
  using value_type = T;
  using extents_type = Extents<dyn, dyn>;
  using device_type = void;
  static constexpr std::size_t cost = 16;

  BoundMask<T> mask;
  std::size_t rows;

  constexpr extents_type extents() const { return extents_type(rows, mask.row_length); }
  constexpr std::size_t columns() const { return mask.row_length; }
  template <class Result>
  constexpr auto bind(const Result&) const {
    return mask;
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Flatness::AtRunTime;
  }
  constexpr bool is_flat(std::size_t result_size) const { return rows * mask.row_length == result_size; }
  bool disturbed_by(const Destination&) const { return false; }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

inline namespace SDLORA_SIMD_TAG {

/// The mask of dropout (Srivastava et al., JMLR 2014), a leaf of expressions (rows, cols) on every device: 0
/// with probability `rate`, else 1 / (1 − rate), by number i·cols + j of the stream. `rate` in [0, 1).
template <class T>
constexpr detail::MaskLeaf<T> dropout_mask(const RandomStream& random, double rate, std::size_t rows,
                                           std::size_t cols) {
  return {{random, rate, static_cast<T>(1.0 / (1.0 - rate)), cols}, rows};
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
