#pragma once

#include "../../error.hpp"
#include "detail/column_lanes.hpp"
#include "policy.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

namespace sdlora {
inline namespace SDLORA_SIMD_TAG {

/// The recurrence in log space, as two prefix sums: with s_t = Σ log a,
/// log h_t = s_t + log(h_0 + Σ exp(log b_i − s_i)), the second sum kept as a running log-sum-exp.
/// Work 2L with two logarithms and two exponentials a step, depth that of two prefix sums (run in
/// sequence here, with columns in vector lanes).
/// Stability: nothing overflows, but digits cancel: the relative error is about ε·|s_t|.
/// Linear recurrences only. Requires a > 0, b ≥ 0 and initial ≥ 0 (negative ones would need complex
/// logarithms), and |s_t|·ε ≤ 0.001; else throws ArgumentError, nothing written. Gradients are a scan of
/// ∂loss/∂h, which must then be ≥ 0 as well. Source: Heinsen, "Efficient parallelization of a ubiquitous
/// sequential computation", 2023, arXiv:2311.06281.
struct Heinsen {
  static constexpr std::string_view name = "heinsen";

  template <class T>
  static void check(const LinearBlock<T>& x) {
    std::size_t column = x.first_column;
    detail::for_each_whole_tile<1>(x, [&]<class V, std::size_t Count>(const LinearBlock<T>& tile) {
      check_tile<V, Count>(tile, column);
      column += tile.columns;
    });
  }

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace&) {
    detail::for_each_whole_tile<2>(
        x, []<class V, std::size_t Count>(const LinearBlock<T>& tile) { run<V, Count>(tile); });
  }

 private:
  template <class V, std::size_t Count, class T>
  static void run(const LinearBlock<T>& x) {
    constexpr std::size_t lanes = sizeof(V) / sizeof(T);
    const V nothing(-std::numeric_limits<T>::infinity());  // log 0
    std::array<V, Count> log_product, log_sum, state;
    for (std::size_t i = 0; i < Count; ++i) {
      log_product[i] = V(T(0));
      state[i] = x.initial ? detail::load_lanes<V>(x.initial + i * lanes) : V(T(0));
      log_sum[i] = log(state[i]);
    }
    const T* a = x.a;
    const T* b = x.b;
    T* h = x.h;
    for (std::size_t t = 0; t < x.length; ++t) {
      for (std::size_t i = 0; i < Count; ++i) {
        const V before = state[i];
        log_product[i] = log_product[i] + log(detail::load_lanes<V>(a + i * lanes));
        const V term = log(detail::load_lanes<V>(b + i * lanes)) - log_product[i];
        const V high = detail::greater(log_sum[i], term), low = detail::lesser(log_sum[i], term);
        const V sum = high + log1p(exp(V(low - high)));
        log_sum[i] = detail::choose(high == nothing, nothing, sum);
        state[i] = exp(V(log_product[i] + log_sum[i]));
        detail::store_lanes<false>(x.exclusive ? before : state[i], h + i * lanes);
      }
      a += x.a_step;
      b += x.b_step;
      h += x.h_step;
    }
  }

  /// Vectors tell whether all is well; only when it is not, scalars find the place.
  template <class V, std::size_t Count, class T>
  static void check_tile(const LinearBlock<T>& x, std::size_t first_column) {
    constexpr std::size_t lanes = sizeof(V) / sizeof(T);
    const V zero(T(0)), infinity(std::numeric_limits<T>::infinity());
    V good(T(1));
    const auto demand = [&](auto condition) { good = detail::choose(condition, good, zero); };
    for (std::size_t i = 0; i < Count; ++i) {
      if (x.initial) {
        const V initial = detail::load_lanes<V>(x.initial + i * lanes);
        demand(initial >= zero);
        demand(initial < infinity);
      }
      V log_product = zero;
      const T* a = x.a + i * lanes;
      const T* b = x.b + i * lanes;
      for (std::size_t t = 0; t < x.length; ++t) {
        const V va = detail::load_lanes<V>(a), vb = detail::load_lanes<V>(b);
        demand(va > zero);
        demand(va < infinity);
        demand(vb >= zero);
        demand(vb < infinity);
        log_product = log_product + log(va);
        demand(detail::greater(log_product, V(-log_product)) <= V(limit<T>));
        a += x.a_step;
        b += x.b_step;
      }
    }
    std::array<T, lanes> flags;
    detail::store_lanes<false>(good, flags.data());
    if (std::ranges::count(flags, T(1)) == static_cast<std::ptrdiff_t>(lanes)) return;
    for (std::size_t j = 0; j < x.columns; ++j) explain(x, j, first_column + j);
  }

  template <class T>
  static constexpr T limit = T(1e-3) / std::numeric_limits<T>::epsilon();

  /// The fewest digits that tell the value from its neighbours.
  template <class T>
  static std::string shortest(T value) {
    char digits[32];
    return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
  }

  template <class T>
  static void explain(const LinearBlock<T>& x, std::size_t j, std::size_t column) {
    const auto refuse = [&](const std::string& what, std::size_t step) {
      throw ArgumentError("Heinsen: " + what + " in column " + std::to_string(column) + " at step " +
                          std::to_string(step) +
                          " of the scan; use SimdChannels, or Sequential, which accept any values");
    };
    const T initial = x.initial_state(j);
    if (!(initial >= 0) || std::isinf(initial)) {
      refuse("needs a finite initial state ≥ 0 but found " + shortest(initial), 0);
    }
    const T* a = x.a + j;
    const T* b = x.b + j;
    T log_product = 0;
    for (std::size_t t = 0; t < x.length; ++t) {
      if (!(*a > 0) || std::isinf(*a)) refuse("needs finite a > 0 but found a = " + shortest(*a), t);
      if (!(*b >= 0) || std::isinf(*b)) refuse("needs finite b ≥ 0 but found b = " + shortest(*b), t);
      log_product += log(*a);
      if (!(std::abs(log_product) <= limit<T>)) {
        refuse("the sum of log a reached " + shortest(log_product) + ", beyond ±" + shortest(limit<T>) +
                   ", where the relative error exceeds 0.001,",
               t);
      }
      a += x.a_step;
      b += x.b_step;
    }
  }
};

static_assert(ScanPolicy<Heinsen> && GuardedColumnScan<Heinsen>);

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
