#pragma once

#include "../error.hpp"
#include "policy.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace sdlora {

/// The recurrence in log space, as two prefix sums: with s_t = Σ log a,
/// log h_t = s_t + log(h_0 + Σ exp(log b_i − s_i)), the second sum kept as a running log-sum-exp.
/// Work 2L with a logarithm and exponentials in each, depth that of two prefix sums.
/// Stability: nothing overflows, but digits cancel: the relative error is about ε·|s_t|.
/// Requires a > 0, b ≥ 0 and initial ≥ 0 (negative ones would need complex logarithms), and
/// |s_t|·ε ≤ 0.001; else throws ArgumentError before h is written.
/// Source: Heinsen, "Efficient parallelization of a ubiquitous sequential computation", 2023,
/// arXiv:2311.06281.
struct Heinsen {
  static constexpr std::string_view name = "heinsen";

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace&) {
    for (std::size_t j = 0; j < x.columns; ++j) check(x, j);
    for (std::size_t j = 0; j < x.columns; ++j) {
      T log_product = 0;
      T log_sum = std::log(x.initial_state(j));
      T state = x.initial_state(j);
      for (std::size_t t = 0; t < x.length; ++t) {
        const auto row = static_cast<std::ptrdiff_t>(t);
        const T before = state;
        log_product += std::log(x.a[row * x.a_step + static_cast<std::ptrdiff_t>(j)]);
        log_sum =
            log_add(log_sum, std::log(x.b[row * x.b_step + static_cast<std::ptrdiff_t>(j)]) - log_product);
        state = std::exp(log_product + log_sum);
        x.h[row * x.h_step + static_cast<std::ptrdiff_t>(j)] = x.exclusive ? before : state;
      }
    }
  }

 private:
  /// log(exp(p) + exp(q)) without overflow; −∞ stands for log 0.
  template <class T>
  static T log_add(T p, T q) {
    const T high = std::max(p, q);
    if (high == -std::numeric_limits<T>::infinity()) return high;
    return high + std::log1p(std::exp(std::min(p, q) - high));
  }

  template <class T>
  static void check(const LinearBlock<T>& x, std::size_t j) {
    const T limit = T(1e-3) / std::numeric_limits<T>::epsilon();
    const auto refuse = [&](const std::string& what, std::size_t t) {
      throw ArgumentError("Heinsen: " + what + " in column " + std::to_string(j) + " at step " +
                          std::to_string(t) +
                          " of the scan; use SimdChannels, or Sequential, which accept any values");
    };
    if (!(x.initial_state(j) >= 0) || std::isinf(x.initial_state(j))) {
      refuse("needs an initial state ≥ 0 but found " + std::to_string(x.initial_state(j)), 0);
    }
    T log_product = 0;
    for (std::size_t t = 0; t < x.length; ++t) {
      const auto row = static_cast<std::ptrdiff_t>(t);
      const T a = x.a[row * x.a_step + static_cast<std::ptrdiff_t>(j)];
      const T b = x.b[row * x.b_step + static_cast<std::ptrdiff_t>(j)];
      if (!(a > 0) || std::isinf(a)) refuse("needs a > 0 but found a = " + std::to_string(a), t);
      if (!(b >= 0) || std::isinf(b)) refuse("needs b ≥ 0 but found b = " + std::to_string(b), t);
      log_product += std::log(a);
      if (std::abs(log_product) > limit) {
        refuse("the sum of log a reached " + std::to_string(log_product) + ", beyond ±" +
                   std::to_string(limit) + ", where the relative error exceeds 0.001,",
               t);
      }
    }
  }
};

static_assert(ScanPolicy<Heinsen> && ColumnScan<Heinsen>);

}  // namespace sdlora
