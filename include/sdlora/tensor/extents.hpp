#pragma once

#include "../error.hpp"

#include <array>
#include <cstddef>
#include <limits>
#include <string>

namespace sdlora {

/// An extent that is known only at run time.
inline constexpr std::size_t dyn = std::numeric_limits<std::size_t>::max();

/// The shape of a tensor, named as `std::extents`: each extent is static or `dyn`.
/// Only dynamic extents take effect at run time, but all are stored once any is dynamic.
template <std::size_t... Values>
class Extents {
 public:
  static constexpr std::size_t rank() { return sizeof...(Values); }

  /// The extent as the type knows it: `dyn` where it does not.
  static constexpr std::size_t static_extent(std::size_t i) {
    constexpr std::array<std::size_t, sizeof...(Values)> values{Values...};
    return values[i];
  }

  static constexpr bool is_static() { return ((Values != dyn) && ...); }

  constexpr Extents() = default;

  /// All extents, in order. Throws ShapeError where one contradicts the type.
  template <class... Sizes>
    requires(sizeof...(Sizes) == sizeof...(Values) && sizeof...(Sizes) > 0)
  explicit constexpr Extents(Sizes... sizes) : values_{static_cast<std::size_t>(sizes)...} {
    for (std::size_t i = 0; i < rank(); ++i) {
      if (static_extent(i) != dyn && static_extent(i) != values_[i]) {
        throw ShapeError("Extents: extent " + std::to_string(i) + " is " + std::to_string(static_extent(i)) +
                         " in the type but was given as " + std::to_string(values_[i]) +
                         "; pass the static value, or make the extent dyn");
      }
    }
  }

  constexpr std::size_t extent(std::size_t i) const { return values_[i]; }

  /// The number of elements.
  constexpr std::size_t size() const {
    std::size_t product = 1;
    for (const std::size_t value : values_) product *= value;
    return product;
  }

  template <std::size_t... Others>
  friend constexpr bool operator==(const Extents& a, const Extents<Others...>& b) {
    if constexpr (sizeof...(Others) != sizeof...(Values)) {
      return false;
    } else {
      for (std::size_t i = 0; i < rank(); ++i) {
        if (a.extent(i) != b.extent(i)) return false;
      }
      return true;
    }
  }

 private:
  std::array<std::size_t, sizeof...(Values)> values_{(Values == dyn ? 0 : Values)...};
};

}  // namespace sdlora
