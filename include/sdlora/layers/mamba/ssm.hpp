#pragma once

#include "../../adapters/place.hpp"
#include "../../scan/selective/selective_scan.hpp"
#include "../../tensor/evaluate.hpp"
#include "../conv1d.hpp"
#include "../fused_linear.hpp"
#include "needs.hpp"
#include "places.hpp"
#include "weights.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace sdlora {

/// What a block's forward pass keeps for its backward pass. Views into the step's workspace; those
/// that the placement does not need are empty.
template <class T>
struct BlockActivations {
  MatrixView<T> x;           // (M, d), the block's input
  MatrixView<T> xz;          // (M, 2E), in_proj's output
  MatrixView<T> u;           // (M, E), the convolution's output
  MatrixView<T> x_dbl;       // (M, R + 2N), x_proj's output
  MatrixView<T> dt;          // (M, E), before bias and softplus
  MatrixView<T> y;           // (M, E), the gated scan's output
  T* checkpoints = nullptr;  // one (E, N) state per chunk of the scan
};

/// The state-space part of a Mamba block (Gu and Dao, arXiv 2312.00752, algorithm 2), between in_proj
/// and out_proj: convolution, the input-dependent dt, B and C, and the scan with its gate.
template <Config C, Placement P, class T>
class MambaSsm {
  static constexpr std::size_t N = C::config.d_state;
  static constexpr std::size_t K = C::config.d_conv;

  template <class S>
  static constexpr bool learns = P::template learns_at<S>;
  template <class S>
  using Linear = typename P::template policy_at<S>::template Linear<T>;
  template <class S>
  using Element = typename P::template policy_at<S>::template Element<T>;

  struct Nothing {
    Nothing(ParameterStore<T>&, const SitePlace<T>&) {}
    static constexpr bool active() { return false; }
  };
  template <class Policy, bool Selected = detail::selected_channels<Policy> != 0>
  struct ALogState {
    using type = typename Policy::template Element<T>;
  };
  template <class Policy>
  struct ALogState<Policy, true> {
    using type = typename Policy::template Selected<T>;
  };
  template <class Policy, bool Learns = Policy::learns>
  struct PrefixState {
    using type = Nothing;
  };
  template <class Policy>
  struct PrefixState<Policy, true> {
    using type = typename Policy::template Rows<T>;
  };

 public:
  /// Where sequences begin; null means zero. A stride of 0 shares one start among all.
  struct Start {
    const T* window = nullptr;
    std::size_t window_stride = 0;
    const T* h = nullptr;
    std::size_t h_stride = 0;
  };
  /// Where the gradient of a shared start is added up; null: not wanted.
  struct StartGradient {
    T* window = nullptr;  // (K − 1, E)
    T* h = nullptr;       // (E, N)
  };

  /// Zeros from the workspace.
  static T* zeros(std::size_t count, Workspace& workspace) {
    T* p = workspace.take<T>(count).data();
    std::fill_n(p, count, T(0));
    return p;
  }

  /// The parts on the block's weights; what learns is added to `store`.
  MambaSsm(const MambaPlaces<T>& p, MatrixView<const T> A, ParameterStore<T>& store)
      : m_(p.dimensions),
        A_(A),
        base_A_log_(p.weights.A_log),
        conv_(store, p.template at<site::Conv1d>(p.weights.conv, true)),
        conv_bias_(store, p.template at<site::ConvBias>(p.weights.conv_bias, false)),
        x_proj_(store, {p.template at<site::XProjDt>(p.weights.x_proj.rows_from(0, m_.dt_rank), true),
                        p.template at<site::XProjB>(p.weights.x_proj.rows_from(m_.dt_rank, N), true),
                        p.template at<site::XProjC>(p.weights.x_proj.rows_from(m_.dt_rank + N, N), true)}),
        dt_proj_(store, {p.template at<site::DtProj>(p.weights.dt_proj, true)}),
        dt_bias_(store, p.template at<site::DtBias>(p.weights.dt_bias, false)),
        a_log_(store, p.template at<site::ALog>(p.weights.A_log, false)),
        d_(store, p.template at<site::D>(p.weights.D, false)),
        h0_(store, p.template at<site::H0>({}, false)),
        prefix_(store, p.template at<site::Prefix>({}, true)) {
    p.template require_shape<site::Conv1d>(conv_);
    p.template require_shape<site::ConvBias>(conv_bias_);
    p.template require_shape<site::DtBias>(dt_bias_);
    p.template require_shape<site::ALog>(a_log_);
    p.template require_shape<site::D>(d_);
    p.template require_shape<site::H0>(h0_);
  }

  /// Whether anything learns in this layer's SSM.
  bool active() const {
    return conv_.active() || conv_bias_.active() || x_proj_.active() || dt_proj_.active() ||
           dt_bias_.active() || a_log_.active() || d_.active() || h0_.active() || prefix_.active();
  }

  /// From kept.xz to kept.y: convolution, x_proj, dt_proj, scan, its gate where `gated`. Writes the
  /// last window (S, K − 1, E) and state (S, E, N) of each sequence unless they are null.
  void forward(const Sequences& sequences, const BlockActivations<T>& kept, const Start& start, bool gated,
               T* final_window, T* final_h, const Pass& pass, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    conv1d_silu_forward<K>(conv_inputs(sequences, kept, start), kept.u, final_window, workspace);
    x_proj_.forward(kept.u, kept.x_dbl, pass, workspace);
    dt_proj_.forward(kept.x_dbl.cols_from(0, m_.dt_rank), kept.dt, pass, workspace);
    selective_scan_forward<N>(scan_inputs(sequences, kept, start, gated, effective_A(workspace)), kept.y,
                              states(final_h, sequences.count()), kept.checkpoints, workspace);
  }

  /// Backward of `forward`, from d_y (M, E) and, unless null, the gradients of what it left. Gradients of
  /// the activations go to d_xz (M, 2E) (of x with `InputGradient`), those of a shared start to d_start.
  template <SelectiveScanGradients Wanted, bool InputGradient, bool Gated>
  void backward(const Sequences& sequences, const BlockActivations<T>& kept, const Start& start,
                MatrixView<const T> d_y, const T* d_final_window, const T* d_final_h, MatrixView<T> d_xz,
                const StartGradient& d_start, const Pass& pass, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    const std::size_t M = sequences.rows();
    const std::size_t E = m_.d_inner;
    const auto take = [&](std::size_t cols) { return workspace.matrix<T>(M, cols); };

    SelectiveScanGradientOutputs<T> gradients;
    MatrixView<T> d_x_dbl{};
    if constexpr (Wanted.u) gradients.u = take(E);
    if constexpr (Wanted.dt) gradients.dt = take(E);
    if constexpr (Wanted.dt || Wanted.B || Wanted.C) d_x_dbl = take(m_.dt_rank + 2 * N);
    if constexpr (Wanted.B) gradients.B = d_x_dbl.cols_from(m_.dt_rank, N);
    if constexpr (Wanted.C) gradients.C = d_x_dbl.cols_from(m_.dt_rank + N, N);
    if constexpr (Wanted.z) gradients.z = d_xz.cols_from(E, E);
    const auto vector = [&](const auto& slot) {  // where the site does not learn in this layer, nowhere
      return slot.active() ? slot.gradient() : MatrixView<T>{zeros(E, workspace), 1, E};
    };
    if constexpr (Wanted.D) gradients.D = vector(d_);
    if constexpr (Wanted.dt_bias) gradients.dt_bias = vector(dt_bias_);
    if constexpr (Wanted.initial_state) gradients.initial_state = {d_start.h, sequences.count(), E * N, 0};
    if constexpr (Wanted.A == AGradient::All) gradients.A = {zeros(E * N, workspace), E, N};
    if constexpr (Wanted.A == AGradient::SelectedChannels) {
      gradients.channels = a_log_.channels_chosen();
      gradients.A = {zeros(gradients.channels.size() * N, workspace), gradients.channels.size(), N};
    }
    const MatrixView<const T> A = effective_A(workspace);
    selective_scan_backward<N, Wanted>(scan_inputs(sequences, kept, start, Gated, A), kept.checkpoints, d_y,
                                       states(d_final_h, sequences.count()), gradients, workspace);

    // A = −exp(A_log), so ∂/∂A_log = A · ∂/∂A.
    if constexpr (Wanted.A == AGradient::All) {
      if (a_log_.active()) {
        for (std::size_t i = 0; i < E * N; ++i) a_log_.gradient().data[i] += A.data[i] * gradients.A.data[i];
      }
    }
    if constexpr (Wanted.A == AGradient::SelectedChannels) {
      for (std::size_t c = 0; c < gradients.channels.size(); ++c) {
        for (std::size_t n = 0; n < N; ++n) gradients.A(c, n) *= A(gradients.channels[c], n);
      }
      if (a_log_.active()) a_log_.add_gradient(gradients.A);
    }

    if constexpr (Wanted.dt) {
      constexpr bool low = Wanted.u || learns<site::XProjDt>;
      dt_proj_.backward(kept.x_dbl.cols_from(0, m_.dt_rank), gradients.dt,
                        low ? d_x_dbl.cols_from(0, m_.dt_rank) : MatrixView<T>{}, Write::Overwrite, pass,
                        workspace);
    }
    if constexpr (Wanted.dt || Wanted.B || Wanted.C) {
      x_proj_.backward(kept.u, d_x_dbl, gradients.u, Write::Add, pass, workspace);
    }
    if constexpr (Wanted.u) {
      Conv1dGradients<T> conv_gradients;
      if constexpr (InputGradient) conv_gradients.x = d_xz.cols_from(0, E);
      conv_gradients.weight = conv_.gradient();
      conv_gradients.bias = conv_bias_.gradient().data;
      conv_gradients.window = d_start.window;
      conv1d_silu_backward<K>(conv_inputs(sequences, kept, start), gradients.u, d_final_window,
                              conv_gradients, workspace);
    }
  }

  /// The start that the placement learns, shared by all sequences: h0, moved on by the prefix.
  Start learned_start(const Pass& pass, Workspace& workspace) const {
    Start start;
    if constexpr (learns<site::H0>) {
      if (h0_.active()) start.h = h0_.values().data;
    }
    if constexpr (learns<site::Prefix>) {
      if (prefix_.active()) {
        T* window = workspace.take<T>((K - 1) * m_.d_inner).data();
        T* h = workspace.take<T>(m_.d_inner * N).data();
        const PrefixRun run(*this, workspace);
        forward(run.sequences(), run.kept, start, /*gated=*/false, window, h, pass, workspace);
        start.window = window;
        start.h = h;
      }
    }
    return start;
  }

  /// Backward of `learned_start`, from the gradient of what it gave.
  void learned_start_backward(const StartGradient& d_start, const Pass& pass, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    StartGradient before = d_start;
    if constexpr (learns<site::Prefix>) {
      if (prefix_.active()) {
        Start start;
        if constexpr (learns<site::H0>) {
          if (h0_.active()) start.h = h0_.values().data;
        }
        // The prefix run is short: it is done again rather than kept.
        const PrefixRun run(*this, workspace);
        forward(run.sequences(), run.kept, start, /*gated=*/false, nullptr, nullptr, pass, workspace);
        const std::size_t length = prefix_.length();
        const std::size_t E = m_.d_inner;
        const MatrixView<T> d_xz = workspace.matrix<T>(length, 2 * E);
        const MatrixView<const T> d_y{zeros(length * E, workspace), length, E};
        before = {nullptr, zeros(E * N, workspace)};
        backward<MambaNeeds<P>(true).scan_gradients(/*gate=*/false), true, /*Gated=*/false>(
            run.sequences(), run.kept, start, d_y, d_start.window, d_start.h, d_xz, before, pass, workspace);
        assign<AssignMode::Add>(prefix_.gradient(), d_xz.cols_from(0, E));
      }
    }
    if constexpr (learns<site::H0>) {
      if (h0_.active()) {
        for (std::size_t i = 0; i < m_.d_inner * N; ++i) h0_.gradient().data[i] += before.h[i];
      }
    }
  }

  /// Fills the state before the first token: learned where h0 or a prefix is placed, else zero.
  void initial_state(std::size_t sequences, BlockState<T> state, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    const Start start = learned_start(Pass{}, workspace);
    const std::size_t window = (K - 1) * m_.d_inner;
    const std::size_t h = m_.d_inner * N;
    for (std::size_t s = 0; s < sequences; ++s) {
      if (start.window != nullptr) {
        std::copy_n(start.window, window, state.window + s * window);
      } else {
        std::fill_n(state.window + s * window, window, T(0));
      }
      if (start.h != nullptr) {
        std::copy_n(start.h, h, state.h + s * h);
      } else {
        std::fill_n(state.h + s * h, h, T(0));
      }
    }
  }

  /// target += sign · everything learned here that has a place among the weights.
  void add_change(const MambaWeights<T>& target, T sign) const {
    conv_.add_change(target.conv, sign);
    conv_bias_.add_change(target.conv_bias, sign);
    x_proj_.add_change(target.x_proj, sign);
    dt_proj_.add_change(target.dt_proj, sign);
    dt_bias_.add_change(target.dt_bias, sign);
    a_log_.add_change(target.A_log, sign);
    d_.add_change(target.D, sign);
  }

 private:
  /// The (E, N) states of sequences as a matrix, absent where they are.
  template <class U>
  MatrixView<U> states(U* h, std::size_t sequences) const {
    return h == nullptr ? MatrixView<U>{} : MatrixView<U>{h, sequences, m_.d_inner * N};
  }

  /// A = −exp(A_log) with what has been learned; the base's where nothing has.
  MatrixView<const T> effective_A(Workspace& workspace) const {
    if constexpr (!learns<site::ALog>) {
      return A_;
    } else {
      if (!a_log_.active()) return A_;
      const MatrixView<T> A = workspace.matrix<T>(m_.d_inner, N);
      if constexpr (MambaNeeds<P>::a_gradient == AGradient::SelectedChannels) {
        std::copy_n(base_A_log_.data, m_.d_inner * N, A.data);
        a_log_.add_change(A, T(1));
        // Only the chosen rows differ from the base's A.
        for (const std::size_t c : a_log_.channels_chosen()) {
          for (std::size_t n = 0; n < N; ++n) A(c, n) = -std::exp(A(c, n));
        }
        std::size_t next = 0;
        const auto chosen = a_log_.channels_chosen();
        for (std::size_t c = 0; c < m_.d_inner; ++c) {
          if (next < chosen.size() && chosen[next] == c) {
            ++next;
          } else {
            std::copy_n(A_.row(c), N, A.row(c));
          }
        }
      } else {
        for (std::size_t i = 0; i < m_.d_inner * N; ++i) A.data[i] = -std::exp(a_log_.values().data[i]);
      }
      return A;
    }
  }

  Conv1dInputs<T> conv_inputs(const Sequences& sequences, const BlockActivations<T>& kept,
                              const Start& start) const {
    return {sequences,      kept.xz.cols_from(0, m_.d_inner),
            conv_.values(), conv_bias_.values().data,
            start.window,   start.window_stride};
  }

  SelectiveScanInputs<T> scan_inputs(const Sequences& sequences, const BlockActivations<T>& kept,
                                     const Start& start, bool gated, MatrixView<const T> A) const {
    SelectiveScanInputs<T> in;
    in.sequences = sequences;
    in.u = kept.u;
    in.dt = kept.dt;
    in.B = kept.x_dbl.cols_from(m_.dt_rank, N);
    in.C = kept.x_dbl.cols_from(m_.dt_rank + N, N);
    if (gated) in.z = kept.xz.cols_from(m_.d_inner, m_.d_inner);
    in.A = A;
    in.D = d_.values();
    in.dt_bias = dt_bias_.values();
    if (start.h != nullptr) {
      in.initial_state = {start.h, sequences.count(), m_.d_inner * N, start.h_stride};
    }
    return in;
  }

  /// The learned rows as a sequence of their own, with room for what their backward needs.
  struct PrefixRun {
    PrefixRun(const MambaSsm& ssm, Workspace& workspace) {
      const std::size_t E = ssm.m_.d_inner;
      const std::size_t length = ssm.prefix_.length();
      offsets[1] = length;
      const auto take = [&](std::size_t cols) { return workspace.matrix<T>(length, cols); };
      kept.xz = take(2 * E);
      for (std::size_t i = 0; i < length; ++i) {
        std::copy_n(ssm.prefix_.values().row(i), E, kept.xz.row(i));
        std::fill_n(kept.xz.row(i) + E, E, T(0));
      }
      kept.u = take(E);
      kept.x_dbl = take(ssm.m_.dt_rank + 2 * N);
      kept.dt = take(E);
      kept.y = take(E);
      kept.checkpoints = workspace.take<T>(selective_scan_checkpoint_size(sequences(), E, N)).data();
    }
    Sequences sequences() const { return {offsets}; }

    std::array<std::size_t, 2> offsets{0, 0};
    BlockActivations<T> kept;
  };

  MambaDimensions m_;
  MatrixView<const T> A_;
  MatrixView<const T> base_A_log_;
  Element<site::Conv1d> conv_;
  Element<site::ConvBias> conv_bias_;
  FusedLinear<T, Linear<site::XProjDt>, Linear<site::XProjB>, Linear<site::XProjC>> x_proj_;
  FusedLinear<T, Linear<site::DtProj>> dt_proj_;
  Element<site::DtBias> dt_bias_;
  typename ALogState<typename P::template policy_at<site::ALog>>::type a_log_;
  Element<site::D> d_;
  Element<site::H0> h0_;
  typename PrefixState<typename P::template policy_at<site::Prefix>>::type prefix_;
};

}  // namespace sdlora
