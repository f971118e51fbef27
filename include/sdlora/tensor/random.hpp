#pragma once

#include "../version.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

namespace sdlora {

namespace detail {
/// SplitMix64's mixing function.
constexpr std::uint64_t splitmix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}
}  // namespace detail

/// Random numbers as a function of (seed, stream, index): no state to carry, the same for any number of
/// threads and, but for `normal`, on every platform. All members draw on one sequence of bits: a stream
/// serves one kind of member, or several at indices apart. The mixing function is SplitMix64's (Steele, Lea
/// and Flood, "Fast splittable pseudorandom number generators", 2014).
class RandomStream {
 public:
  constexpr RandomStream(std::uint64_t seed, std::uint64_t stream)
      : key_(detail::splitmix(detail::splitmix(seed + increment) ^ (stream * increment + 1))) {}

  /// 64 random bits.
  constexpr std::uint64_t bits(std::uint64_t index) const {
    return detail::splitmix(key_ + index * increment);
  }

  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform(std::uint64_t index) const {
    return static_cast<double>(bits(index) >> 11) * 0x1p-53;
  }

  /// Uniform in {0, …, count − 1}; the bias is below count / 2^64.
  constexpr std::uint64_t below(std::uint64_t index, std::uint64_t count) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(bits(index)) * count) >> 64);
  }

  /// Standard normal, by Box and Muller's transform of uniform(2·index) and uniform(2·index + 1), which are
  /// not to be used beside it. The last bits are those of the platform's log and cos.
  double normal(std::uint64_t index) const {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(2 * index)));
    return radius * std::cos(2.0 * std::numbers::pi * uniform(2 * index + 1));
  }

  /// Puts values[0 … count) into a random order (Fisher and Yates), by the indices 2 … count.
  template <class Value>
  constexpr void shuffle(Value* values, std::size_t count) const {
    for (std::size_t i = count; i > 1; --i) {
      const std::size_t j = below(i, i);
      const Value kept = values[i - 1];
      values[i - 1] = values[j];
      values[j] = kept;
    }
  }

 private:
  static constexpr std::uint64_t increment = 0x9e3779b97f4a7c15U;

  std::uint64_t key_;
};

}  // namespace sdlora
