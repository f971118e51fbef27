#pragma once

#include "../../../../error.hpp"
#include "../../../../tensor/extents.hpp"
#include "../../gradients.hpp"
#include "arguments.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

namespace sdlora::detail {

/// Sizes of one selective scan as kernels run it: M rows of S packed sequences, E channels, N states.
struct KernelScanShape {
  std::int64_t rows = 0;
  std::int64_t sequences = 0;
  std::int64_t longest = 0;  ///< time steps of the longest sequence
  int channels = 0;
  int states = 0;  ///< 1 … 256
};

/// How a scan is to be cut; the defaults choose by its shape.
struct KernelScanOptions {
  /// Time steps from one kept state to the next, a power of two from 8: the backward needs 4·N/interval
  /// bytes for each channel and step, and with 8 it recomputes each step once, else nearly twice.
  int checkpoint_interval = 16;
  /// Time steps that one block walks through; 0 chooses by shape. Shorter than the longest sequence, it
  /// splits time: more blocks, about twice the arithmetic.
  std::int64_t segment_length = 0;
};

/// How a scan of one shape is cut into blocks, and the memory that it needs. Depends on the shape and
/// the options alone, so results are the same on every device of one kind.
struct KernelScanPlan {
  KernelScanShape shape;
  int checkpoint_interval = 16;
  std::int64_t segment_length = 0;
  std::int64_t segments = 1;

  KernelScanPlan(const KernelScanShape& shape_, const KernelScanOptions& options = {})
      : shape(shape_), checkpoint_interval(options.checkpoint_interval) {
    if (shape.states < 1 || shape.states > 256) {
      throw ShapeError("KernelScanPlan: expected 1 to 256 states, found " + std::to_string(shape.states) +
                       "; scan blocks of states one after another and add the outputs");
    }
    if (shape.channels < 1 || shape.rows < 0 || shape.sequences < 0 || shape.longest < 0 ||
        shape.longest > shape.rows) {
      throw ShapeError(
          "KernelScanPlan: expected at least one channel and sizes that are not negative with the "
          "longest sequence inside of the rows, found " +
          std::to_string(shape.channels) + " channels, " + std::to_string(shape.rows) + " rows, " +
          std::to_string(shape.sequences) + " sequences, the longest of " + std::to_string(shape.longest));
    }
    if (shape.longest > std::numeric_limits<int>::max()) {
      throw ShapeError("KernelScanPlan: expected sequences of at most " +
                       std::to_string(std::numeric_limits<int>::max()) + " steps, found one of " +
                       std::to_string(shape.longest) +
                       "; scan it in pieces, from the final state of the one before");
    }
    if (checkpoint_interval < 8 || checkpoint_interval > 128 ||
        (checkpoint_interval & (checkpoint_interval - 1)) != 0) {
      throw ArgumentError(
          "KernelScanPlan: expected a checkpoint interval of 8, 16, 32, 64 or 128 steps, found " +
          std::to_string(checkpoint_interval));
    }
    if (options.segment_length < 0) {
      throw ArgumentError(
          "KernelScanPlan: expected a segment length of at least one step, or 0 to choose, found " +
          std::to_string(options.segment_length));
    }
    const std::int64_t whole = std::max<std::int64_t>(shape.longest, 1);
    const std::int64_t wanted =
        options.segment_length > 0 ? std::min(options.segment_length, whole) : chosen_segment_length();
    segment_length = std::max<std::int64_t>(round_up(wanted, checkpoint_interval), checkpoint_interval);
    segments = std::max<std::int64_t>(1, ceil_div(shape.longest, segment_length));
  }

  bool split() const { return segments > 1; }
  /// Floats that a forward writes for its backward.
  std::size_t checkpoint_floats() const {
    const CheckpointLayout layout(shape.channels, shape.states);
    return static_cast<std::size_t>(layout.size() *
                                    CheckpointLayout::rows(shape.rows, shape.sequences, checkpoint_interval));
  }
  /// Floats of scratch memory of a forward.
  std::size_t forward_workspace_floats() const { return split() ? carry_floats() + slot_floats() : 0; }
  /// Floats of scratch memory of a backward with the gradients `wanted`, A's of `selected` channels where it
  /// is wanted of selected ones, the initial state's summed over sequences that share one.
  std::size_t backward_workspace_floats(const SelectiveScanGradients& wanted = SelectiveScanGradients::all(),
                                        int selected = 0, bool shares_initial_state = false) const {
    std::size_t floats = split() ? carry_floats() + slot_floats() : 0;
    if (wanted.B) floats += partial_floats();
    if (wanted.C) floats += partial_floats();
    if (wanted.A == AGradient::All) floats += a_floats(shape.channels);
    if (wanted.A == AGradient::SelectedChannels) floats += a_floats(selected);
    if (wanted.D) floats += slot_floats();
    if (wanted.dt_bias) floats += slot_floats();
    if (wanted.initial_state && shares_initial_state) floats += initial_floats();
    return floats;
  }

  /// Values of one state of all channels.
  Position state_floats() const { return Position{shape.channels} * shape.states; }
  std::size_t slots() const { return static_cast<std::size_t>(shape.sequences * segments); }
  std::size_t slot_floats() const { return slots() * static_cast<std::size_t>(shape.channels); }
  std::size_t carry_floats() const { return slot_floats() * static_cast<std::size_t>(shape.states); }
  /// Partial sums of A's gradient in `columns` channels.
  std::size_t a_floats(int columns) const {
    return slots() * static_cast<std::size_t>(columns) * static_cast<std::size_t>(shape.states);
  }
  /// A state of each sequence.
  std::size_t initial_floats() const {
    return static_cast<std::size_t>(shape.sequences) * static_cast<std::size_t>(shape.channels) *
           static_cast<std::size_t>(shape.states);
  }
  int backward_groups() const {
    const int channels = 128 / backward_lanes();
    return ceil_div(shape.channels, channels);
  }
  std::size_t partial_floats() const {
    return static_cast<std::size_t>(backward_groups()) * static_cast<std::size_t>(shape.rows) *
           static_cast<std::size_t>(shape.states);
  }
  /// Threads that share a channel.
  int forward_lanes() const { return lanes(16); }
  int backward_lanes() const { return lanes(8); }

 private:
  int lanes(int states_per_thread) const {
    int lanes = 1;
    while (lanes * states_per_thread < shape.states) lanes *= 2;
    return lanes;
  }

  /// Whole sequences where channels and sequences alone give every multiprocessor of a large device (an H100
  /// has 132) two blocks; else segments of at least 128 steps, towards four blocks each.
  std::int64_t chosen_segment_length() const {
    constexpr std::int64_t enough = 264;
    constexpr std::int64_t target = 528;
    constexpr std::int64_t shortest = 128;
    const std::int64_t whole = std::max<std::int64_t>(shape.longest, 1);
    const int channels = 128 / forward_lanes();
    const std::int64_t blocks =
        std::max<std::int64_t>(1, shape.sequences * ceil_div(shape.channels, channels));
    if (blocks >= enough || whole < 4 * shortest) return whole;
    return std::max(shortest, round_up(ceil_div(whole * blocks, target), shortest));
  }
};

}  // namespace sdlora::detail
