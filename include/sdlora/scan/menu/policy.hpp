#pragma once

#include "../../tensor/bfloat16.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/workspace.hpp"
#include "operator.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sdlora {

/// What the states of a recurrence are kept in where its matrices hold `Stored`.
template <class Stored>
using recurrence_state_t = std::conditional_t<std::is_same_v<Stored, BFloat16>, float, Stored>;

/// Whether recurrences may be stored as `Stored`.
template <class Stored>
inline constexpr bool is_recurrence_value_v =
    std::is_same_v<Stored, float> || std::is_same_v<Stored, double> || std::is_same_v<Stored, BFloat16>;

/// A block of independent linear recurrences in scan order: h_t = a_t·h_{t−1} + b_t for each column.
/// States and arithmetic are T; the matrices hold T, or BFloat16 where T is float.
/// Rows are `*_step` elements apart; the steps are negative in a reverse scan, so an algorithm
/// always runs forward. `h` may be the very memory of `b`, or of `a`.
template <class T, class Stored = T>
struct LinearBlock {
  using value_type = T;
  using stored_type = Stored;

  const Stored* a = nullptr;
  const Stored* b = nullptr;
  Stored* h = nullptr;
  std::ptrdiff_t a_step = 0;
  std::ptrdiff_t b_step = 0;
  std::ptrdiff_t h_step = 0;
  std::size_t length = 0;
  std::size_t columns = 0;
  std::size_t first_column = 0;  // of this block in the matrix it is from, for messages
  const T* initial = nullptr;    // (columns), or null for zero
  bool exclusive = false;        // store the state before the step instead of the one after it
  bool streaming = false;        // the whole result exceeds the caches; only a hint

  constexpr T initial_state(std::size_t column) const { return initial ? initial[column] : T(0); }

  /// The block of `count` columns that begins at column `first`.
  constexpr LinearBlock columns_from(std::size_t first, std::size_t count) const {
    LinearBlock part = *this;
    part.a += first;
    part.b += first;
    part.h += first;
    if (initial) part.initial += first;
    part.first_column += first;
    part.columns = count;
    return part;
  }
};

/// What the gradients of a LinearBlock need: pointers to its last step in scan order, and the steps
/// from one time step to the next, as there. With g_t = d_h_t + a_{t+1}·g_{t+1}:
/// d_b = g, d_a_t = g_t·h_{t−1}, d_initial = a_0·g_0.
template <class T, class Stored = T>
struct LinearGradientBlock {
  using value_type = T;
  using stored_type = Stored;

  const Stored* a = nullptr;
  const Stored* h = nullptr;
  const Stored* d_h = nullptr;
  Stored* d_a = nullptr;  // or null: not wanted
  Stored* d_b = nullptr;  // may be the memory of d_h
  std::ptrdiff_t a_step = 0;
  std::ptrdiff_t h_step = 0;
  std::ptrdiff_t d_h_step = 0;
  std::ptrdiff_t d_a_step = 0;
  std::ptrdiff_t d_b_step = 0;
  std::size_t length = 0;
  std::size_t columns = 0;
  const T* initial = nullptr;  // (columns), or null for zero
  T* d_initial = nullptr;      // (columns), or null: not wanted
  bool streaming = false;      // the whole result exceeds the caches; only a hint

  /// The block of `count` columns that begins at column `first`.
  constexpr LinearGradientBlock columns_from(std::size_t first, std::size_t count) const {
    LinearGradientBlock part = *this;
    part.a += first;
    part.h += first;
    part.d_h += first;
    if (d_a) part.d_a += first;
    part.d_b += first;
    if (initial) part.initial += first;
    if (d_initial) part.d_initial += first;
    part.columns = count;
    return part;
  }
};

namespace detail {

/// An operator that is nothing special: what a policy for any operator must accept.
struct ProbeOperator {
  struct value_type {
    int value = 0;
  };
  constexpr value_type operator()(value_type first, value_type second) const {
    return {first.value + second.value};
  }
  static constexpr value_type identity() { return {}; }
};

}  // namespace detail

/// A policy that scans values under any associative operator, in place and inclusively; the call
/// `scan` makes the other kinds of scan from that.
template <class P>
concept ElementScan = requires(std::span<detail::ProbeOperator::value_type> values, Workspace& workspace) {
  P::inclusive(values, detail::ProbeOperator{}, workspace);
};

/// A policy that scans a block of linear recurrences itself instead of column after column.
template <class P>
concept ColumnScan =
    requires(const LinearBlock<float>& block, Workspace& workspace) { P::columns(block, workspace); };

/// A policy that also computes a block's gradients itself; for others they are scans of their own.
template <class P>
concept ColumnScanBackward = requires(const LinearGradientBlock<float>& block, Workspace& workspace) {
  P::columns_backward(block, workspace);
};

/// A policy that reads and writes bfloat16 itself, its states being float.
template <class P>
concept NarrowColumnScan =
    requires(const LinearBlock<float, BFloat16>& block, const LinearGradientBlock<float, BFloat16>& gradients,
             Workspace& workspace) {
      P::columns(block, workspace);
      P::columns_backward(gradients, workspace);
    };

/// A policy with a limited domain: `check(block)` throws ArgumentError where the block leaves it and writes
/// nothing. `scan` and `scan_backward` call it for every block of a call before any is scanned, so that a
/// refused call has changed nothing; `columns` need not check again.
template <class P>
concept GuardedColumnScan = ColumnScan<P> && requires(const LinearBlock<float>& block) { P::check(block); };

namespace detail {
/// An empty type with a `name`: what an algorithm of any device is.
template <class P>
concept NamedPolicy = std::is_empty_v<P> && std::semiregular<P> && requires {
  { P::name } -> std::convertible_to<std::string_view>;
};
}  // namespace detail

/// A scan algorithm: an empty type with a `name`, and at least one of `inclusive(values, op, workspace)` and
/// `columns(block, workspace)`, all static; with `columns`, `check(block)` may guard its domain.
template <class P>
concept ScanPolicy = detail::NamedPolicy<P> && (ElementScan<P> || ColumnScan<P>);

namespace detail {

/// A policy that itself cuts time into parallel tasks gets all columns in one call.
template <class P>
concept SplitsTime = requires { requires P::splits_time; };

/// Bytes of arrays from which results are stored around the caches.
inline constexpr std::size_t streaming_bytes = std::size_t(8) << 20;

/// Columns that one parallel task scans: 1 KiB of a row, or where memory is the limit up to 8 KiB, so
/// that its pages are met less often, but enough tasks remain for many threads.
template <class T>
constexpr std::size_t task_columns(std::size_t columns, bool streaming) {
  constexpr std::size_t narrow = 1024 / sizeof(T), wide = 8192 / sizeof(T);
  return streaming ? std::clamp(columns / 8 / narrow * narrow, narrow, wide) : narrow;
}

/// `count` values for the time of a scope: from the workspace where their type allows it, else
/// from the heap.
template <class V>
class Scratch {
 public:
  Scratch(Workspace& workspace, std::size_t count) {
    if constexpr (std::is_trivially_copyable_v<V>) {
      scope_.emplace(workspace);
      values_ = workspace.take<V>(count);
    } else {
      heap_.resize(count);
      values_ = heap_;
    }
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::span<V> values() const { return values_; }

 private:
  std::optional<Workspace::Scope> scope_;
  std::vector<V> heap_;
  std::span<V> values_;
};

/// Solves a block column after column: `solve(steps, initial)` turns the (a, b) of one column into
/// states in `b`. A line's worth of columns is gathered at a time, row after row.
template <class T, class Solve>
void solve_columns(const LinearBlock<T>& x, Workspace& workspace, const Solve& solve) {
  constexpr std::size_t line = cache_line / sizeof(T);
  const std::size_t stride = x.length + line;  // powers of two apart, columns would share cache sets
  Scratch<LinearStep<T>> scratch(workspace, stride * std::min(line, x.columns));
  LinearStep<T>* const steps = scratch.values().data();  // (columns of the line, length)
  for (std::size_t first = 0; first < x.columns; first += line) {
    const LinearBlock<T> part = x.columns_from(first, std::min(line, x.columns - first));
    const T* a = part.a;
    const T* b = part.b;
    for (std::size_t t = 0; t < x.length; ++t) {
      for (std::size_t j = 0; j < part.columns; ++j) steps[j * stride + t] = {a[j], b[j]};
      a += x.a_step;
      b += x.b_step;
    }
    for (std::size_t j = 0; j < part.columns; ++j) {
      solve(std::span<LinearStep<T>>(steps + j * stride, x.length), part.initial_state(j));
    }
    T* h = part.h;
    for (std::size_t t = 0; t < x.length; ++t) {
      for (std::size_t j = 0; j < part.columns; ++j) {
        const LinearStep<T>* column = steps + j * stride;
        h[j] = !x.exclusive ? column[t].b : t > 0 ? column[t - 1].b : part.initial_state(j);
      }
      h += x.h_step;
    }
  }
}

}  // namespace detail

}  // namespace sdlora
