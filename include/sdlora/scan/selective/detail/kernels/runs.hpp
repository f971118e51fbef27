#pragma once

#include "../../../../tensor/extents.hpp"
#include "arguments.hpp"
#include "backward.hpp"
#include "backward_aggregate.hpp"
#include "carry.hpp"
#include "checks.hpp"
#include "forward.hpp"
#include "plan.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace sdlora::detail {

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
KernelInputs<IO> planned(const KernelScanPlan& plan, KernelInputs<IO> in) {
  in.rows = plan.shape.rows;
  in.sequences = plan.shape.sequences;
  in.channels = plan.shape.channels;
  in.states = plan.shape.states;
  if (in.a_stride == 0) in.a_stride = in.states;
  in.state_vectors = in.states % 4 == 0 && aligned_to_four(in.B) && aligned_to_four(in.C);
  in.checkpoint_interval = plan.checkpoint_interval;
  in.segment_length = plan.segment_length;
  in.segments = plan.segments;
  return in;
}

template <class Kernel>
Position blocks_of(const KernelScanPlan& plan) {
  const int groups = ceil_div(plan.shape.channels, Kernel::channels);
  return plan.shape.sequences * plan.segments * groups;
}

/// The kernels of a forward, in order. `Launcher::run<Kernel>(blocks, shared_floats, arguments)` is
/// the emulator's or the GPU's, and does nothing for 0 blocks. `Gate` must say whether x.z is there.
template <class IO, int FixedStates, bool Gate, class Launcher>
void run_scan_forward(Launcher& launcher, const KernelScanPlan& plan, const KernelInputs<IO>& x,
                      const KernelOutputs<IO>& y, float* workspace) {
  check_scan_forward(plan, x, y, workspace);
  ForwardArguments<IO> forward;
  forward.in = planned(plan, x);
  forward.out = y.out;
  forward.final_state = y.final_state;
  forward.final_stride = y.final_stride != 0 ? y.final_stride : plan.state_floats();
  forward.checkpoints = y.checkpoints;
  with_states<16, FixedStates>(plan.shape.states, [&](auto states, auto lanes) {
    constexpr int States = decltype(states)::value;
    constexpr int Lanes = decltype(lanes)::value;
    if (plan.split()) {
      using Aggregate = ForwardKernel<IO, States, Lanes, Gate, true>;
      AggregateArguments<IO> aggregate;
      aggregate.in = forward.in;
      aggregate.carries = workspace;
      aggregate.delta_sums = workspace + plan.carry_floats();
      launcher.template run<Aggregate>(blocks_of<Aggregate>(plan), Aggregate::shared_floats, aggregate);
      const CarryArguments carry{x.A,
                                 forward.in.a_stride,
                                 x.initial_state,
                                 x.initial_stride,
                                 aggregate.carries,
                                 aggregate.delta_sums,
                                 plan.shape.sequences,
                                 plan.segments,
                                 plan.shape.channels,
                                 plan.shape.states};
      launcher.template run<CarryKernel<false>>(
          CarryKernel<false>::blocks(plan.shape.sequences, plan.shape.channels, plan.shape.states), 0, carry);
      forward.starts = aggregate.carries;
    }
    using Forward = ForwardKernel<IO, States, Lanes, Gate>;
    launcher.template run<Forward>(blocks_of<Forward>(plan), Forward::shared_floats, forward);
  });
}

/// The kernels of a backward, in order.
template <class IO, int FixedStates, bool Gate, SelectiveScanGradients Wanted, class Launcher>
void run_scan_backward(Launcher& launcher, const KernelScanPlan& plan, const KernelInputs<IO>& x,
                       const float* checkpoints, MatrixView<const IO> d_out,
                       MatrixView<const float> d_final_state, const KernelGradients<IO>& gradients,
                       float* workspace) {
  check_scan_backward<Wanted>(plan, x, checkpoints, d_out, gradients, workspace);
  const KernelScanShape& shape = plan.shape;
  const auto take = [&](std::size_t floats) {
    float* const taken = workspace;
    workspace += floats;
    return taken;
  };
  BackwardArguments<IO> backward;
  backward.in = planned(plan, x);
  backward.checkpoints = checkpoints;
  backward.d_out = d_out;
  backward.d_final_state = d_final_state.data;
  backward.d_final_stride = static_cast<Position>(d_final_state.stride);
  backward.d_u = gradients.u;
  backward.d_dt = gradients.dt;
  backward.d_z = gradients.z;
  const bool shares_initial_state = gradients.initial_stride == 0;
  if constexpr (Wanted.initial_state) {
    backward.d_initial_state = shares_initial_state ? take(plan.initial_floats()) : gradients.initial_state;
    backward.d_initial_stride = shares_initial_state ? plan.state_floats() : gradients.initial_stride;
    backward.adds_initial_state = !shares_initial_state;
  }
  backward.channel_vectors = shape.channels % 4 == 0 && aligned_to_four(x.u) && aligned_to_four(x.dt) &&
                             aligned_to_four(x.z) && aligned_to_four(d_out) && aligned_to_four(gradients.u) &&
                             aligned_to_four(gradients.dt) && aligned_to_four(gradients.z);
  if constexpr (Wanted.B) backward.d_B_partials = take(plan.partial_floats());
  if constexpr (Wanted.C) backward.d_C_partials = take(plan.partial_floats());
  backward.in.state_vectors = backward.in.state_vectors && aligned_to_four(backward.d_B_partials) &&
                              aligned_to_four(backward.d_C_partials);
  constexpr bool selects = Wanted.A == AGradient::SelectedChannels;
  backward.a_columns = selects ? gradients.selected_count : shape.channels;
  if constexpr (Wanted.A != AGradient::None) {
    backward.d_A_partials = take(plan.a_floats(backward.a_columns));
  }
  if constexpr (selects) backward.selected = gradients.selected;
  if constexpr (Wanted.D) backward.d_D_partials = take(plan.slot_floats());
  if constexpr (Wanted.dt_bias) backward.d_bias_partials = take(plan.slot_floats());
  if (plan.split()) {
    AggregateArguments<IO> aggregate;
    aggregate.in = backward.in;
    aggregate.d_out = d_out;
    aggregate.carries = take(plan.carry_floats());
    aggregate.delta_sums = take(plan.slot_floats());
    with_states<16, FixedStates>(shape.states, [&](auto states, auto lanes) {
      using Aggregate = BackwardAggregateKernel<IO, decltype(states)::value, decltype(lanes)::value, Gate>;
      launcher.template run<Aggregate>(blocks_of<Aggregate>(plan), Aggregate::shared_floats, aggregate);
    });
    const CarryArguments carry{x.A,
                               backward.in.a_stride,
                               backward.d_final_state,
                               backward.d_final_stride,
                               aggregate.carries,
                               aggregate.delta_sums,
                               shape.sequences,
                               plan.segments,
                               shape.channels,
                               shape.states};
    launcher.template run<CarryKernel<true>>(
        CarryKernel<true>::blocks(shape.sequences, shape.channels, shape.states), 0, carry);
    backward.incoming = aggregate.carries;
  }
  with_states<8, FixedStates>(shape.states, [&](auto states, auto lanes) {
    using Backward = BackwardKernel<IO, decltype(states)::value, decltype(lanes)::value, Gate, Wanted>;
    launcher.template run<Backward>(blocks_of<Backward>(plan),
                                    Backward::shared_floats_for(plan.checkpoint_interval), backward);
  });
  const auto sum = [&]<class Out>(const float* partials, Out* out, Position parts, Position rows,
                                  Position cols, Position stride, bool transposed, bool adds) {
    if (rows * cols == 0) return;
    const SumArguments<Out> arguments{partials, out, parts, rows, cols, stride, transposed, adds};
    launcher.template run<SumKernel<Out>>(SumKernel<Out>::blocks(rows, cols), 0, arguments);
  };
  const Position groups = plan.backward_groups();
  const auto slots = static_cast<Position>(plan.slots());
  if constexpr (Wanted.B) {
    sum(backward.d_B_partials, gradients.B.data, groups, shape.rows, shape.states,
        static_cast<Position>(gradients.B.stride), false, false);
  }
  if constexpr (Wanted.C) {
    sum(backward.d_C_partials, gradients.C.data, groups, shape.rows, shape.states,
        static_cast<Position>(gradients.C.stride), false, false);
  }
  if constexpr (Wanted.A != AGradient::None) {
    sum(backward.d_A_partials, gradients.A, slots, backward.a_columns, shape.states,
        gradients.a_stride != 0 ? gradients.a_stride : Position{shape.states}, true, true);
  }
  if constexpr (Wanted.D) {
    sum(backward.d_D_partials, gradients.D, slots, 1, shape.channels, shape.channels, false, true);
  }
  if constexpr (Wanted.dt_bias) {
    sum(backward.d_bias_partials, gradients.dt_bias, slots, 1, shape.channels, shape.channels, false, true);
  }
  if constexpr (Wanted.initial_state) {
    if (shares_initial_state && shape.sequences > 0) {
      sum(backward.d_initial_state, gradients.initial_state, shape.sequences, 1, plan.state_floats(),
          plan.state_floats(), false, true);
    }
  }
}

}  // namespace sdlora::detail
