#pragma once

#include "policy.hpp"

namespace sdlora {

/// One element after the other: the oracle of all others.
/// Work L, depth L. Stability: best; every other order of evaluation is compared with this one.
struct Sequential {
  static constexpr std::string_view name = "sequential";

  template <AssociativeOperator Op>
  static constexpr void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace&) {
    for (std::size_t i = 1; i < values.size(); ++i) values[i] = op(values[i - 1], values[i]);
  }

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace&) {
    for (std::size_t j = 0; j < x.columns; ++j) {
      const T* a = x.a + j;
      const T* b = x.b + j;
      T* h = x.h + j;
      T state = x.initial_state(j);
      for (std::size_t t = 0; t < x.length; ++t) {
        const T before = state;
        state = LinearRecurrence<T>::apply({*a, *b}, state);
        *h = x.exclusive ? before : state;
        a += x.a_step;
        b += x.b_step;
        h += x.h_step;
      }
    }
  }
};

static_assert(ScanPolicy<Sequential> && ElementScan<Sequential> && ColumnScan<Sequential>);

}  // namespace sdlora
