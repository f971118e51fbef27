#pragma once

#include "../error.hpp"
#include "device.hpp"
#include "matrix_view.hpp"
#include "workspace.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

namespace sdlora {

/// How the M rows of a batch fall into S sequences. Rows of all sequences lie one after another
/// without padding ("packed"); sequence s owns rows [offsets[s], offsets[s + 1]).
/// Row-wise layers ignore it; the convolution and the scan restart at every boundary.
struct Sequences {
  std::span<const std::size_t> offsets;  // S + 1 ascending values, the first 0

  constexpr std::size_t count() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  constexpr std::size_t rows() const { return offsets.empty() ? 0 : offsets.back(); }
  constexpr std::size_t first(std::size_t s) const { return offsets[s]; }
  constexpr std::size_t length(std::size_t s) const { return offsets[s + 1] - offsets[s]; }
  constexpr std::size_t longest() const {
    std::size_t most = 0;
    for (std::size_t s = 0; s < count(); ++s) most = std::max(most, length(s));
    return most;
  }

  /// The description that the host reads: itself.
  constexpr const Sequences& on_host() const { return *this; }
};

/// The same for a device other than the `Cpu`: its kernels read a copy of the offsets.
template <class Device>
struct PlacedSequences {
  Sequences host;
  MatrixView<const std::size_t, Device> offsets;  ///< (1, S + 1)

  constexpr std::size_t count() const { return host.count(); }
  constexpr std::size_t rows() const { return host.rows(); }
  constexpr const Sequences& on_host() const { return host; }
  constexpr operator const Sequences&() const { return host; }  // NOLINT(google-explicit-constructor)
};

/// Sequences as operations on `Device` take them.
template <class Device = Cpu>
using SequencesOn = std::conditional_t<is_host<Device>, Sequences, PlacedSequences<Device>>;

/// Copies the offsets to where the device reads them; on the `Cpu` there is nothing to do. The copy lives as
/// long as what was taken from the workspace with it.
template <class Device>
SequencesOn<Device> place_sequences(const Sequences& sequences, WorkspaceOn<Device>& workspace) {
  if constexpr (is_host<Device>) {
    return sequences;
  } else {
    return {sequences, workspace.placed(sequences.offsets)};
  }
}

namespace detail {

/// Throws ShapeError unless `sequences` is absent or covers exactly `rows`.
inline void check_sequences(const char* where, const Sequences& sequences, std::size_t rows) {
  const auto offsets = sequences.offsets;
  if (offsets.empty()) return;
  const auto refuse = [&](const std::string& found) {
    throw ShapeError(std::string(where) + ": sequences must be ascending offsets from 0 to " +
                     std::to_string(rows) + " (the rows given) but " + found +
                     "; pass those of these very rows");
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

}  // namespace detail

}  // namespace sdlora
