#pragma once

#include "../error.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/sequences.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>

namespace sdlora {

/// Inclusive: place i holds what comes before it and itself. Exclusive: only what comes before it.
enum class ScanKind { inclusive, exclusive };

/// Forward runs from the first place to the last. Reverse is the forward scan of the reversed
/// sequence, read back in the original order: the last element is the first operand.
enum class ScanDirection { forward, reverse };

/// How to scan a sequence of values under an operator.
template <class V>
struct ScanOptions {
  ScanKind kind = ScanKind::inclusive;
  ScanDirection direction = ScanDirection::forward;
  std::optional<V> initial{};  ///< left operand of everything; of every sequence when there are several
  Sequences sequences{};       ///< packed sequences that restart; without any, all is one sequence
};

/// How to scan linear recurrences over columns.
template <class T>
struct LinearScanOptions {
  ScanKind kind = ScanKind::inclusive;
  ScanDirection direction = ScanDirection::forward;
  MatrixView<const T> initial{};  ///< (S, columns) states before each sequence; absent means zero
  Sequences sequences{};          ///< packed sequences that restart; without any, all rows are one
};

namespace detail {

/// Throws ShapeError unless `sequences` is absent or covers exactly `rows`.
inline void check_sequences(const char* where, const Sequences& sequences, std::size_t rows) {
  const auto offsets = sequences.offsets;
  if (offsets.empty()) return;
  const auto refuse = [&](const std::string& found) {
    throw ShapeError(std::string(where) + ": sequences must be ascending offsets from 0 to " +
                     std::to_string(rows) + " (the rows given) but " + found +
                     "; pass Sequences of this very batch");
  };
  if (offsets.front() != 0 || offsets.back() != rows) {
    refuse("run from " + std::to_string(offsets.front()) + " to " + std::to_string(offsets.back()));
  }
  const auto lower = std::is_sorted_until(offsets.begin(), offsets.end());
  if (lower != offsets.end()) {
    refuse("fall from " + std::to_string(*(lower - 1)) + " to " + std::to_string(*lower) + " at sequence " +
           std::to_string(lower - offsets.begin() - 1));
  }
}

/// The sequences of a call: those it was given, or all rows as one.
struct SequencesOfCall {
  const std::size_t whole[2];
  const Sequences sequences;

  /// Throws as check_sequences.
  SequencesOfCall(const char* where, const Sequences& given, std::size_t rows)
      : whole{0, rows}, sequences(given.offsets.empty() ? Sequences{whole} : given) {
    check_sequences(where, given, rows);
  }
  SequencesOfCall(const SequencesOfCall&) = delete;
  SequencesOfCall& operator=(const SequencesOfCall&) = delete;
};

/// Throws ShapeError unless `states` is absent or has a row for every sequence.
template <class T>
void check_states(const char* where, const char* name, const MatrixView<T>& states,
                  const Sequences& sequences, std::size_t columns) {
  if (states && (states.rows != sequences.count() || states.cols != columns)) {
    throw ShapeError(std::string(where) + ": " + name +
                     " must be (sequences, columns) = " + extents_text(sequences.count(), columns) +
                     " but is " + extents_text(states.rows, states.cols));
  }
}

}  // namespace detail
}  // namespace sdlora
