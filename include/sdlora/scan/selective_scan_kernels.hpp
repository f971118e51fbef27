#pragma once

#include "../error.hpp"
#include "../tensor/matrix_view.hpp"
#include "detail/kernel_arguments.hpp"
#include "detail/kernel_backward.hpp"
#include "detail/kernel_backward_aggregate.hpp"
#include "detail/kernel_carry.hpp"
#include "detail/kernel_forward.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

namespace sdlora {

/// Sizes of one selective scan as kernels run it: M rows of S packed sequences, E channels, N states.
struct KernelScanShape {
  std::int64_t rows = 0;
  std::int64_t sequences = 0;
  std::int64_t longest = 0;  ///< time steps of the longest sequence
  int channels = 0;
  int states = 0;  ///< 1 … 256
};

struct KernelScanOptions {
  /// Time steps from one kept state to the next, a power of two from 8: the backward needs 4·N/interval
  /// bytes for each channel and step, and with 8 it recomputes each step once, else nearly twice.
  int checkpoint_interval = 16;
  /// Time steps that one block walks through; 0 chooses by shape. Shorter than the longest sequence, it
  /// splits time: more blocks, about twice the arithmetic.
  std::int64_t segment_length = 0;
};

/// Pointers into device memory; rows of matrices may be further apart than they are long.
/// IO is float or BFloat16; states and everything that is summed over time are float.
template <class IO>
struct KernelScanInputs {
  MatrixView<const IO> u;                 ///< (M, E)
  MatrixView<const IO> dt;                ///< (M, E) before bias and softplus
  MatrixView<const IO> z;                 ///< (M, E); absent: no gate
  MatrixView<const IO> B;                 ///< (M, N)
  MatrixView<const IO> C;                 ///< (M, N)
  const float* A = nullptr;               ///< (E, N), negative
  const float* D = nullptr;               ///< (E), or null
  const float* dt_bias = nullptr;         ///< (E), or null
  const float* initial = nullptr;         ///< (S, E, N), or null for zero
  const std::int64_t* offsets = nullptr;  ///< (S + 1): sequence s owns rows [offsets[s], offsets[s + 1])
};

template <class IO>
struct KernelScanOutputs {
  MatrixView<IO> out;            ///< (M, E)
  float* final_state = nullptr;  ///< (S, E, N), or null
  float* checkpoints = nullptr;  ///< KernelScanPlan::checkpoint_floats() values, or null without a backward
};

/// What comes back from a backward; only the members that its mask names are written.
template <class IO>
struct KernelScanGradients {
  MatrixView<IO> d_u;          ///< (M, E)
  MatrixView<IO> d_dt;         ///< (M, E)
  MatrixView<IO> d_z;          ///< (M, E)
  MatrixView<IO> d_B;          ///< (M, N)
  MatrixView<IO> d_C;          ///< (M, N)
  float* d_A = nullptr;        ///< (E, N), or (selected_count, N) with the bit A_selected
  float* d_D = nullptr;        ///< (E)
  float* d_dt_bias = nullptr;  ///< (E)
  float* d_initial = nullptr;  ///< (S, E, N)
  /// With A_selected: ascending channels, in device memory as all else, and how many.
  const int* selected = nullptr;
  int selected_count = 0;
};

/// Which gradients a backward computes: a type, so that the others cost nothing.
/// `A_selected`, in the place of `A`, gives A's gradient of listed channels only: memory in proportion to
/// the list.
struct KernelScanGradient : detail::GradientBit {
  static constexpr unsigned all = 511;
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
    const std::int64_t wanted = options.segment_length > 0 ? options.segment_length : chosen_segment_length();
    segment_length = std::max<std::int64_t>(round_up(wanted, checkpoint_interval), checkpoint_interval);
    segments = std::max<std::int64_t>(1, (shape.longest + segment_length - 1) / segment_length);
  }

  bool split() const { return segments > 1; }
  /// Floats that a forward writes for its backward.
  std::size_t checkpoint_floats() const {
    const detail::CheckpointLayout layout(shape.channels, shape.states);
    return static_cast<std::size_t>(
        layout.size() * detail::CheckpointLayout::rows(shape.rows, shape.sequences, checkpoint_interval));
  }
  /// Floats of scratch memory of a forward.
  std::size_t forward_workspace_floats() const { return split() ? carry_floats() + slot_floats() : 0; }
  /// Floats of scratch memory of a backward with the gradients of `mask`; `selected` channels with
  /// A_selected.
  std::size_t backward_workspace_floats(unsigned mask = KernelScanGradient::all, int selected = 0) const {
    std::size_t floats = split() ? carry_floats() + slot_floats() : 0;
    for (const unsigned bit : {KernelScanGradient::B, KernelScanGradient::C}) {
      if (mask & bit) floats += partial_floats();
    }
    if (mask & KernelScanGradient::A) floats += carry_floats();
    if (mask & KernelScanGradient::A_selected) floats += a_floats(selected);
    for (const unsigned bit : {KernelScanGradient::D, KernelScanGradient::dt_bias}) {
      if (mask & bit) floats += slot_floats();
    }
    return floats;
  }

  std::size_t slots() const { return static_cast<std::size_t>(shape.sequences * segments); }
  std::size_t slot_floats() const { return slots() * static_cast<std::size_t>(shape.channels); }
  std::size_t carry_floats() const { return slot_floats() * static_cast<std::size_t>(shape.states); }
  /// Partial sums of A's gradient in `columns` channels.
  std::size_t a_floats(int columns) const {
    return slots() * static_cast<std::size_t>(columns) * static_cast<std::size_t>(shape.states);
  }
  int backward_groups() const {
    const int channels = 128 / backward_lanes();
    return (shape.channels + channels - 1) / channels;
  }
  std::size_t partial_floats() const {
    return static_cast<std::size_t>(backward_groups()) * static_cast<std::size_t>(shape.rows) *
           static_cast<std::size_t>(shape.states);
  }
  /// Threads that share a channel.
  int forward_lanes() const { return lanes(16); }
  int backward_lanes() const { return lanes(8); }

 private:
  static std::int64_t round_up(std::int64_t value, std::int64_t to) { return (value + to - 1) / to * to; }

  int lanes(int states_per_thread) const {
    int lanes = 1;
    while (lanes * states_per_thread < shape.states) lanes *= 2;
    return lanes;
  }

  /// Whole sequences where channels and sequences alone give every multiprocessor of a large device a
  /// block or two; else segments of at least 128 steps, towards four blocks each.
  std::int64_t chosen_segment_length() const {
    constexpr std::int64_t enough = 264;
    constexpr std::int64_t target = 528;
    constexpr std::int64_t shortest = 128;
    const std::int64_t whole = std::max<std::int64_t>(shape.longest, 1);
    const int channels = 128 / forward_lanes();
    const std::int64_t blocks =
        std::max<std::int64_t>(1, shape.sequences * ((shape.channels + channels - 1) / channels));
    if (blocks >= enough || whole < 4 * shortest) return whole;
    return std::max(shortest, round_up((whole * blocks + target - 1) / target, shortest));
  }
};

namespace detail {

/// f(States, Lanes) as constants for the kernel that holds `n` states, at most PerThread in a thread;
/// with FixedStates > 0 only that one is instantiated.
template <int PerThread, int FixedStates, class F>
void with_states(int n, F&& f) {
  const auto offer = [&](auto states, auto lanes) {
    constexpr int held = decltype(states)::value * decltype(lanes)::value;
    constexpr int below = decltype(lanes)::value > 1 ? held / 2 : decltype(states)::value / 2;
    if constexpr (FixedStates == 0 || (FixedStates > below && FixedStates <= held)) {
      if (n > below && n <= held) f(states, lanes);
    }
  };
  if (FixedStates != 0 && n != FixedStates) {
    throw ShapeError("selective scan kernels: compiled for " + std::to_string(FixedStates) +
                     " states, called with " + std::to_string(n));
  }
  unroll<log2_of(PerThread)>([&](auto i) { offer(Index<(1 << decltype(i)::value)>{}, Index<1>{}); });
  unroll<9 - log2_of(PerThread)>(
      [&](auto i) { offer(Index<PerThread>{}, Index<(1 << decltype(i)::value)>{}); });
}

/// Whether four values of a row, from each fourth column on, can be moved at once: rows and their beginning
/// are aligned to four values. So is a matrix that is not there.
template <class IO>
bool aligned_to_four(const MatrixView<IO>& matrix) {
  return reinterpret_cast<std::uintptr_t>(matrix.data) % (4 * sizeof(IO)) == 0 && matrix.stride % 4 == 0;
}
inline bool aligned_to_four(const float* values) {
  return reinterpret_cast<std::uintptr_t>(values) % (4 * sizeof(float)) == 0;
}

template <class IO>
KernelInputs<IO> kernel_inputs(const KernelScanPlan& plan, const KernelScanInputs<IO>& x) {
  KernelInputs<IO> in;
  in.u = x.u;
  in.dt = x.dt;
  in.z = x.z;
  in.B = x.B;
  in.C = x.C;
  in.A = x.A;
  in.D = x.D;
  in.dt_bias = x.dt_bias;
  in.initial = x.initial;
  in.offsets = x.offsets;
  in.rows = plan.shape.rows;
  in.sequences = plan.shape.sequences;
  in.channels = plan.shape.channels;
  in.states = plan.shape.states;
  in.state_vectors = in.states % 4 == 0 && aligned_to_four(x.B) && aligned_to_four(x.C);
  in.checkpoint_interval = plan.checkpoint_interval;
  in.segment_length = plan.segment_length;
  in.segments = plan.segments;
  return in;
}

template <class Kernel>
Position blocks_of(const KernelScanPlan& plan) {
  const int groups = (plan.shape.channels + Kernel::channels - 1) / Kernel::channels;
  return plan.shape.sequences * plan.segments * groups;
}

/// The kernels of a forward, in order. `Launcher::run<Kernel>(blocks, shared_floats, arguments)` is
/// the emulator's or the GPU's. `Gate` must say whether x.z is there.
template <class IO, int FixedStates, bool Gate, bool Softplus, class Launcher>
void run_scan_forward(Launcher& launcher, const KernelScanPlan& plan, const KernelScanInputs<IO>& x,
                      const KernelScanOutputs<IO>& y, float* workspace) {
  if (plan.shape.sequences == 0) return;
  ForwardArguments<IO> forward;
  forward.in = kernel_inputs(plan, x);
  forward.out = y.out;
  forward.final_state = y.final_state;
  forward.checkpoints = y.checkpoints;
  with_states<16, FixedStates>(plan.shape.states, [&](auto states, auto lanes) {
    constexpr int States = decltype(states)::value;
    constexpr int Lanes = decltype(lanes)::value;
    if (plan.split()) {
      using Aggregate = ForwardKernel<IO, States, Lanes, Gate, Softplus, true>;
      AggregateArguments<IO> aggregate;
      aggregate.in = forward.in;
      aggregate.carries = workspace;
      aggregate.delta_sums = workspace + plan.carry_floats();
      launcher.template run<Aggregate>(blocks_of<Aggregate>(plan), Aggregate::shared_floats, aggregate);
      const CarryArguments carry{
          x.A,           x.initial,           aggregate.carries, aggregate.delta_sums, plan.shape.sequences,
          plan.segments, plan.shape.channels, plan.shape.states};
      launcher.template run<CarryKernel<false>>(
          CarryKernel<false>::blocks(plan.shape.sequences, plan.shape.channels, plan.shape.states), 0, carry);
      forward.starts = aggregate.carries;
    }
    using Forward = ForwardKernel<IO, States, Lanes, Gate, Softplus>;
    launcher.template run<Forward>(blocks_of<Forward>(plan), Forward::shared_floats, forward);
  });
}

/// The kernels of a backward, in order.
template <class IO, int FixedStates, bool Gate, bool Softplus, unsigned Mask, class Launcher>
void run_scan_backward(Launcher& launcher, const KernelScanPlan& plan, const KernelScanInputs<IO>& x,
                       const float* checkpoints, MatrixView<const IO> d_out, const float* d_final,
                       const KernelScanGradients<IO>& gradients, float* workspace) {
  if (plan.shape.sequences == 0) return;
  using Bit = KernelScanGradient;
  const KernelScanShape& shape = plan.shape;
  const auto take = [&](std::size_t floats) {
    float* const taken = workspace;
    workspace += floats;
    return taken;
  };
  BackwardArguments<IO> backward;
  backward.in = kernel_inputs(plan, x);
  backward.checkpoints = checkpoints;
  backward.d_out = d_out;
  backward.d_final = d_final;
  backward.d_u = gradients.d_u;
  backward.d_dt = gradients.d_dt;
  backward.d_z = gradients.d_z;
  backward.d_initial = gradients.d_initial;
  backward.channel_vectors = shape.channels % 4 == 0 && aligned_to_four(x.u) && aligned_to_four(x.dt) &&
                             aligned_to_four(x.z) && aligned_to_four(d_out) &&
                             aligned_to_four(gradients.d_u) && aligned_to_four(gradients.d_dt) &&
                             aligned_to_four(gradients.d_z);
  if constexpr ((Mask & Bit::B) != 0) backward.d_B_partials = take(plan.partial_floats());
  if constexpr ((Mask & Bit::C) != 0) backward.d_C_partials = take(plan.partial_floats());
  backward.in.state_vectors = backward.in.state_vectors && aligned_to_four(backward.d_B_partials) &&
                              aligned_to_four(backward.d_C_partials);
  constexpr bool selects = (Mask & Bit::A_selected) != 0;
  backward.a_columns = selects ? gradients.selected_count : shape.channels;
  if constexpr ((Mask & (Bit::A | Bit::A_selected)) != 0) {
    backward.d_A_partials = take(plan.a_floats(backward.a_columns));
  }
  if constexpr (selects) backward.selected = gradients.selected;
  if constexpr ((Mask & Bit::D) != 0) backward.d_D_partials = take(plan.slot_floats());
  if constexpr ((Mask & Bit::dt_bias) != 0) backward.d_bias_partials = take(plan.slot_floats());
  if (plan.split()) {
    AggregateArguments<IO> aggregate;
    aggregate.in = backward.in;
    aggregate.d_out = d_out;
    aggregate.carries = take(plan.carry_floats());
    aggregate.delta_sums = take(plan.slot_floats());
    with_states<16, FixedStates>(shape.states, [&](auto states, auto lanes) {
      using Aggregate =
          BackwardAggregateKernel<IO, decltype(states)::value, decltype(lanes)::value, Gate, Softplus>;
      launcher.template run<Aggregate>(blocks_of<Aggregate>(plan), Aggregate::shared_floats, aggregate);
    });
    const CarryArguments carry{
        x.A,           d_final,        aggregate.carries, aggregate.delta_sums, shape.sequences,
        plan.segments, shape.channels, shape.states};
    launcher.template run<CarryKernel<true>>(
        CarryKernel<true>::blocks(shape.sequences, shape.channels, shape.states), 0, carry);
    backward.incoming = aggregate.carries;
  }
  with_states<8, FixedStates>(shape.states, [&](auto states, auto lanes) {
    using Backward =
        BackwardKernel<IO, decltype(states)::value, decltype(lanes)::value, Gate, Softplus, Mask>;
    launcher.template run<Backward>(blocks_of<Backward>(plan),
                                    Backward::shared_floats_for(plan.checkpoint_interval), backward);
  });
  const auto sum = [&]<class Out>(const float* partials, Out* out, Position parts, Position rows,
                                  Position cols, Position stride, bool transposed) {
    if (rows * cols == 0) return;
    const SumArguments<Out> arguments{partials, out, parts, rows, cols, stride, transposed};
    launcher.template run<SumKernel<Out>>(SumKernel<Out>::blocks(rows, cols), 0, arguments);
  };
  const Position groups = plan.backward_groups();
  const auto slots = static_cast<Position>(plan.slots());
  if constexpr ((Mask & Bit::B) != 0) {
    sum(backward.d_B_partials, gradients.d_B.data, groups, shape.rows, shape.states,
        static_cast<Position>(gradients.d_B.stride), false);
  }
  if constexpr ((Mask & Bit::C) != 0) {
    sum(backward.d_C_partials, gradients.d_C.data, groups, shape.rows, shape.states,
        static_cast<Position>(gradients.d_C.stride), false);
  }
  if constexpr ((Mask & (Bit::A | Bit::A_selected)) != 0) {
    sum(backward.d_A_partials, gradients.d_A, slots, backward.a_columns, shape.states, shape.states, true);
  }
  if constexpr ((Mask & Bit::D) != 0) {
    sum(backward.d_D_partials, gradients.d_D, slots, 1, shape.channels, shape.channels, false);
  }
  if constexpr ((Mask & Bit::dt_bias) != 0) {
    sum(backward.d_bias_partials, gradients.d_dt_bias, slots, 1, shape.channels, shape.channels, false);
  }
}

}  // namespace detail

}  // namespace sdlora
