#pragma once

#include "../../error.hpp"
#include "detail/column_lanes.hpp"
#include "policy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The recurrence as a ratio of running products and sums: with P_t = Π a,
/// h_t = P_t (h_0 + Σ b_i / P_i).
/// Work 2L, depth that of two prefix sums. Linear recurrences only. Stability: P leaves the range of the type
/// soon: for a diagonal state-space model near |A|·Σ delta = 88 in float, so it suits short chunks. The guard
/// keeps |P| inside [2⁻¹⁰⁰, 2¹⁰⁰] (float; 2^∓⁸⁰⁰ in double) and the sum finite; outside of that
/// (zeros in a included) it throws ArgumentError, nothing written. Gradients are a scan with the same a.
/// Source: the "cumsum" trick of minimal Mamba implementations; e.g. Heinsen 2023, §1 on its limits.
struct CumsumRatio {
  static constexpr std::string_view name = "cumsum_ratio";

  template <class T>
  static void check(const LinearBlock<T>& x) {
    std::size_t column = x.first_column;
    detail::for_each_whole_tile<1>(x, [&]<class V, std::size_t Count>(const LinearBlock<T>& tile) {
      if (!run<false, V>(tile)) {
        for (std::size_t j = 0; j < tile.columns; ++j) explain(tile, j, column + j);
      }
      column += tile.columns;
    });
  }

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace&) {
    detail::for_each_whole_tile<1>(
        x, []<class V, std::size_t Count>(const LinearBlock<T>& tile) { run<true, V>(tile); });
  }

 private:
  template <class T>
  static constexpr int exponent = std::numeric_limits<T>::max_exponent * 25 / 32;

  template <class T>
  static bool in_range(T product, T sum) {
    const T size = std::abs(product);
    return size >= std::ldexp(T(1), -exponent<T>) && size <= std::ldexp(T(1), exponent<T>) &&
           std::isfinite(sum);
  }

  /// One vector of columns. Without Write, only tells whether all stays in range.
  template <bool Write, class V, class T>
  static bool run(const LinearBlock<T>& x) {
    const T* a = x.a;
    const T* b = x.b;
    T* h = x.h;
    V product(T(1));
    V sum = x.initial ? detail::load_lanes<V>(x.initial) : V(T(0));
    const V smallest(std::ldexp(T(1), -exponent<T>)), largest(std::ldexp(T(1), exponent<T>));
    const V infinity(std::numeric_limits<T>::infinity()), zero(T(0));
    V good(T(1));
    for (std::size_t t = 0; t < x.length; ++t) {
      const V before = product * sum;
      product = product * detail::load_lanes<V>(a);
      sum = sum + detail::load_lanes<V>(b) / product;
      if constexpr (Write) {
        detail::store_lanes<false>(x.exclusive ? before : V(product * sum), h);
      } else {
        const V size = detail::greater(product, V(-product));
        good = detail::choose(size >= smallest, good, zero);
        good = detail::choose(size <= largest, good, zero);
        good = detail::choose(detail::greater(sum, V(-sum)) < infinity, good, zero);
      }
      a += x.a_step;
      b += x.b_step;
      h += x.h_step;
    }
    std::array<T, sizeof(V) / sizeof(T)> flags;
    detail::store_lanes<false>(good, flags.data());
    return std::ranges::count(flags, T(0)) == 0;
  }

  template <class T>
  static void explain(const LinearBlock<T>& x, std::size_t j, std::size_t column) {
    T product = 1;
    T sum = x.initial_state(j);
    const T* a = x.a + j;
    const T* b = x.b + j;
    for (std::size_t t = 0; t < x.length; ++t) {
      product *= *a;
      sum += *b / product;
      if (!in_range(product, sum)) {
        const std::string place =
            " in column " + std::to_string(column) + " at step " + std::to_string(t) + " of the scan";
        if (*a == T(0) || !std::isfinite(*a) || !std::isfinite(*b)) {
          throw ArgumentError("CumsumRatio: needs finite a ≠ 0 and finite b but found a = " +
                              std::to_string(*a) + ", b = " + std::to_string(*b) + place +
                              "; use SimdChannels, or Sequential, which accept any values");
        }
        throw ArgumentError("CumsumRatio: the running product of a left [2^-" + std::to_string(exponent<T>) +
                            ", 2^" + std::to_string(exponent<T>) + "]" + place +
                            ", or the sum overflowed; scan shorter chunks, or use SimdChannels");
      }
      a += x.a_step;
      b += x.b_step;
    }
  }
};

static_assert(ScanPolicy<CumsumRatio> && GuardedColumnScan<CumsumRatio>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
