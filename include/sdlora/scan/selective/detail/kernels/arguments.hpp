#pragma once

#include "../../../../tensor/extents.hpp"
#include "../../../../tensor/matrix_view.hpp"

#include <cstddef>
#include <cstdint>

namespace sdlora::detail {

using Position = std::int64_t;

/// What all kernels of one selective scan know. Trivially copyable: passed to kernels by value. All memory is
/// the device's; IO is float or BFloat16. A caller of runs.hpp fills it up to `offsets`, the plan the rest.
template <class IO>
struct KernelInputs {
  MatrixView<const IO> u;                // (M, E)
  MatrixView<const IO> dt;               // (M, E)
  MatrixView<const IO> z;                // (M, E), absent without a gate
  MatrixView<const IO> B;                // (M, N)
  MatrixView<const IO> C;                // (M, N)
  const float* A = nullptr;              // (E, N)
  Position a_stride = 0;                 // between channels; 0: N
  const float* D = nullptr;              // (E), may be null
  const float* dt_bias = nullptr;        // (E), may be null
  const float* initial_state = nullptr;  // (S, E·N), may be null for zero
  Position initial_stride = 0;           // between sequences; 0: one state for all
  const Position* offsets = nullptr;     // (S + 1)
  Position rows = 0;
  Position sequences = 0;
  int channels = 0;
  int states = 0;
  bool state_vectors = false;   // four neighbouring values of B and C can be moved at once
  int checkpoint_interval = 0;  // a power of two, at least 8
  Position segment_length = 0;  // time steps of one block, a multiple of checkpoint_interval
  Position segments = 1;        // of the longest sequence
};

/// What a forward writes.
template <class IO>
struct KernelOutputs {
  MatrixView<IO> out;            // (M, E)
  float* final_state = nullptr;  // (S, E·N), or null
  float* checkpoints = nullptr;  // KernelScanPlan::checkpoint_floats() values, aligned to 16 bytes, or null
  Position final_stride = 0;     // between sequences; 0: E·N
};

/// What comes back from a backward; only those asked for are touched. u, dt, z, B and C are overwritten, the
/// others added to.
template <class IO>
struct KernelGradients {
  MatrixView<IO> u;                    // (M, E)
  MatrixView<IO> dt;                   // (M, E)
  MatrixView<IO> z;                    // (M, E)
  MatrixView<IO> B;                    // (M, N)
  MatrixView<IO> C;                    // (M, N)
  float* A = nullptr;                  // (E, N), or (selected_count, N) for AGradient::SelectedChannels
  Position a_stride = 0;               // between channels; 0: N
  float* D = nullptr;                  // (E)
  float* dt_bias = nullptr;            // (E)
  float* initial_state = nullptr;      // (S, E·N)
  Position initial_stride = 0;         // between sequences; 0: their sum
  const Position* selected = nullptr;  // ascending channels, for AGradient::SelectedChannels, and how many
  int selected_count = 0;
};

template <class IO>
struct ForwardArguments {
  KernelInputs<IO> in;
  MatrixView<IO> out;             // (M, E)
  float* final_state = nullptr;   // (S, E·N), may be null
  Position final_stride = 0;      // between sequences
  float* checkpoints = nullptr;   // may be null: nothing is kept for a backward
  const float* starts = nullptr;  // (S·segments, N, E), null when unsplit
};

/// The first of the three steps of a split scan: what each segment does to a state.
template <class IO>
struct AggregateArguments {
  KernelInputs<IO> in;
  MatrixView<const IO> d_out;   // (M, E), of the backward
  float* carries = nullptr;     // (S·segments, N, E): the end state from a zero start
  float* delta_sums = nullptr;  // (S·segments, E)
};

struct CarryArguments {
  const float* A = nullptr;           // (E, N)
  Position a_stride = 0;              // between channels
  const float* boundary = nullptr;    // (S, E·N): state before the first (after the last) segment
  Position boundary_stride = 0;       // between sequences
  float* carries = nullptr;           // (S·segments, N, E): in: effect from zero; out: incoming state
  const float* delta_sums = nullptr;  // (S·segments, E)
  Position sequences = 0;
  Position segments = 1;
  int channels = 0;
  int states = 0;
};

template <class IO>
struct BackwardArguments {
  KernelInputs<IO> in;
  const float* checkpoints = nullptr;
  MatrixView<const IO> d_out;            // (M, E)
  const float* d_final_state = nullptr;  // (S, E·N), may be null for zero
  Position d_final_stride = 0;           // between sequences
  const float* incoming = nullptr;       // (S·segments, N, E), null when unsplit
  MatrixView<IO> d_u;                    // (M, E)
  MatrixView<IO> d_dt;                   // (M, E)
  MatrixView<IO> d_z;                    // (M, E)
  float* d_B_partials = nullptr;         // (channel groups, M, N)
  float* d_C_partials = nullptr;         // (channel groups, M, N)
  float* d_A_partials = nullptr;         // (S·segments, N, a_columns)
  float* d_D_partials = nullptr;         // (S·segments, E)
  float* d_bias_partials = nullptr;      // (S·segments, E)
  float* d_initial_state = nullptr;      // (S, E·N)
  Position d_initial_stride = 0;         // between sequences
  bool adds_initial_state = false;       // to what is there
  const Position* selected = nullptr;    // (a_columns) ascending channels, or null: all
  int a_columns = 0;                     // channels that A's gradient is wanted of
  bool channel_vectors = false;  // four neighbouring values of each (M, E) matrix can be moved at once
};

/// Sums `parts` partial results in their order.
template <class Out>
struct SumArguments {
  const float* partials = nullptr;  // (parts, rows, cols), or transposed each: (parts, cols, rows)
  Out* out = nullptr;
  Position parts = 0;
  Position rows = 0;
  Position cols = 0;
  Position out_stride = 0;
  bool transposed = false;
  bool adds = false;  // to what is there
};

/// Where states of checkpoints lie: groups of up to four states of a channel side by side, then
/// channels, so that threads of neighbouring channels write neighbouring vectors.
struct CheckpointLayout {
  int channels;
  int states;
  int width;  // 1, 2 or 4

  constexpr CheckpointLayout(int channels_, int states_)
      : channels(channels_), states(states_), width(states_ >= 3 ? 4 : states_) {}

  constexpr int groups() const { return ceil_div(states, width); }
  /// Values of one checkpoint.
  constexpr Position size() const { return Position{groups()} * channels * width; }
  /// `Width` is `width` as a constant: what a kernel knows.
  template <int Width>
  constexpr Position at(Position row, int state, int channel) const {
    const auto n = static_cast<unsigned>(state);
    const int groups_of = ceil_div(states, Width);  // a division by a constant
    return ((row * groups_of + n / Width) * channels + channel) * Width + n % Width;
  }
  /// The checkpoint row of step 0 of a sequence that begins at `first`. Rows of sequences do not overlap.
  static constexpr Position first_row(Position first, Position sequence, int interval) {
    return first / interval + sequence;
  }
  /// How many rows `rows` time steps in `sequences` sequences need.
  static constexpr Position rows(Position steps, Position sequences, int interval) {
    return steps / interval + sequences;
  }
};

/// Which block does what: channel groups vary fastest, so that blocks that run together read the
/// same rows.
struct SegmentOfBlock {
  Position sequence;
  Position slot;   // sequence · segments + segment
  Position first;  // of the sequence
  Position begin;  // of the segment
  Position end;
  int group;
  bool last;  // holds the end of its sequence
  bool head;  // holds its beginning

  template <class IO>
  constexpr SegmentOfBlock(const KernelInputs<IO>& in, Position block, int groups)
      : sequence(block / groups / in.segments),
        slot(block / groups),
        first(in.offsets[sequence]),
        begin(first + (slot % in.segments) * in.segment_length),
        end(in.offsets[sequence + 1]),
        group(static_cast<int>(block % groups)),
        last(false),
        head(slot % in.segments == 0) {
    const Position length = end - first;
    const Position offset = begin - first;
    last = offset + in.segment_length >= length && (offset < length || head);
    if (!last && offset < length) end = begin + in.segment_length;
    if (begin > end) begin = end;
  }
};

}  // namespace sdlora::detail
