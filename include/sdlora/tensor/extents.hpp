#pragma once

#include "../error.hpp"

#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>

namespace sdlora {

/// An extent that is known only at run time.
inline constexpr std::size_t dyn = std::numeric_limits<std::size_t>::max();

namespace detail {

/// The run-time part of a shape. Its own type, so that a shape without one is empty.
template <std::size_t Count>
struct DynamicExtents {
  std::size_t values[Count] = {};
};
template <>
struct DynamicExtents<0> {};

[[noreturn]] inline void throw_wrong_extent(std::size_t i, std::size_t expected, std::size_t found) {
  throw ShapeError("Extents: extent " + std::to_string(i) + " is " + std::to_string(expected) +
                   " in the type but was given as " + std::to_string(found) +
                   "; pass the static value, or make the extent dyn");
}

}  // namespace detail

/// The shape of a tensor, named as `std::extents`: each extent is static or `dyn`, and only the
/// dynamic ones are stored.
template <std::size_t... Values>
class Extents {
 public:
  static constexpr std::size_t rank() { return sizeof...(Values); }
  static constexpr std::size_t rank_dynamic() { return (std::size_t{0} + ... + (Values == dyn ? 1U : 0U)); }

  /// The extent as the type knows it: `dyn` where it does not.
  static constexpr std::size_t static_extent(std::size_t i) {
    constexpr std::array<std::size_t, sizeof...(Values)> values{Values...};
    return values[i];
  }

  static constexpr bool is_static() { return ((Values != dyn) && ...); }

  /// Dynamic extents are 0.
  constexpr Extents() = default;

  /// All extents in order, or only the dynamic ones. Throws ShapeError where one contradicts the type.
  template <class... Sizes>
    requires(sizeof...(Sizes) > 0 &&
             (sizeof...(Sizes) == sizeof...(Values) || sizeof...(Sizes) == rank_dynamic()) &&
             (std::is_convertible_v<Sizes, std::size_t> && ...))
  explicit constexpr Extents(Sizes... sizes) {
    const std::size_t given[] = {static_cast<std::size_t>(sizes)...};
    if constexpr (sizeof...(Sizes) == rank()) {
      for (std::size_t i = 0; i < rank(); ++i) set(i, given[i]);
    } else {
      for (std::size_t i = 0; i < rank_dynamic(); ++i) dynamic_.values[i] = given[i];
    }
  }

  /// The same shape in another type. Implicit where that cannot fail; else throws ShapeError where
  /// an extent contradicts this type.
  template <std::size_t... Others>
    requires(sizeof...(Others) == sizeof...(Values) &&
             ((Others == dyn || Values == dyn || Others == Values) && ...))
  explicit(!((Values == dyn || Others == Values) && ...)) constexpr Extents(const Extents<Others...>& other) {
    for (std::size_t i = 0; i < rank(); ++i) set(i, other.extent(i));
  }

  constexpr std::size_t extent(std::size_t i) const {
    if constexpr (rank_dynamic() == 0) {
      return static_extent(i);
    } else if constexpr (rank_dynamic() == rank()) {
      return dynamic_.values[i];
    } else {
      return static_extent(i) == dyn ? dynamic_.values[dynamic_index(i)] : static_extent(i);
    }
  }

  /// The number of elements.
  constexpr std::size_t size() const {
    std::size_t product = 1;
    for (std::size_t i = 0; i < rank(); ++i) product *= extent(i);
    return product;
  }

 private:
  static constexpr std::size_t dynamic_index(std::size_t i) {
    std::size_t index = 0;
    for (std::size_t k = 0; k < i; ++k) index += static_extent(k) == dyn ? 1U : 0U;
    return index;
  }

  constexpr void set(std::size_t i, std::size_t value) {
    if (static_extent(i) == dyn) {
      if constexpr (rank_dynamic() > 0) dynamic_.values[dynamic_index(i)] = value;
    } else if (static_extent(i) != value) {
      detail::throw_wrong_extent(i, static_extent(i), value);
    }
  }

  [[no_unique_address]] detail::DynamicExtents<rank_dynamic()> dynamic_;
};

/// Equal ranks and equal extents, whichever of them are static.
template <std::size_t... A, std::size_t... B>
constexpr bool operator==(const Extents<A...>& a, const Extents<B...>& b) {
  if constexpr (sizeof...(A) != sizeof...(B)) {
    return false;
  } else {
    for (std::size_t i = 0; i < sizeof...(A); ++i) {
      if (a.extent(i) != b.extent(i)) return false;
    }
    return true;
  }
}

/// The shape as messages print it: `(3, 5)`.
template <std::size_t... Values>
std::string to_string(const Extents<Values...>& extents) {
  std::string text = "(";
  if constexpr (sizeof...(Values) > 0) {  // nvcc calls a loop that cannot run pointless
    for (std::size_t i = 0; i < sizeof...(Values); ++i) {
      if (i > 0) text += ", ";
      text += std::to_string(extents.extent(i));
    }
  }
  return text + ")";
}

namespace detail {

inline std::string extents_text(std::size_t rows, std::size_t cols) {
  return to_string(Extents<dyn, dyn>(rows, cols));
}

/// How many times b fits into a, and once more for a rest.
template <class T>
constexpr T ceil_div(T a, std::type_identity_t<T> b) {
  return (a + b - 1) / b;
}

/// The first multiple of b that is not below a.
template <class T>
constexpr T round_up(T a, std::type_identity_t<T> b) {
  return ceil_div(a, b) * b;
}

[[noreturn]] inline void throw_too_large(const char* owner, const std::string& extents) {
  throw ShapeError(
      std::string(owner) + ": extents " + extents +
      " hold more values than memory can address; check the extents for a negative or unset value");
}

/// The number of elements of a shape, each of `bytes_each`; throws ShapeError, which begins with `owner`,
/// where memory cannot address them.
template <std::size_t... Values>
std::size_t checked_size(const Extents<Values...>& extents, std::size_t bytes_each,
                         const char* owner = "Tensor") {
  std::size_t left = std::numeric_limits<std::size_t>::max() / 2 / bytes_each;
  for (std::size_t i = 0; i < sizeof...(Values); ++i) {
    if (extents.extent(i) == 0) return 0;
  }
  for (std::size_t i = 0; i < sizeof...(Values); ++i) {
    if (extents.extent(i) > left) throw_too_large(owner, to_string(extents));
    left /= extents.extent(i);
  }
  return extents.size();
}

/// The bytes of `count` values; throws as checked_size does.
inline std::size_t checked_bytes(std::size_t count, std::size_t bytes_each, const char* owner) {
  return checked_size(Extents<dyn>(count), bytes_each, owner) * bytes_each;
}

}  // namespace detail

static_assert(std::is_trivially_copyable_v<Extents<dyn, 3>>);
static_assert(sizeof(Extents<dyn, 3, dyn>) == 2 * sizeof(std::size_t) && std::is_empty_v<Extents<3, 5>>);

}  // namespace sdlora
