#pragma once

#include "../../tensor/device.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../../tensor/sequences.hpp"

#include <optional>

namespace sdlora {

/// Inclusive: place i holds what comes before it and itself. Exclusive: only what comes before it.
enum class ScanKind { Inclusive, Exclusive };

/// Forward runs from the first place to the last. Reverse is the forward scan of the reversed
/// sequence, read back in the original order: the last element is the first operand.
enum class ScanDirection { Forward, Reverse };

/// How to scan a sequence of values under an operator.
template <class V>
struct ScanOptions {
  ScanKind kind = ScanKind::Inclusive;
  ScanDirection direction = ScanDirection::Forward;
  std::optional<V> initial{};  ///< left operand of everything; of every sequence when there are several
  Sequences sequences{};       ///< packed sequences that restart; without any, all is one sequence
};

/// How to scan linear recurrences over columns in the memory of a device.
template <class T, class Device = Cpu>
struct LinearScanOptions {
  ScanKind kind = ScanKind::Inclusive;
  ScanDirection direction = ScanDirection::Forward;
  MatrixView<const T, Device> initial{};  ///< (S, columns) states before each sequence; absent means zero
  Sequences sequences{};                  ///< packed sequences that restart; without any, all rows are one
};

}  // namespace sdlora
