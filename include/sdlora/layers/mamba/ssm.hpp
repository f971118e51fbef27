#pragma once

#include "../../adapters/place.hpp"
#include "../../scan/selective/fused.hpp"
#include "../../scan/selective/interface.hpp"
#include "../../tensor/evaluate.hpp"
#include "../../tensor/functions.hpp"
#include "../conv1d.hpp"
#include "../detail/element.hpp"
#include "../fused_linear.hpp"
#include "../rms_norm.hpp"
#include "needs.hpp"
#include "places.hpp"
#include "state.hpp"
#include "weights.hpp"

#include <array>
#include <cstddef>

namespace sdlora {

/// The state-space part of a Mamba block (Gu and Dao, arXiv 2312.00752, algorithm 2), between in_proj
/// and out_proj: convolution, the input-dependent dt, B and C, and the scan with its gate, in the way that
/// `Scan` says (see SelectiveScan).
template <Config C, Placement P, class T, class D = Cpu, class Scan = Fused>
class MambaSsm {
  static_assert(
      SelectiveScan<Scan, D>,
      "sdlora::MambaSsm: the scan must be a way to run the selective scan on this device, as Fused or "
      "Materialized<policy>");
  // `dyn`: the scan and the convolution choose by their arguments' sizes.
  static constexpr std::size_t States = C::config.d_state;
  static constexpr std::size_t Taps = C::config.d_conv;
  static constexpr bool may_norm = C::config.mixer_norm_epsilon != 0.0;

  template <class S>
  static constexpr bool learns = P::template learns_at<S>;
  template <class S>
  using Linear = typename P::template policy_at<S>::template Linear<T, D>;
  template <class S>
  using Element = typename P::template policy_at<S>::template Element<T, D>;

  using View = MatrixView<const T, D>;
  using Matrix = MatrixView<T, D>;
  using Gradient = detail::ElementGradient<T, D>;

  template <class State>
  static View values_of(const State& state, WorkspaceOn<D>& workspace) {
    return detail::values_of(state, workspace);
  }

  struct Nothing {  // where a site that checkpoints lack learns nothing
    Nothing(ParameterStore<T, D>&, const SitePlace<T, D>&) {}
    static constexpr bool active() { return false; }
  };
  template <class Policy, bool Selected = detail::has_selected_state<Policy>>
  struct ALogState {
    using type = typename Policy::template Element<T, D>;
  };
  template <class Policy>
  struct ALogState<Policy, true> {
    using type = typename Policy::template Selected<T, D>;
  };
  template <class Policy, bool Learns = Policy::learns>
  struct PrefixState {
    using type = Nothing;
  };
  template <class Policy>
  struct PrefixState<Policy, true> {
    using type = typename Policy::template Rows<T, D>;
  };

  template <class Policy, bool Learns = Policy::learns>
  struct OffsetState {
    using type = Nothing;
  };
  template <class Policy>
  struct OffsetState<Policy, true> {
    using type = typename Policy::template Scan<T, D>;
  };

 public:
  /// Where sequences begin; absent: zero. A stride of 0 shares one start among all.
  struct Start {
    View window;          // (S, (K − 1)·E)
    View h;               // (S, E·N)
    View of_policy = {};  // (S, what the policy at the scan remembers)
  };
  /// Where the gradient of a shared start is added up; absent: not wanted.
  struct StartGradient {
    Matrix window;  // (1, (K − 1)·E)
    Matrix h;       // (1, E·N)
  };

  /// Zeros from the workspace.
  static Matrix zeros(std::size_t rows, std::size_t cols, WorkspaceOn<D>& workspace) {
    const Matrix result = workspace.template matrix<T>(rows, cols);
    assign(result, 0);
    return result;
  }

  /// The parts on the block's weights; what learns is added to `store`.
  MambaSsm(const MambaPlaces<T, D>& p, View A, ParameterStore<T, D>& store)
      : m_(p.dimensions),
        A_(A),
        conv_(store, p.template at<site::Conv1d>()),
        conv_bias_(store, p.template at<site::ConvBias>()),
        x_proj_(store, {p.template at<site::XProjDt>(), p.template at<site::XProjB>(),
                        p.template at<site::XProjC>()}),
        dt_proj_(store, {p.template at<site::DtProj>()}),
        dt_bias_(store, p.template at<site::DtBias>()),
        a_log_(store, p.template at<site::ALog>()),
        d_(store, p.template at<site::D>()),
        h0_(store, p.template at<site::H0>()),
        conv0_(store, p.template at<site::Conv0>()),
        prefix_(store, p.template at<site::Prefix>()),
        offset_(store, p.template at<site::Scan>()) {
    p.template require_shape<site::Conv1d>(conv_);
    p.template require_shape<site::ConvBias>(conv_bias_);
    p.template require_shape<site::DtBias>(dt_bias_);
    p.template require_shape<site::ALog>(a_log_);
    p.template require_shape<site::D>(d_);
    p.template require_shape<site::H0>(h0_);
    p.template require_shape<site::Conv0>(conv0_);
  }

  /// Whether anything learns in this layer's SSM.
  bool active() const {
    return conv_.active() || conv_bias_.active() || x_proj_.active() || dt_proj_.active() ||
           dt_bias_.active() || a_log_.active() || d_.active() || h0_.active() || conv0_.active() ||
           prefix_.active() || offset_.active();
  }

  /// From kept.xz to kept.y: convolution, x_proj, the norms of dt, B and C where the model has them, dt_proj,
  /// scan, its gate where `gated`. Writes the
  /// last window (S, (K − 1)·E) and state (S, E·N) of each sequence unless they are absent.
  void forward(const SequencesOn<D>& sequences, const BlockActivations<T, D>& kept, const Start& start,
               bool gated, const BlockState<T, D>& final_state, const Pass& pass,
               WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    conv1d_silu_forward<Taps>(conv_inputs(sequences, kept, start, workspace), kept.u, final_state.window,
                              workspace);
    x_proj_.forward(kept.u, kept.x_dbl, kept.x_proj, pass, workspace);
    const View x_dbl = normed(kept.x_dbl, workspace);
    dt_proj_.forward(x_dbl.cols_from(0, m_.dt_rank), kept.dt, kept.dt_proj, pass, workspace);
    Scan::template forward<States>(
        scan_inputs(sequences, kept, x_dbl, start, gated, effective_A(workspace), workspace), kept.y,
        final_state.h, kept.checkpoints, workspace);
    if constexpr (learns<site::Scan>) {
      // What is not gated is not used: a prefix's outputs are dropped.
      if (gated && offset_.active()) {
        const View z = kept.xz.cols_from(m_.d_inner, m_.d_inner);
        const Matrix offset = zeros(kept.y.rows, m_.d_inner, workspace);
        add_offset(policy_inputs(kept, x_dbl, workspace), {sequences, start.of_policy, final_state.of_policy},
                   offset, workspace);
        assign<AssignMode::Add>(kept.y, offset * silu(z));
      } else if (final_state.of_policy) {
        assign(final_state.of_policy, 0);
      }
    }
  }

  /// Backward of `forward`, from d_y (M, E) and, unless absent, the gradients of what it left. Gradients of
  /// the activations go to d_xz (M, 2E) (of x with `InputGradient`), those of a shared start to d_start.
  template <SelectiveScanGradients Wanted, bool InputGradient, bool Gated>
  void backward(const SequencesOn<D>& sequences, const BlockActivations<T, D>& kept, const Start& start,
                View d_y, const BlockState<const T, D>& d_final, Matrix d_xz, const StartGradient& d_start,
                const Pass& pass, WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    const std::size_t M = sequences.rows();
    const std::size_t E = m_.d_inner;
    const std::size_t N = m_.d_state;
    const auto take = [&](std::size_t cols) { return workspace.template matrix<T>(M, cols); };

    SelectiveScanGradientOutputs<T, D> gradients;
    Matrix d_x_dbl{};
    if constexpr (Wanted.u) gradients.u = take(E);
    if constexpr (Wanted.dt) gradients.dt = take(E);
    if constexpr (Wanted.dt || Wanted.B || Wanted.C) d_x_dbl = take(m_.dt_rank + 2 * N);
    if constexpr (Wanted.B) gradients.B = d_x_dbl.cols_from(m_.dt_rank, N);
    if constexpr (Wanted.C) gradients.C = d_x_dbl.cols_from(m_.dt_rank + N, N);
    if constexpr (Wanted.z) gradients.z = d_xz.cols_from(E, E);
    const Gradient d_skip(d_, 1, E, workspace), d_bias(dt_bias_, 1, E, workspace);
    const auto vector =
        [&](const Gradient& gradient) {  // where the site does not learn in this layer, nowhere
          return gradient.values() ? gradient.values() : zeros(1, E, workspace);
        };
    if constexpr (Wanted.D) gradients.D = vector(d_skip);
    if constexpr (Wanted.dt_bias) gradients.dt_bias = vector(d_bias);
    if constexpr (Wanted.initial_state) gradients.initial_state = shared(d_start.h, sequences);
    if constexpr (Wanted.A == AGradient::All) gradients.A = zeros(E, N, workspace);
    if constexpr (Wanted.A == AGradient::SelectedChannels) {
      gradients.channels = a_log_.channels_chosen();
      gradients.A = zeros(gradients.channels.size(), N, workspace);
    }
    const View A = effective_A(workspace);
    const View x_dbl = normed(kept.x_dbl, workspace);
    if constexpr (goes_through_scan(Wanted)) {
      Scan::template backward<States, Wanted>(scan_inputs(sequences, kept, x_dbl, start, Gated, A, workspace),
                                              kept.checkpoints, d_y, d_final.h, gradients, workspace);
    }
    if constexpr (learns<site::Scan> && Gated) {
      if (offset_.active()) offset_backward(sequences, kept, x_dbl, d_y, gradients, workspace);
    }
    if constexpr (Wanted.D) d_skip.finish(d_, workspace);
    if constexpr (Wanted.dt_bias) d_bias.finish(dt_bias_, workspace);

    // A = −exp(A_log), so ∂/∂A_log = A · ∂/∂A.
    if constexpr (Wanted.A == AGradient::All) {
      const Gradient d_a_log(a_log_, E, N, workspace);
      if (a_log_.active()) assign<AssignMode::Add>(d_a_log.values(), A * gradients.A);
      d_a_log.finish(a_log_, workspace);
    }
    if constexpr (Wanted.A == AGradient::SelectedChannels) a_log_.add_gradient(gradients.A, A);

    constexpr bool low = Wanted.dt && (Wanted.u || learns<site::XProjDt>);
    if constexpr (Wanted.dt) {
      dt_proj_.backward(x_dbl.cols_from(0, m_.dt_rank), gradients.dt, kept.dt_proj,
                        low ? d_x_dbl.cols_from(0, m_.dt_rank) : Matrix{}, Write::Overwrite, pass, workspace);
    }
    if constexpr (may_norm) {
      if (norms()) {
        if constexpr (low) norm_backward(kept.x_dbl, d_x_dbl, 0, m_.dt_rank);
        if constexpr (Wanted.B) norm_backward(kept.x_dbl, d_x_dbl, m_.dt_rank, N);
        if constexpr (Wanted.C) norm_backward(kept.x_dbl, d_x_dbl, m_.dt_rank + N, N);
      }
    }
    if constexpr (Wanted.dt || Wanted.B || Wanted.C) {
      x_proj_.backward(kept.u, d_x_dbl, kept.x_proj, gradients.u, Write::Add, pass, workspace);
    }
    if constexpr (Wanted.u) {
      Conv1dGradients<T, D> conv_gradients;
      if constexpr (InputGradient) conv_gradients.x = d_xz.cols_from(0, E);
      const Gradient d_conv(conv_, E, m_.d_conv, workspace), d_conv_bias(conv_bias_, 1, E, workspace);
      conv_gradients.weight = d_conv.values();
      conv_gradients.bias = d_conv_bias.values();
      conv_gradients.window = d_start.window;
      conv1d_silu_backward<Taps>(conv_inputs(sequences, kept, start, workspace), gradients.u, d_final.window,
                                 conv_gradients, workspace);
      d_conv.finish(conv_, workspace);
      d_conv_bias.finish(conv_bias_, workspace);
    }
  }

  /// The start that the placement learns, shared by all sequences: h0 and conv0, moved on by the prefix.
  Start learned_start(const Sequences& sequences, const Pass& pass, WorkspaceOn<D>& workspace) const {
    Start start = own_start(workspace);
    if constexpr (learns<site::Prefix>) {
      if (prefix_.active()) {
        const BlockState<T, D> moved{workspace.template matrix<T>(1, (m_.d_conv - 1) * m_.d_inner),
                                     workspace.template matrix<T>(1, m_.d_inner * m_.d_state)};
        const PrefixRun run(*this, workspace);
        forward(run.sequences, run.kept, start, /*gated=*/false, moved, pass, workspace);
        start = {moved.window, moved.h};
      }
    }
    if (start.window) start.window = shared(start.window, sequences);
    if (start.h) start.h = shared(start.h, sequences);
    return start;
  }

  /// Backward of `learned_start`, from the gradient of what it gave.
  void learned_start_backward(const StartGradient& d_start, const Pass& pass,
                              WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    StartGradient before = d_start;
    if constexpr (learns<site::Prefix>) {
      if (prefix_.active()) {
        // The prefix run is short: it is done again rather than kept.
        const PrefixRun run(*this, workspace);
        const Start start = own_start(workspace);
        forward(run.sequences, run.kept, start, /*gated=*/false, {}, pass, workspace);
        const std::size_t length = prefix_.length();
        const std::size_t E = m_.d_inner;
        const Matrix d_xz = workspace.template matrix<T>(length, 2 * E);
        before = {learns<site::Conv0> ? zeros(1, (m_.d_conv - 1) * E, workspace) : Matrix{},
                  zeros(1, E * m_.d_state, workspace)};
        backward<MambaNeeds<P>(true).scan_gradients(/*gate=*/false), true, /*Gated=*/false>(
            run.sequences, run.kept, start, zeros(length, E, workspace), {d_start.window, d_start.h}, d_xz,
            before, pass, workspace);
        assign<AssignMode::Add>(prefix_.gradient(), d_xz.cols_from(0, E));
      }
    }
    if constexpr (learns<site::H0>) {
      if (h0_.active()) {
        const Gradient d_h0(h0_, m_.d_inner, m_.d_state, workspace);
        assign<AssignMode::Add>(flat(d_h0.values()), before.h);
        d_h0.finish(h0_, workspace);
      }
    }
    if constexpr (learns<site::Conv0>) {
      if (conv0_.active()) {
        const Gradient d_conv0(conv0_, m_.d_conv - 1, m_.d_inner, workspace);
        assign<AssignMode::Add>(flat(d_conv0.values()), before.window);
        d_conv0.finish(conv0_, workspace);
      }
    }
  }

  /// Fills the state before the first token: learned where h0, conv0 or a prefix is placed, else zero.
  void initial_state(const Sequences& sequences, const BlockState<T, D>& state,
                     WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    const Start start = learned_start(sequences, Pass{}, workspace);
    const auto fill = [](Matrix to, View from) {
      if (!to) return;
      if (from) {
        assign(to, from.rows_from(0, 1));
      } else {
        assign(to, 0);
      }
    };
    fill(state.window, start.window);
    fill(state.h, start.h);
    fill(state.of_policy, {});
  }

  /// target += sign · everything learned here that has a place among the weights.
  void add_change(const MambaWeights<T, D>& target, T sign) const {
    conv_.add_change(target.conv, sign);
    conv_bias_.add_change(target.conv_bias, sign);
    x_proj_.add_change(target.x_proj, sign);
    dt_proj_.add_change(target.dt_proj, sign);
    dt_bias_.add_change(target.dt_bias, sign);
    a_log_.add_change(target.A_log, sign);
    d_.add_change(target.D, sign);
  }

 private:
  /// h0 and conv0 where they learn, each of one row.
  Start own_start(WorkspaceOn<D>& workspace) const {
    Start start;
    if constexpr (learns<site::H0>) {
      if (h0_.active()) start.h = flat(values_of(h0_, workspace));
    }
    if constexpr (learns<site::Conv0>) {
      if (conv0_.active()) start.window = flat(values_of(conv0_, workspace));
    }
    return start;
  }

  /// The values of a matrix in one row.
  template <class U>
  static MatrixView<U, D> flat(MatrixView<U, D> matrix) {
    return {matrix.data, 1, matrix.rows * matrix.cols};
  }
  /// One row for every sequence.
  template <class U>
  static MatrixView<U, D> shared(MatrixView<U, D> row, const Sequences& sequences) {
    return {row.data, sequences.count(), row.cols, 0};
  }

  /// Whether the checkpoint's dt, B and C are normalised; a type that excludes it pays nothing.
  bool norms() const { return may_norm && m_.mixer_norm_epsilon > 0.0; }
  T mixer_epsilon() const { return static_cast<T>(m_.mixer_norm_epsilon); }

  /// What dt_proj and the scan read of x_proj's output (M, R + 2N): itself, or the norms of its three parts,
  /// which backward forms again rather than keeps.
  View normed(View x_dbl, WorkspaceOn<D>& workspace) const {
    if constexpr (may_norm) {
      if (norms() && x_dbl) {
        const Matrix result = workspace.template matrix<T>(x_dbl.rows, x_dbl.cols);
        const auto norm = [&](std::size_t first, std::size_t count) {
          rms_norm_forward(x_dbl.cols_from(first, count), mixer_epsilon(), result.cols_from(first, count));
        };
        norm(0, m_.dt_rank);
        norm(m_.dt_rank, m_.d_state);
        norm(m_.dt_rank + m_.d_state, m_.d_state);
        return result;
      }
    }
    return x_dbl;
  }

  /// The gradient of a normalised part becomes that of the part.
  void norm_backward(View x_dbl, Matrix d_x_dbl, std::size_t first, std::size_t count) const {
    rms_norm_backward(x_dbl.cols_from(first, count), mixer_epsilon(), d_x_dbl.cols_from(first, count));
  }

  /// A = −exp(A_log) with what has been learned; the base's where nothing has.
  View effective_A(WorkspaceOn<D>& workspace) const {
    if constexpr (!learns<site::ALog>) {
      return A_;
    } else {
      if (!a_log_.active()) return A_;
      const Matrix A = workspace.template matrix<T>(m_.d_inner, m_.d_state);
      if constexpr (MambaNeeds<P>::a_gradient == AGradient::SelectedChannels) {
        a_log_.effective_A(A_, A);
      } else {
        assign(A, -exp(values_of(a_log_, workspace)));
      }
      return A;
    }
  }

  Conv1dInputs<T, D> conv_inputs(const SequencesOn<D>& sequences, const BlockActivations<T, D>& kept,
                                 const Start& start, WorkspaceOn<D>& workspace) const {
    return {sequences, kept.xz.cols_from(0, m_.d_inner), values_of(conv_, workspace),
            values_of(conv_bias_, workspace), start.window};
  }

  SelectiveScanInputs<T, D> scan_inputs(const SequencesOn<D>& sequences, const BlockActivations<T, D>& kept,
                                        View x_dbl, const Start& start, bool gated, View A,
                                        WorkspaceOn<D>& workspace) const {
    SelectiveScanInputs<T, D> in;
    in.sequences = sequences;
    in.u = kept.u;
    in.dt = kept.dt;
    in.B = x_dbl.cols_from(m_.dt_rank, m_.d_state);
    in.C = x_dbl.cols_from(m_.dt_rank + m_.d_state, m_.d_state);
    if (gated) in.z = kept.xz.cols_from(m_.d_inner, m_.d_inner);
    in.A = A;
    in.D = values_of(d_, workspace);
    in.dt_bias = values_of(dt_bias_, workspace);
    in.initial_state = start.h;
    return in;
  }

  static constexpr bool goes_through_scan(const SelectiveScanGradients& w) {
    return w.u || w.dt || w.B || w.C || w.z || w.A != AGradient::None || w.D || w.dt_bias || w.initial_state;
  }

  /// What the policy at the scan sees.
  ScanInputs<const T, D> policy_inputs(const BlockActivations<T, D>& kept, View x_dbl,
                                       WorkspaceOn<D>& workspace) const {
    ScanInputs<const T, D> in{.u = kept.u, .dt = kept.dt, .dt_bias = values_of(dt_bias_, workspace)};
    if (x_dbl) {
      in.B = x_dbl.cols_from(m_.dt_rank, m_.d_state);
      in.C = x_dbl.cols_from(m_.dt_rank + m_.d_state, m_.d_state);
    }
    return in;
  }

  /// offset (M, E) += what the policy at the scan adds.
  void add_offset(const ScanInputs<const T, D>& in, const ScanMemory<T, D>& memory, Matrix offset,
                  WorkspaceOn<D>& workspace) const {
    if constexpr (detail::remembers<typename P::template policy_at<site::Scan>>) {
      offset_.add(in, memory, offset, workspace);
    } else {
      offset_.add(in, offset, workspace);
    }
  }

  /// Backward of what the policy at the scan added before the gate, from the gated output's gradient d_y:
  /// adds to its gradients and to those that the scan's backward has written.
  void offset_backward(const SequencesOn<D>& sequences, const BlockActivations<T, D>& kept, View x_dbl,
                       View d_y, const SelectiveScanGradientOutputs<T, D>& gradients,
                       WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    const View z = kept.xz.cols_from(m_.d_inner, m_.d_inner);
    const ScanInputs<const T, D> in = policy_inputs(kept, x_dbl, workspace);
    if (gradients.z) {
      const Matrix offset = zeros(d_y.rows, d_y.cols, workspace);
      add_offset(in, {sequences}, offset, workspace);
      const auto s = sigmoid(z);
      assign<AssignMode::Add>(gradients.z, d_y * offset * s * (T(1) + z * (T(1) - s)));
    }
    const Matrix d_offset = workspace.template matrix<T>(d_y.rows, d_y.cols);
    assign(d_offset, d_y * silu(z));
    const ScanInputs<T, D> d_in{gradients.u, gradients.dt, gradients.B, gradients.C, gradients.dt_bias};
    if constexpr (detail::remembers<typename P::template policy_at<site::Scan>>) {
      offset_.backward(in, sequences, d_offset, d_in, workspace);
    } else {
      offset_.backward(in, d_offset, d_in, workspace);
    }
  }

  /// The learned rows as a sequence of their own, with room for what their backward needs.
  struct PrefixRun {
    PrefixRun(const MambaSsm& ssm, WorkspaceOn<D>& workspace) {
      const std::size_t E = ssm.m_.d_inner;
      const std::size_t N = ssm.m_.d_state;
      const std::size_t length = ssm.prefix_.length();
      offsets[1] = length;
      sequences = place_sequences<D>({offsets}, workspace);
      const auto take = [&](std::size_t cols) { return workspace.template matrix<T>(length, cols); };
      kept.xz = take(2 * E);
      assign(kept.xz.cols_from(0, E), ssm.prefix_.values());
      assign(kept.xz.cols_from(E, E), 0);
      kept.u = take(E);
      kept.x_dbl = take(ssm.m_.dt_rank + 2 * N);
      kept.dt = take(E);
      kept.y = take(E);
      if (const std::size_t cols = ssm.x_proj_.kept_columns()) kept.x_proj = take(cols);
      if (const std::size_t cols = ssm.dt_proj_.kept_columns()) kept.dt_proj = take(cols);
      kept.checkpoints =
          workspace.template matrix<T>(1, Scan::template checkpoint_size<D>(sequences, E, N)).data;
    }
    PrefixRun(const PrefixRun&) = delete;
    PrefixRun& operator=(const PrefixRun&) = delete;

    std::array<std::size_t, 2> offsets{0, 0};
    SequencesOn<D> sequences;
    BlockActivations<T, D> kept;
  };

  MambaDimensions m_;
  View A_;
  Element<site::Conv1d> conv_;
  Element<site::ConvBias> conv_bias_;
  FusedLinear<T, D, Linear<site::XProjDt>, Linear<site::XProjB>, Linear<site::XProjC>> x_proj_;
  FusedLinear<T, D, Linear<site::DtProj>> dt_proj_;
  Element<site::DtBias> dt_bias_;
  typename ALogState<typename P::template policy_at<site::ALog>>::type a_log_;
  Element<site::D> d_;
  Element<site::H0> h0_;
  Element<site::Conv0> conv0_;
  typename PrefixState<typename P::template policy_at<site::Prefix>>::type prefix_;
  typename OffsetState<typename P::template policy_at<site::Scan>>::type offset_;
};

}  // namespace sdlora
