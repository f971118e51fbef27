#pragma once

#include "../error.hpp"
#include "policy.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace sdlora {

/// The recurrence as a ratio of running products and sums: with P_t = Π a,
/// h_t = P_t (h_0 + Σ b_i / P_i).
/// Work 2L, depth that of two prefix sums. Stability: P leaves the range of the type soon: for a
/// diagonal state-space model near |A|·Σ delta = 88 in float, so it suits short chunks. The guard
/// keeps |P| inside [2⁻¹⁰⁰, 2¹⁰⁰] (float; 2^∓⁸⁰⁰ in double) and the sum finite; outside of that
/// (zeros in a included) it throws ArgumentError before h is written.
/// Source: the "cumsum" trick of minimal Mamba implementations; e.g. Heinsen 2023, §1 on its limits.
struct CumsumRatio {
  static constexpr std::string_view name = "cumsum_ratio";

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace&) {
    for (std::size_t j = 0; j < x.columns; ++j) run<false>(x, j);
    for (std::size_t j = 0; j < x.columns; ++j) run<true>(x, j);
  }

 private:
  template <bool Write, class T>
  static void run(const LinearBlock<T>& x, std::size_t j) {
    const int exponent = std::numeric_limits<T>::max_exponent * 25 / 32;
    const T largest = std::ldexp(T(1), exponent);
    const T smallest = std::ldexp(T(1), -exponent);
    const T* a = x.a + j;
    const T* b = x.b + j;
    T* h = x.h + j;
    T product = 1;
    T sum = x.initial_state(j);
    for (std::size_t t = 0; t < x.length; ++t) {
      const T before = product * sum;
      product *= *a;
      sum += *b / product;
      if constexpr (Write) {
        *h = x.exclusive ? before : product * sum;
      } else {
        const T size = std::abs(product);
        if (!(size >= smallest && size <= largest) || !std::isfinite(sum)) {
          throw ArgumentError(
              "CumsumRatio: the running product of a in column " + std::to_string(j) + " left [2^-" +
              std::to_string(exponent) + ", 2^" + std::to_string(exponent) + "] at step " +
              std::to_string(t) +
              " of the scan, or the sum overflowed; scan shorter chunks, or use SimdChannels");
        }
      }
      a += x.a_step;
      b += x.b_step;
      h += x.h_step;
    }
  }
};

static_assert(ScanPolicy<CumsumRatio> && ColumnScan<CumsumRatio>);

}  // namespace sdlora
