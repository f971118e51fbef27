#pragma once

#include "../../../tensor/column_sums.hpp"
#include "../../../tensor/device.hpp"
#include "../../../tensor/evaluate.hpp"
#include "../../../tensor/expression.hpp"
#include "../../../tensor/functions.hpp"
#include "../../../tensor/matrix_view.hpp"
#include "../../../tensor/parallel.hpp"
#include "../../../tensor/reduce.hpp"
#include "../../../tensor/sequences.hpp"
#include "../../../tensor/tensor_view.hpp"
#include "../../../tensor/workspace.hpp"
#include "../../menu/kernel_scan.hpp"
#include "../../menu/scan.hpp"
#include "../../menu/scan_backward.hpp"
#include "../arguments.hpp"
#include "backward_work.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

// The selective scan with all its steps in memory, a group of channels at a time. Of a group of G channels,
// a row's states are G·N values beside each other: matrices (M, G·N), which element-wise expressions read as
// (M, G, N).

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// (M, G·N) as (M, G, N); both are contiguous, as are those below.
template <class T, class D>
auto by_state(const MatrixView<T, D>& values, std::size_t G, std::size_t N) {
  return TensorView<T, Extents<dyn, dyn, dyn>, D>(values.data, Extents<dyn, dyn, dyn>(values.rows, G, N));
}
/// (M, G), a value per row and channel, as (M, G, 1): the same for all states.
template <class T, class D>
auto for_states(const MatrixView<T, D>& values) {
  return TensorView<T, Extents<dyn, dyn, 1>, D>(values.data,
                                                Extents<dyn, dyn, 1>(values.rows, values.cols, 1));
}
/// (M, N), a value per row and state, as (M, 1, N): the same for all channels.
template <class T, class D>
auto for_channels(const MatrixView<T, D>& values) {
  return TensorView<T, Extents<dyn, 1, dyn>, D>(values.data,
                                                Extents<dyn, 1, dyn>(values.rows, 1, values.cols));
}
/// (G, N), a value per channel and state, as (1, G, N): the same for all rows.
template <class T, class D>
auto for_rows(const MatrixView<T, D>& values) {
  return TensorView<T, Extents<1, dyn, dyn>, D>(values.data,
                                                Extents<1, dyn, dyn>(1, values.rows, values.cols));
}

/// The matrix itself where its rows lie one after another, else a copy.
template <class T, class Device>
MatrixView<const T, Device> contiguous(const MatrixView<const T, Device>& values,
                                       WorkspaceOn<Device>& workspace) {
  if (values.contiguous()) return {values.data, values.rows, values.cols};
  const MatrixView<T, Device> copy = workspace.template matrix<T>(values.rows, values.cols);
  assign(copy, values);
  return copy;
}

/// sums (M, N) += Σ over the channels of factors (M, G) · values (M, G·N), channel after channel, so that
/// groups of channels one after another give the same bits as all at once.
template <class T>
struct SumsOverChannels {
  MatrixView<T> sums;
  MatrixView<const T> factors, values;

  constexpr void add_row(std::size_t t, std::size_t first_state, std::size_t last_state) const {
    T* const sum = sums.data + t * sums.stride;
    for (std::size_t e = 0; e < factors.cols; ++e) {
      const T factor = factors.data[t * factors.stride + e];
      const T* const value = values.data + t * values.stride + e * sums.cols;
      for (std::size_t n = first_state; n < last_state; ++n) sum[n] += factor * value[n];
    }
  }
};

/// One thread per row and state.
template <class T>
struct SumsOverChannelsKernel {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 1;
  using Arguments = SumsOverChannels<T>;

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const auto i = static_cast<std::size_t>(block.index() * threads + block.thread());
    if (i >= x.sums.rows * x.sums.cols) return;
    const std::size_t t = i / x.sums.cols, n = i % x.sums.cols;
    x.add_row(t, n, n + 1);
  }
};

template <class T, class Device>
void add_channel_sums(const MatrixView<T, Device>& sums, const MatrixView<T, Device>& factors,
                      const MatrixView<T, Device>& values) {
  const SumsOverChannels<T> x{sums.bare(), factors.bare(), values.bare()};
  if constexpr (is_host<Device>) {
    constexpr std::size_t rows_per_task = 16;
    parallel_for(ceil_div(sums.rows, rows_per_task), [&](std::size_t task) {
      const std::size_t last = std::min(sums.rows, (task + 1) * rows_per_task);
      for (std::size_t t = task * rows_per_task; t < last; ++t) x.add_row(t, 0, sums.cols);
    });
  } else {
    Launcher<Device> launcher("sums over the channels of a selective scan");
    const auto count = static_cast<std::int64_t>(sums.rows * sums.cols);
    launcher.template run<SumsOverChannelsKernel<T>>(
        ceil_div(count, std::int64_t{SumsOverChannelsKernel<T>::threads}), 0, x);
  }
}

/// How many values a pass has in memory: for the whole call, for each channel of a group, and how many arrays
/// these are.
struct MaterializedSize {
  std::size_t whole, channel, arrays;

  /// The channels of each group but the last: so many that a group takes at most `bytes`, at least one, and
  /// all groups about as many.
  template <class T>
  std::size_t group_channels(std::size_t E, std::size_t bytes) const {
    const std::size_t fixed = whole * sizeof(T) + arrays * alignment, each = channel * sizeof(T);
    const std::size_t most = bytes > fixed ? (bytes - fixed) / std::max<std::size_t>(each, 1) : 0;
    const std::size_t groups = ceil_div(E, std::clamp<std::size_t>(most, 1, E));
    return ceil_div(E, groups);
  }
};

/// Some channels of a call, and what its passes over them have in common.
template <class Policy, class T, class Device>
class MaterializedGroup {
  using View = MatrixView<T, Device>;
  using ConstView = MatrixView<const T, Device>;

 public:
  /// `B` and `C` are the call's, contiguous.
  MaterializedGroup(const SelectiveScanInputs<T, Device>& in, const ConstView& B, const ConstView& C,
                    std::size_t first, std::size_t count, WorkspaceOn<Device>& workspace)
      : in_(in),
        sequences_(in.sequences.on_host()),
        B_(B),
        C_(C),
        first_(first),
        count_(count),
        A_(contiguous(in.A.rows_from(first, count), workspace)),
        workspace_(workspace) {}

  static MaterializedSize forward_size(std::size_t M, std::size_t N) {
    return {2 * M * N, M * (2 * N + 1) + N, 6};
  }
  /// Writes the group's columns of `out` and, where it is not absent, of `final_state` (S, E·N).
  void forward(const View& out, const View& final_state) const {
    const View step = rows_of(1);
    read_step(step);
    assign(step, softplus(step));
    const View a = rows_of(N()), h = rows_of(N());
    discretise(step, a);
    assign(step, step * columns(in_.u));
    states(step, a, h);
    write_final_states(h, final_state);
    const View& y = step;
    read_states(h, y);
    if (in_.z) {
      assign(columns(out), y * silu(columns(in_.z)));
    } else {
      assign(columns(out), y);
    }
  }

  static MaterializedSize backward_size(const BackwardWork& work, std::size_t M, std::size_t N,
                                        std::size_t S) {
    const std::size_t state_matrices =
        (work.states() || work.g()) + std::size_t{work.states()} + work.g() + work.gah();
    return {2 * M * N, M * (state_matrices * N + 6) + N + S * N * work.initial_state, 16};
  }
  /// Adds the group's share to the sums of `gradients`, and writes its columns of the others.
  template <SelectiveScanGradients Wanted>
  void backward(const ConstView& d_out, const ConstView& d_final_state,
                const SelectiveScanGradientOutputs<T, Device>& gradients) const {
    constexpr BackwardWork work(Wanted);
    const View d_y = rows_of(1);
    if (in_.z) {
      assign(d_y, columns(d_out) * silu(columns(in_.z)));
    } else {
      assign(d_y, columns(d_out));
    }
    if constexpr (Wanted.D) {
      const View terms = rows_of(1);
      assign(terms, d_y * columns(in_.u));
      assign_column_sums<AssignMode::Add>(columns(gradients.D), terms);
    }
    if constexpr (work.states() || work.g()) {
      const View raw = rows_of(1), delta = rows_of(1), input = rows_of(1), a = rows_of(N());
      read_step(raw);
      assign(delta, softplus(raw));
      assign(input, delta * columns(in_.u));
      discretise(delta, a);
      View h = a;  // which nothing reads where no state is needed
      if constexpr (work.states()) {
        h = rows_of(N());
        states(input, a, h);
      }
      if constexpr (Wanted.z) {
        const View y = rows_of(1);
        read_states(h, y);
        const auto z = columns(in_.z);
        assign(columns(gradients.z), columns(d_out) * y * sigmoid(z) * (1 + z * (1 - sigmoid(z))));
      }
      if constexpr (Wanted.C) add_channel_sums(gradients.C, d_y, h);
      if constexpr (work.g()) {
        state_gradients<Wanted>(d_y, d_final_state, {raw, delta, input, a, h}, gradients);
      }
    }
  }

 private:
  /// Of rows and channels: dt with its bias, Δ, and Δ·u; of rows, channels and states: the decays, the
  /// states.
  struct Steps {
    View raw, delta, input, a, h;
  };

  std::size_t M() const { return sequences_.rows(); }
  std::size_t N() const { return in_.states(); }
  std::size_t S() const { return sequences_.count(); }

  /// Room for `each` values per row and channel of the group.
  View rows_of(std::size_t each) const { return workspace_.template matrix<T>(M(), count_ * each); }
  auto by_state(const View& values) const { return detail::by_state(values, count_, N()); }
  template <class U>
  MatrixView<U, Device> columns(const MatrixView<U, Device>& of_call) const {
    return of_call.cols_from(first_, count_);
  }
  /// The group's states of (S, E·N); absent where those are.
  template <class U>
  MatrixView<U, Device> states_of(const MatrixView<U, Device>& of_call) const {
    if (!of_call) return {};
    return of_call.cols_from(first_ * N(), count_ * N());
  }
  std::size_t last_row(std::size_t s) const { return sequences_.offsets[s + 1] - 1; }
  LinearScanOptions<T, Device> scan_options() const {
    return {.initial = states_of(in_.initial_state), .sequences = sequences_};
  }

  void read_step(const View& raw) const {
    if (in_.dt_bias) {
      assign(raw, columns(in_.dt) + columns(in_.dt_bias));
    } else {
      assign(raw, columns(in_.dt));
    }
  }
  /// a = exp(Δ·A).
  void discretise(const View& delta, const View& a) const {
    assign(by_state(a), exp(for_states(delta) * for_rows(A_)));
  }
  /// h_t = a_t·h_{t−1} + input_t·B_t.
  void states(const View& input, const View& a, const View& h) const {
    assign(by_state(h), for_states(input) * for_channels(B_));
    scan(Policy{}, a, h, h, scan_options(), workspace_);
  }
  /// y = C·h + D·u.
  void read_states(const View& h, const View& y) const {
    assign(for_states(y), sum(by_state(h) * for_channels(C_)));
    if (in_.D) assign<AssignMode::Add>(y, columns(in_.D) * columns(in_.u));
  }
  void write_final_states(const View& h, const View& final_state) const {
    if (!final_state) return;
    const View to = states_of(final_state);
    const ConstView before = states_of(in_.initial_state);
    for (std::size_t s = 0; s < S(); ++s) {
      if (sequences_.length(s) > 0) {
        assign(to.rows_from(s, 1), h.rows_from(last_row(s), 1));
      } else if (before) {
        assign(to.rows_from(s, 1), before.rows_from(s, 1));
      } else {
        assign(to.rows_from(s, 1), 0);
      }
    }
  }

  /// What runs against time: g, the gradient by the state, and all that follows from it.
  template <SelectiveScanGradients Wanted>
  void state_gradients(const View& d_y, const ConstView& d_final_state, const Steps& x,
                       const SelectiveScanGradientOutputs<T, Device>& gradients) const {
    constexpr BackwardWork work(Wanted);
    const View g = rows_of(N());
    View d_a{}, d_initial{};
    if constexpr (work.gah()) d_a = rows_of(N());
    if constexpr (work.initial_state) d_initial = workspace_.template matrix<T>(S(), count_ * N());
    const ConstView d_final = states_of(d_final_state);
    assign(by_state(g), for_states(d_y) * for_channels(C_));
    for (std::size_t s = 0; s < S() && d_final; ++s) {
      if (sequences_.length(s) == 0) continue;
      assign<AssignMode::Add>(g.rows_from(last_row(s), 1), d_final.rows_from(s, 1));
    }
    scan_backward(Policy{}, x.a, x.h, g, d_a, g, d_initial, scan_options(), workspace_);

    if constexpr (Wanted.initial_state) {
      const View to = states_of(gradients.initial_state);
      for (std::size_t s = 0; s < S(); ++s) {
        if (sequences_.length(s) > 0) {
          assign<AssignMode::Add>(to.rows_from(s, 1), d_initial.rows_from(s, 1));
        } else if (d_final) {
          assign<AssignMode::Add>(to.rows_from(s, 1), d_final.rows_from(s, 1));
        }
      }
    }
    if constexpr (Wanted.B) add_channel_sums(gradients.B, x.input, g);
    View gB{};
    if constexpr (work.gB()) {
      gB = rows_of(1);
      assign(for_states(gB), sum(by_state(g) * for_channels(B_)));
    }
    if constexpr (Wanted.u) {
      const View to = columns(gradients.u);
      assign(to, x.delta * gB);
      if (in_.D) assign<AssignMode::Add>(to, columns(in_.D) * d_y);
    }
    if constexpr (work.gah()) {
      assign<AssignMode::Multiply>(d_a, x.a);  // g·a·h, of the state before
      if constexpr (work.delta) {
        const View& d_dt = x.raw;
        const View& slope = x.input;  // of which B's gradient has been made
        assign(slope, sigmoid(x.raw));
        assign(for_states(d_dt), sum(by_state(d_a) * for_rows(A_)));
        assign(d_dt, (d_dt + columns(in_.u) * gB) * slope);
        if constexpr (Wanted.dt) assign(columns(gradients.dt), d_dt);
        if constexpr (Wanted.dt_bias) {
          assign_column_sums<AssignMode::Add>(columns(gradients.dt_bias), d_dt);
        }
      }
      if constexpr (work.A) {
        assign<AssignMode::Multiply>(by_state(d_a), for_states(x.delta));
        add_to_A<Wanted.A>(d_a, gradients);
      }
    }
  }

  template <AGradient Which>
  void add_to_A(const View& terms, const SelectiveScanGradientOutputs<T, Device>& gradients) const {
    const auto add = [&](std::size_t row, std::size_t channel, std::size_t count) {
      assign_column_sums<AssignMode::Add>(View(gradients.A.row(row), 1, count * N()),
                                          terms.cols_from(channel * N(), count * N()));
    };
    if constexpr (Which == AGradient::All) {
      add(first_, 0, count_);
    } else {
      for (std::size_t i = 0; i < gradients.channels.size(); ++i) {
        const std::size_t e = gradients.channels[i];
        if (e >= first_ && e < first_ + count_) add(i, e - first_, 1);
      }
    }
  }

  const SelectiveScanInputs<T, Device>& in_;
  const Sequences& sequences_;
  ConstView B_, C_;
  std::size_t first_, count_;
  ConstView A_;
  WorkspaceOn<Device>& workspace_;
};

/// Calls f(group) for all channels of a call, so many at a time that at most `bytes` are taken.
template <class Policy, class T, class Device, class F>
void for_each_materialized_group(const SelectiveScanInputs<T, Device>& in, const MaterializedSize& size,
                                 std::size_t bytes, WorkspaceOn<Device>& workspace, const F& f) {
  using Scope = typename WorkspaceOn<Device>::Scope;
  if (in.channels() == 0) return;
  const Scope call(workspace);
  const auto B = contiguous(in.B, workspace), C = contiguous(in.C, workspace);
  const std::size_t each = size.group_channels<T>(in.channels(), bytes);
  for (std::size_t first = 0; first < in.channels(); first += each) {
    const Scope group(workspace);
    f(MaterializedGroup<Policy, T, Device>(in, B, C, first, std::min(each, in.channels() - first),
                                           workspace));
  }
}

template <class Policy, class T, class Device>
void materialized_forward(const SelectiveScanInputs<T, Device>& in, const MatrixView<T, Device>& out,
                          const std::type_identity_t<MatrixView<T, Device>>& final_state, std::size_t bytes,
                          WorkspaceOn<Device>& workspace) {
  using Group = MaterializedGroup<Policy, T, Device>;
  for_each_materialized_group<Policy>(in, Group::forward_size(in.sequences.rows(), in.states()), bytes,
                                      workspace,
                                      [&](const Group& group) { group.forward(out, final_state); });
}

template <class Policy, SelectiveScanGradients Wanted, class T, class Device>
void materialized_backward(const SelectiveScanInputs<T, Device>& in,
                           const std::type_identity_t<MatrixView<const T, Device>>& d_out,
                           const std::type_identity_t<MatrixView<const T, Device>>& d_final_state,
                           const SelectiveScanGradientOutputs<T, Device>& gradients, std::size_t bytes,
                           WorkspaceOn<Device>& workspace) {
  constexpr BackwardWork work(Wanted);
  if constexpr (work.any()) {
    if constexpr (Wanted.B) assign(gradients.B, 0);
    if constexpr (Wanted.C) assign(gradients.C, 0);
    using Group = MaterializedGroup<Policy, T, Device>;
    for_each_materialized_group<Policy>(
        in, Group::backward_size(work, in.sequences.rows(), in.states(), in.sequences.count()), bytes,
        workspace,
        [&](const Group& group) { group.template backward<Wanted>(d_out, d_final_state, gradients); });
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
