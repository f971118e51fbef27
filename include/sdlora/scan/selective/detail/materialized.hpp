#pragma once

#include "../../../tensor/evaluate.hpp"
#include "../../../tensor/expression.hpp"
#include "../../../tensor/functions.hpp"
#include "../../../tensor/parallel.hpp"
#include "../../../tensor/reduce.hpp"
#include "../../../tensor/tensor_view.hpp"
#include "../../../tensor/workspace.hpp"
#include "../../menu/scan.hpp"
#include "../../menu/scan_backward.hpp"
#include "../arguments.hpp"
#include "backward_work.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>

// The selective scan with all its steps in memory, a group of channels at a time. Of a group of G channels,
// a row's states are G·N values beside each other: matrices (M, G·N), which element-wise expressions read as
// (M, G, N).

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// (M, G·N) as (M, G, N); both are contiguous, as are those below.
template <class T>
auto by_state(const MatrixView<T>& values, std::size_t G, std::size_t N) {
  return TensorView<T, Extents<dyn, dyn, dyn>>(values.data, Extents<dyn, dyn, dyn>(values.rows, G, N));
}
/// (M, G), a value per row and channel, as (M, G, 1): the same for all states.
template <class T>
auto for_states(const MatrixView<T>& values) {
  return TensorView<T, Extents<dyn, dyn, 1>>(values.data, Extents<dyn, dyn, 1>(values.rows, values.cols, 1));
}
/// (M, N), a value per row and state, as (M, 1, N): the same for all channels.
template <class T>
auto for_channels(const MatrixView<T>& values) {
  return TensorView<T, Extents<dyn, 1, dyn>>(values.data, Extents<dyn, 1, dyn>(values.rows, 1, values.cols));
}
/// (G, N), a value per channel and state, as (1, G, N): the same for all rows.
template <class T>
auto for_rows(const MatrixView<T>& values) {
  return TensorView<T, Extents<1, dyn, dyn>>(values.data, Extents<1, dyn, dyn>(1, values.rows, values.cols));
}

/// The matrix itself where its rows lie one after another, else a copy.
template <class T>
MatrixView<const T> contiguous(const MatrixView<const T>& values, Workspace& workspace) {
  if (values.contiguous()) return {values.data, values.rows, values.cols};
  const MatrixView<T> copy = workspace.matrix<T>(values.rows, values.cols);
  assign(copy, values);
  return copy;
}

template <class T>
void fill_zero(const MatrixView<T>& values) {
  for (std::size_t i = 0; i < values.rows; ++i) std::fill_n(values.row(i), values.cols, T(0));
}

/// sums (M, N) += Σ over the channels of factors (M, G) · values (M, G·N), channel after channel, so that
/// groups of channels one after another give the same bits as all at once.
template <class T>
void add_channel_sums(const MatrixView<T>& sums, const MatrixView<const T>& factors,
                      const MatrixView<const T>& values) {
  constexpr std::size_t rows_per_task = 16;
  const std::size_t N = sums.cols;
  parallel_for(ceil_div(sums.rows, rows_per_task), [&](std::size_t task) {
    for (std::size_t t = task * rows_per_task; t < std::min(sums.rows, (task + 1) * rows_per_task); ++t) {
      T* const sum = sums.row(t);
      for (std::size_t e = 0; e < factors.cols; ++e) {
        const T factor = factors(t, e);
        const T* const value = values.row(t) + e * N;
        for (std::size_t n = 0; n < N; ++n) sum[n] += factor * value[n];
      }
    }
  });
}

/// sums (columns) += Σ over the rows of values (M, columns), row after row.
template <class T>
void add_row_sums(T* sums, const MatrixView<const T>& values) {
  constexpr std::size_t columns_per_task = 64;
  parallel_for(ceil_div(values.cols, columns_per_task), [&](std::size_t task) {
    const std::size_t first = task * columns_per_task, last = std::min(values.cols, first + columns_per_task);
    for (std::size_t t = 0; t < values.rows; ++t) {
      for (std::size_t j = first; j < last; ++j) sums[j] += values(t, j);
    }
  });
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
template <class Policy, class T>
class MaterializedGroup {
 public:
  /// `B` and `C` are the call's, contiguous.
  MaterializedGroup(const SelectiveScanInputs<T>& in, MatrixView<const T> B, MatrixView<const T> C,
                    std::size_t first, std::size_t count, Workspace& workspace)
      : in_(in),
        B_(B),
        C_(C),
        first_(first),
        count_(count),
        A_(contiguous<T>(in.A.rows_from(first, count), workspace)),
        workspace_(workspace) {}

  static MaterializedSize forward_size(std::size_t M, std::size_t N) {
    return {2 * M * N, M * (2 * N + 1) + N, 6};
  }
  /// Writes the group's columns of `out` and of the final states.
  void forward(const MatrixView<T>& out, T* final_state) const {
    const MatrixView<T> step = rows_of(1);
    read_step(step);
    assign(step, softplus(step));
    const MatrixView<T> a = rows_of(N()), h = rows_of(N());
    discretise(step, a);
    assign(step, step * columns(in_.u));
    states(step, a, h);
    write_final_states(h, final_state);
    const MatrixView<T>& y = step;
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
  void backward(const MatrixView<const T>& d_out, const T* d_final_state,
                const SelectiveScanGradientOutputs<T>& gradients) const {
    constexpr BackwardWork work(Wanted);
    const MatrixView<T> d_y = rows_of(1);
    if (in_.z) {
      assign(d_y, columns(d_out) * silu(columns(in_.z)));
    } else {
      assign(d_y, columns(d_out));
    }
    if constexpr (Wanted.D) {
      const MatrixView<T> terms = rows_of(1);
      assign(terms, d_y * columns(in_.u));
      add_row_sums<T>(gradients.D + first_, terms);
    }
    if constexpr (work.states() || work.g()) {
      const MatrixView<T> raw = rows_of(1), delta = rows_of(1), input = rows_of(1), a = rows_of(N());
      read_step(raw);
      assign(delta, softplus(raw));
      assign(input, delta * columns(in_.u));
      discretise(delta, a);
      MatrixView<T> h = a;  // which nothing reads where no state is needed
      if constexpr (work.states()) {
        h = rows_of(N());
        states(input, a, h);
      }
      if constexpr (Wanted.z) {
        const MatrixView<T> y = rows_of(1);
        read_states(h, y);
        const auto z = columns(in_.z);
        assign(columns(gradients.z), columns(d_out) * y * sigmoid(z) * (1 + z * (1 - sigmoid(z))));
      }
      if constexpr (Wanted.C) add_channel_sums<T>(gradients.C, d_y, h);
      if constexpr (work.g()) {
        state_gradients<Wanted>(d_y, d_final_state, {raw, delta, input, a, h}, gradients);
      }
    }
  }

 private:
  /// Of rows and channels: dt with its bias, Δ, and Δ·u; of rows, channels and states: the decays, the
  /// states.
  struct Steps {
    MatrixView<T> raw, delta, input, a, h;
  };

  std::size_t M() const { return in_.sequences.rows(); }
  std::size_t N() const { return in_.states(); }
  std::size_t S() const { return in_.sequences.count(); }
  std::size_t E() const { return in_.channels(); }

  /// Room for `each` values per row and channel of the group.
  MatrixView<T> rows_of(std::size_t each) const { return workspace_.matrix<T>(M(), count_ * each); }
  auto by_state(const MatrixView<T>& values) const { return detail::by_state(values, count_, N()); }
  template <class U>
  MatrixView<U> columns(const MatrixView<U>& of_call) const {
    return of_call.cols_from(first_, count_);
  }
  /// The group's values of one per channel.
  MatrixView<const T> row(const T* of_call) const { return {of_call + first_, 1, count_}; }
  /// The group's states of each sequence in (S, E, N); absent where those are.
  template <class U>
  MatrixView<U> states_of(U* of_call, std::size_t stride) const {
    if (of_call == nullptr) return {};
    return {of_call + first_ * N(), S(), count_ * N(), stride};
  }
  MatrixView<const T> initial() const { return states_of(in_.initial_state, in_.initial_stride); }
  std::size_t last_row(std::size_t s) const { return in_.sequences.offsets[s + 1] - 1; }

  void read_step(const MatrixView<T>& raw) const {
    if (in_.dt_bias) {
      assign(raw, columns(in_.dt) + row(in_.dt_bias));
    } else {
      assign(raw, columns(in_.dt));
    }
  }
  /// a = exp(Δ·A).
  void discretise(const MatrixView<T>& delta, const MatrixView<T>& a) const {
    assign(by_state(a), exp(for_states(delta) * for_rows(A_)));
  }
  /// h_t = a_t·h_{t−1} + input_t·B_t.
  void states(const MatrixView<T>& input, const MatrixView<T>& a, const MatrixView<T>& h) const {
    assign(by_state(h), for_states(input) * for_channels(B_));
    scan(Policy{}, a, h, h, {.initial = initial(), .sequences = in_.sequences}, workspace_);
  }
  /// y = C·h + D·u.
  void read_states(const MatrixView<T>& h, const MatrixView<T>& y) const {
    assign(for_states(y), sum(by_state(h) * for_channels(C_)));
    if (in_.D) assign<AssignMode::Add>(y, row(in_.D) * columns(in_.u));
  }
  void write_final_states(const MatrixView<T>& h, T* final_state) const {
    if (!final_state) return;
    const MatrixView<T> to = states_of(final_state, E() * N());
    for (std::size_t s = 0; s < S(); ++s) {
      if (in_.sequences.length(s) > 0) {
        assign(to.rows_from(s, 1), h.rows_from(last_row(s), 1));
      } else if (in_.initial_state) {
        assign(to.rows_from(s, 1), initial().rows_from(s, 1));
      } else {
        fill_zero(to.rows_from(s, 1));
      }
    }
  }

  /// What runs against time: g, the gradient by the state, and all that follows from it.
  template <SelectiveScanGradients Wanted>
  void state_gradients(const MatrixView<T>& d_y, const T* d_final_state, const Steps& x,
                       const SelectiveScanGradientOutputs<T>& gradients) const {
    constexpr BackwardWork work(Wanted);
    const MatrixView<T> g = rows_of(N());
    MatrixView<T> d_a{}, d_initial{};
    if constexpr (work.gah()) d_a = rows_of(N());
    if constexpr (work.initial_state) d_initial = workspace_.matrix<T>(S(), count_ * N());
    const auto d_final = states_of(d_final_state, E() * N());
    assign(by_state(g), for_states(d_y) * for_channels(C_));
    for (std::size_t s = 0; s < S() && d_final; ++s) {
      if (in_.sequences.length(s) == 0) continue;
      assign<AssignMode::Add>(g.rows_from(last_row(s), 1), d_final.rows_from(s, 1));
    }
    scan_backward(Policy{}, x.a, x.h, g, d_a, g, d_initial,
                  {.initial = initial(), .sequences = in_.sequences}, workspace_);

    if constexpr (Wanted.initial_state) {
      const MatrixView<T> to = states_of(gradients.initial_state, gradients.initial_stride);
      for (std::size_t s = 0; s < S(); ++s) {
        if (in_.sequences.length(s) > 0) {
          assign<AssignMode::Add>(to.rows_from(s, 1), d_initial.rows_from(s, 1));
        } else if (d_final) {
          assign<AssignMode::Add>(to.rows_from(s, 1), d_final.rows_from(s, 1));
        }
      }
    }
    if constexpr (Wanted.B) add_channel_sums<T>(gradients.B, x.input, g);
    MatrixView<T> gB{};
    if constexpr (work.gB()) {
      gB = rows_of(1);
      assign(for_states(gB), sum(by_state(g) * for_channels(B_)));
    }
    if constexpr (Wanted.u) {
      const auto to = columns(gradients.u);
      assign(to, x.delta * gB);
      if (in_.D) assign<AssignMode::Add>(to, row(in_.D) * d_y);
    }
    if constexpr (work.gah()) {
      assign<AssignMode::Multiply>(d_a, x.a);  // g·a·h, of the state before
      if constexpr (work.delta) {
        const MatrixView<T>& d_dt = x.raw;
        const MatrixView<T>& slope = x.input;  // of which B's gradient has been made
        assign(slope, sigmoid(x.raw));
        assign(for_states(d_dt), sum(by_state(d_a) * for_rows(A_)));
        assign(d_dt, (d_dt + columns(in_.u) * gB) * slope);
        if constexpr (Wanted.dt) assign(columns(gradients.dt), d_dt);
        if constexpr (Wanted.dt_bias) add_row_sums<T>(gradients.dt_bias + first_, d_dt);
      }
      if constexpr (work.A) {
        assign<AssignMode::Multiply>(by_state(d_a), for_states(x.delta));
        add_to_A<Wanted.A>(d_a, gradients);
      }
    }
  }

  template <AGradient Which>
  void add_to_A(const MatrixView<T>& terms, const SelectiveScanGradientOutputs<T>& gradients) const {
    if constexpr (Which == AGradient::All) {
      add_row_sums<T>(gradients.A + first_ * N(), terms);
    } else {
      for (std::size_t i = 0; i < gradients.channels.size(); ++i) {
        const std::size_t e = gradients.channels[i];
        if (e < first_ || e >= first_ + count_) continue;
        add_row_sums<T>(gradients.A + i * N(), terms.cols_from((e - first_) * N(), N()));
      }
    }
  }

  const SelectiveScanInputs<T>& in_;
  MatrixView<const T> B_, C_;
  std::size_t first_, count_;
  MatrixView<const T> A_;
  Workspace& workspace_;
};

/// Calls f(group) for all channels of a call, so many at a time that at most `bytes` are taken.
template <class Policy, class T, class F>
void for_each_materialized_group(const SelectiveScanInputs<T>& in, const MaterializedSize& size,
                                 std::size_t bytes, Workspace& workspace, const F& f) {
  if (in.channels() == 0) return;
  const Workspace::Scope call(workspace);
  const MatrixView<const T> B = contiguous<T>(in.B, workspace), C = contiguous<T>(in.C, workspace);
  const std::size_t each = size.group_channels<T>(in.channels(), bytes);
  for (std::size_t first = 0; first < in.channels(); first += each) {
    const Workspace::Scope group(workspace);
    f(MaterializedGroup<Policy, T>(in, B, C, first, std::min(each, in.channels() - first), workspace));
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
