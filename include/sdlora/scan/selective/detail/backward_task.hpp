#pragma once

#include "../../../tensor/extents.hpp"
#include "backward.hpp"

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// Partial sums that tasks leave behind, added up afterwards in a fixed order. Per group, over its
/// channels: d_B and d_C, (groups, M, N). Per part, over its sequences: d_A and the gradient of a shared
/// initial state, (parts, lines, N, line), d_D and d_bias, (parts, lines, line).
template <class T>
struct BackwardPartials {
  std::span<T> B, C, A, initial_state, D, dt_bias;

  BackwardPartials(const SelectiveScanGradients& wanted, const ScanPlan& plan, std::size_t rows,
                   std::size_t states, bool shared_initial, Workspace& workspace) {
    const std::size_t channels = plan.parts * plan.lines * scan_line<T>;
    if (wanted.B) B = workspace.take<T>(plan.groups * rows * states);
    if (wanted.C) C = workspace.take<T>(plan.groups * rows * states);
    if (wanted.A != AGradient::None) A = workspace.take<T>(channels * states);
    if (wanted.initial_state && shared_initial) initial_state = workspace.take<T>(channels * states);
    D = workspace.take<T>(channels);
    dt_bias = workspace.take<T>(channels);
  }
};

/// Throws ShapeError where gradients depend on the states and none were saved.
template <SelectiveScanGradients Wanted, class T, class Device>
void check_checkpoints(const SelectiveScanInputs<T, Device>& in, const ScanState<T>* checkpoints) {
  if constexpr (BackwardWork(Wanted).states()) {
    if (checkpoints == nullptr && in.sequences.rows() * in.channels() * in.states() > 0) {
      throw ShapeError(
          "selective_scan: the gradients asked for depend on the states; pass the checkpoints that the "
          "forward pass saved");
    }
  }
}

/// One line of a group while a task works on it.
template <class T>
struct BackwardLine {
  BackwardTile<T> tile;
  T* carry;               // (N, line)
  T *d_A, *d_D, *d_bias;  // in the partial sums
  bool bounded;           // whether its decays are
  bool active, selected;  // whether anything is wanted of it; whether its d_A is
};

/// Whether a line holds one of the ascending channels.
template <class T>
bool line_selected(std::span<const std::size_t> channels, std::size_t line) {
  const auto found = std::lower_bound(channels.begin(), channels.end(), line * scan_line<T>);
  return found != channels.end() && *found < (line + 1) * scan_line<T>;
}

template <std::size_t N, SelectiveScanGradients Wanted, class T>
class BackwardTask {
  using V = Simd<T>;
  static constexpr std::size_t P = scan_line<T>, W = simd_width<T>;
  static constexpr BackwardWork work{Wanted};
  static constexpr bool selects = Wanted.A == AGradient::SelectedChannels;

 public:
  static std::size_t scratch_size(std::size_t states) {
    return scan_group * (BackwardTile<T>::size + 2 * states * P) + 4 * scan_chunk * P +
           2 * round_up(scan_chunk * states, P) + BackwardBlock<T>::size;
  }

  BackwardTask(const SelectiveScanInputs<T>& in, const T* checkpoints, const MatrixView<const T>& d_out,
               const MatrixView<const T>& d_final_state, const SelectiveScanGradientOutputs<T>& gradients,
               const ScanParameters<T>& parameters, const ScanPlan& plan, const BackwardPartials<T>& partials,
               std::size_t task, typename ScanScratch<T>::Slot& scratch, T* delta_sums = nullptr)
      : in_(in),
        checkpoints_(checkpoints),
        d_out_(d_out),
        d_final_state_(d_final_state),
        gradients_(gradients),
        parameters_(parameters),
        plan_(plan),
        partials_(partials),
        delta_sums_(delta_sums),
        group_(task % plan.groups),
        part_(task / plan.groups),
        first_line_(plan.first_line(group_)),
        lines_(plan.last_line(group_) - first_line_) {
    const std::size_t states = in.states();
    for (std::size_t i = 0; i < lines_; ++i) {
      const std::size_t line = part_ * plan.lines + first_line_ + i;
      const BackwardTile<T> tile(scratch.take(BackwardTile<T>::size));
      T* carry = scratch.take(states * P);
      T* d_A = partials.A.empty() ? scratch.take(states * P) : partials.A.data() + line * states * P;
      const bool selected = !selects || line_selected<T>(gradients.channels, first_line_ + i);
      line_[i] = {tile,
                  carry,
                  d_A,
                  partials.D.data() + line * P,
                  partials.dt_bias.data() + line * P,
                  false,
                  selected || work.without_A().any(),
                  work.A && selected};
      if (delta_sums) std::fill_n(delta_sums + (first_line_ + i) * P, P, T(0));
      std::fill_n(d_A, states * P, T(0));
      std::fill_n(line_[i].d_D, P, T(0));
      std::fill_n(line_[i].d_bias, P, T(0));
      if (!partials.initial_state.empty())
        std::fill_n(partials.initial_state.data() + line * states * P, states * P, T(0));
      if (!line_[i].active) continue;
      if (active_end_ == 0) active_begin_ = i;
      active_end_ = i + 1;
    }
    staging_ = scratch.take(4 * scan_chunk * P);
    B_ = scratch.take(scan_chunk * states);
    C_ = scratch.take(scan_chunk * states);
    block_ = BackwardBlock<T>(scratch.take(BackwardBlock<T>::size));
  }

  void run() {
    for (std::size_t s = plan_.part_begin[part_]; s < plan_.part_begin[part_ + 1]; ++s) {
      const std::size_t length = in_.sequences.length(s), E = in_.channels(), states = in_.states();
      const T* last = d_final_state_ ? d_final_state_.row(s) : nullptr;
      for (std::size_t i = 0; i < lines_; ++i) {
        load_states(line_[i].carry, last, states, (first_line_ + i) * P, E, states);
      }
      for (std::size_t c = ceil_div(length, scan_chunk); c-- > 0;) {
        chunk(plan_.chunk_begin[s] + c, c > 0, in_.sequences.first(s) + c * scan_chunk,
              std::min(scan_chunk, length - c * scan_chunk));
      }
      if constexpr (Wanted.initial_state) {
        for (std::size_t i = 0; i < lines_; ++i) add_initial(s, i);
      }
    }
  }

 private:
  void chunk(std::size_t index, bool another, std::size_t first_row, std::size_t rows) {
    const std::size_t states = in_.states();
    copy_rows<N>(B_, in_.B, first_row, rows);
    copy_rows<N>(C_, in_.C, first_row, rows);
    for (std::size_t i = 0; i < lines_; ++i) {
      if (!line_[i].active) continue;
      line_[i].bounded = prepare_backward_line<work.delta, work.z>(in_, d_out_, parameters_, first_line_ + i,
                                                                   first_row, rows, line_[i].tile, staging_);
      if (delta_sums_) add_deltas(line_[i].tile.delta, rows, delta_sums_ + (first_line_ + i) * P);
    }
    if constexpr (work.g() || work.states()) {
      const T* checkpoint =
          work.states() ? checkpoints_ + (index * plan_.lines + first_line_) * states * P : nullptr;
      const RowsAhead<8> soon = needed_soon(index, another, first_row);
      for_state_blocks<N, scan_reverse_block<T>>(states, [&](auto block, std::size_t n) {
        this->template states_block<block()>(n, first_row, rows, checkpoint, soon);
      });
    }
    for (std::size_t i = 0; i < lines_; ++i) {
      if (!line_[i].active) continue;
      finish_backward_line<Wanted>(in_, gradients_, parameters_, first_line_ + i, first_row, rows,
                                   line_[i].tile, line_[i].d_D, line_[i].d_bias, staging_);
    }
  }

  // What this chunk writes, and what the one before it reads.
  RowsAhead<8> needed_soon(std::size_t index, bool another, std::size_t first_row) const {
    const std::size_t line = first_line_ + active_begin_, lines = active_end_ - active_begin_;
    RowsAhead<8> result(lines);
    if constexpr (Wanted.u) result.add(gradients_.u, first_row, line * P);
    if constexpr (Wanted.dt) result.add(gradients_.dt, first_row, line * P);
    if constexpr (Wanted.z) result.add(gradients_.z, first_row, line * P);
    const std::size_t before = another ? first_row - scan_chunk : first_row;
    result.add(in_.u, before, line * P);
    result.add(in_.dt, before, line * P);
    result.add(d_out_, before, line * P);
    if (in_.z) result.add(in_.z, before, line * P);
    if constexpr (work.states()) {
      const std::size_t chunk = another ? index - 1 : index;
      result.add(checkpoints_ + (chunk * plan_.lines + line) * in_.states() * P, lines * P);
    }
    return result;
  }

  // States [n, n + States) of all lines of the group.
  template <std::size_t States>
  void states_block(std::size_t n, std::size_t first_row, std::size_t rows, const T* checkpoint,
                    const RowsAhead<8>& soon) {
    using Passes = LinePasses<N, scan_reverse_block<T>, T>;
    const std::size_t states = in_.states();
    std::size_t asked = 0;
    alignas(cache_line) static constexpr T zeros[States * W] = {};
    SumsBefore<T> before{zeros, zeros, 0};
    for (std::size_t i = 0; i < lines_; ++i) {
      const BackwardLine<T>& line = line_[i];
      if (!line.active) continue;
      for (std::size_t v = 0; v < P; v += W) {
        const std::size_t at = n * P + v;
        const auto ahead =
            soon.template share<Passes::share(8)>(Passes::index(n, v), Passes::count(states), asked);
        const T* A2 = parameters_.A2.data() + (first_line_ + i) * states * P + at;
        with_work(line, [&]<BackwardWork Work>() {
          const T* h = Work.states() ? checkpoint + i * states * P + at : nullptr;
          if (line.bounded) {
            recompute_states<RecomputeWork(Work), States, true>(line.tile, block_, v, rows, A2, h, B_ + n,
                                                                C_ + n, states, before, ahead);
          } else {
            recompute_states<RecomputeWork(Work), States, false>(line.tile, block_, v, rows, A2, h, B_ + n,
                                                                 C_ + n, states, before, ahead);
          }
          if constexpr (Work.g()) {
            reverse_states<Work, States>(line.tile, block_, v, rows, A2, line.carry + at, line.d_A + at,
                                         B_ + n, C_ + n, states, before);
          }
        });
        before = {block_.B_sum, block_.C_sum, States * W};
      }
      asked += rows;
    }
    for (std::size_t t = 0; t < rows; ++t) {
      const std::size_t row = t * States * W;
      if constexpr (Wanted.B) add_lanes<States>(block_.B_sum + row, partial(partials_.B, first_row + t) + n);
      if constexpr (Wanted.C) add_lanes<States>(block_.C_sum + row, partial(partials_.C, first_row + t) + n);
    }
  }

  // Calls f with the work that is needed for this line.
  template <class F>
  static void with_work(const BackwardLine<T>& line, const F& f) {
    if constexpr (selects) {
      if (!line.selected) {
        f.template operator()<work.without_A()>();
        return;
      }
    }
    f.template operator()<work>();
  }

  T* partial(std::span<T> sums, std::size_t row) const {
    return sums.data() + (group_ * in_.sequences.rows() + row) * in_.states();
  }

  void add_initial(std::size_t s, std::size_t i) {
    const std::size_t states = in_.states(), first = (first_line_ + i) * P;
    if (!partials_.initial_state.empty()) {
      T* sum = partials_.initial_state.data() + (part_ * plan_.lines + first_line_ + i) * states * P;
      for (std::size_t j = 0; j < states * P; ++j) sum[j] += line_[i].carry[j];
      return;
    }
    T* target = gradients_.initial_state.row(s);
    for (std::size_t j = 0; j < P && first + j < in_.channels(); ++j) {
      for (std::size_t n = 0; n < states; ++n) target[(first + j) * states + n] += line_[i].carry[n * P + j];
    }
  }

  const SelectiveScanInputs<T>& in_;
  const T* checkpoints_;
  const MatrixView<const T>& d_out_;
  MatrixView<const T> d_final_state_;
  const SelectiveScanGradientOutputs<T>& gradients_;
  const ScanParameters<T>& parameters_;
  const ScanPlan& plan_;
  const BackwardPartials<T>& partials_;
  T* delta_sums_;  // (lines, line), Σ Δ of what runs; or null
  std::size_t group_, part_, first_line_, lines_;
  std::size_t active_begin_ = 0, active_end_ = 0;  // the lines of the group that hold all active ones
  BackwardLine<T> line_[scan_group];
  T *staging_, *B_, *C_;
  BackwardBlock<T> block_;
};

/// Adds the groups' sums into d_B or d_C, (M, N), for rows [begin, end).
template <class T>
void reduce_groups(const MatrixView<T>& target, std::span<const T> sums, std::size_t groups,
                   std::size_t begin, std::size_t end) {
  using V = Simd<T>;
  constexpr std::size_t W = simd_width<T>;
  const std::size_t N = target.cols, group = target.rows * N;
  const auto add = [&](T* to, std::size_t at, std::size_t count) {
    const auto values = [&]<class U>(std::size_t i, U sum, const auto& load) {
      for (std::size_t g = 0; g < groups; ++g) sum += load(sums.data() + g * group + at + i);
      return sum;
    };
    std::size_t i = 0;
    for (; i + W <= count; i += W)
      values(i, V(T(0)), [](const T* p) { return V::load_unaligned(p); }).store_unaligned(to + i);
    for (; i < count; ++i) to[i] = values(i, T(0), [](const T* p) { return *p; });
  };
  if (target.stride == N) {
    add(target.row(begin), begin * N, (end - begin) * N);
  } else {
    for (std::size_t t = begin; t < end; ++t) add(target.row(t), t * N, N);
  }
}

/// Adds the parts' sums of one line into the gradients of the parameters.
template <SelectiveScanGradients Wanted, class T>
void reduce_parts(const SelectiveScanInputs<T>& in, const SelectiveScanGradientOutputs<T>& gradients,
                  const BackwardPartials<T>& partials, const ScanPlan& plan, std::size_t line) {
  constexpr std::size_t P = scan_line<T>;
  const std::size_t states = in.states();
  for (std::size_t j = 0; j < P && line * P + j < in.channels(); ++j) {
    const std::size_t e = line * P + j;
    std::size_t row = e;
    bool wants_A = Wanted.A == AGradient::All;
    if constexpr (Wanted.A == AGradient::SelectedChannels) {
      const auto found = std::lower_bound(gradients.channels.begin(), gradients.channels.end(), e);
      wants_A = found != gradients.channels.end() && *found == e;
      row = static_cast<std::size_t>(found - gradients.channels.begin());
    }
    for (std::size_t part = 0; part < plan.parts; ++part) {
      const std::size_t at = part * plan.lines + line;
      for (std::size_t n = 0; n < states; ++n) {
        if (wants_A) gradients.A(row, n) += partials.A[(at * states + n) * P + j];
        if (!partials.initial_state.empty())
          gradients.initial_state(0, e * states + n) += partials.initial_state[(at * states + n) * P + j];
      }
      if constexpr (Wanted.D) gradients.D(0, e) += partials.D[at * P + j];
      if constexpr (Wanted.dt_bias) gradients.dt_bias(0, e) += partials.dt_bias[at * P + j];
    }
  }
}

/// What run_scan_tasks is told of a backward pass.
template <class T>
std::size_t backward_work(const SelectiveScanInputs<T>& in) {
  return 2 * (in.sequences.rows() + in.sequences.count()) * in.channels() * in.states();
}

/// Adds all partial sums: over groups, a block of rows a task, and over parts, a line a task.
template <SelectiveScanGradients Wanted, class T>
void reduce_partials(const SelectiveScanInputs<T>& in, const SelectiveScanGradientOutputs<T>& gradients,
                     const BackwardPartials<T>& partials, const ScanPlan& plan) {
  constexpr std::size_t block = 64;
  constexpr bool sums_rows = Wanted.B || Wanted.C;
  const std::size_t rows = in.sequences.rows(), blocks = sums_rows ? ceil_div(rows, block) : 0;
  const std::size_t values = scan_line<T> * plan.lines * plan.parts * in.states();
  run_scan_tasks(plan.lines + blocks, sums_rows ? backward_work(in) : values, [&](std::size_t i) {
    if (i < plan.lines) {
      reduce_parts<Wanted>(in, gradients, partials, plan, i);
      return;
    }
    const std::size_t begin = (i - plan.lines) * block, end = std::min(rows, begin + block);
    if constexpr (Wanted.B) reduce_groups<T>(gradients.B, partials.B, plan.groups, begin, end);
    if constexpr (Wanted.C) reduce_groups<T>(gradients.C, partials.C, plan.groups, begin, end);
  });
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
