#pragma once

#include "policy.hpp"

namespace sdlora {

/// One element after the other: the oracle of all others.
/// Work L, depth L. Stability: best; every other order of evaluation is compared with this one.
/// Source: the definition, as in Blelloch, "Prefix sums and their applications", 1990, §1.1.
struct Sequential {
  static constexpr std::string_view name = "sequential";

  template <AssociativeOperator Op>
  static constexpr void inclusive(std::span<typename Op::value_type> values, const Op& op, Workspace&) {
    for (std::size_t i = 1; i < values.size(); ++i) values[i] = op(values[i - 1], values[i]);
  }

  template <class T>
  static void columns(const LinearBlock<T>& x, Workspace& workspace) {
    detail::solve_columns(x, workspace, [](std::span<LinearStep<T>> steps, T state) {
      for (auto& step : steps) step.b = state = LinearRecurrence<T>::apply(step, state);
    });
  }
};

static_assert(ScanPolicy<Sequential> && ElementScan<Sequential> && ColumnScan<Sequential>);

}  // namespace sdlora
