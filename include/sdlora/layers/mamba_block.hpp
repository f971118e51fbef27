#pragma once

#include "../adapters/place.hpp"
#include "../scan/selective_scan.hpp"
#include "../tensor/evaluate.hpp"
#include "conv1d.hpp"
#include "fused_linear.hpp"
#include "mamba_config.hpp"
#include "mamba_weights.hpp"
#include "rms_norm.hpp"

#include <cmath>
#include <cstddef>
#include <string>

namespace sdlora {

/// What a block's forward pass keeps for its backward pass. Views into the step's workspace; those
/// that the placement does not need are empty.
template <class T>
struct BlockActivations {
  MatrixView<T> x;      // (M, d), the block's input
  MatrixView<T> xz;     // (M, 2E), in_proj's output
  MatrixView<T> u;      // (M, E), the convolution's output
  MatrixView<T> dbc;    // (M, R + 2N), x_proj's output
  MatrixView<T> dt;     // (M, E), before bias and softplus
  MatrixView<T> y;      // (M, E), the gated scan's output
  T* states = nullptr;  // one (E, N) state per chunk of the scan
};

/// A Mamba block with its residual connection (Gu and Dao, arXiv 2312.00752, section 3.4):
/// x += out_proj(scan(silu(conv(in_proj_x(n)))) · silu(in_proj_z(n))), n = RMSNorm(x).
/// What it keeps for backward, and which gradients exist, follow from the placement's type.
template <Config C, Placement P, class T>
class MambaBlock {
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

  /// Which gradients a backward pass has to form, given that of the block's input is wanted or not.
  struct Needs {
    bool norm_input, x, u, dt_low, dt, to_B, to_C, z, scan;
    constexpr explicit Needs(bool input)
        : norm_input(input || learns<site::Norm>),
          x(norm_input || learns<site::InProjX> || learns<site::Prefix>),
          u(x || learns<site::Conv1d> || learns<site::ConvBias>),
          dt_low(u || learns<site::XProjDt>),
          dt(dt_low || learns<site::DtProj>),
          to_B(u || learns<site::XProjB>),
          to_C(u || learns<site::XProjC>),
          z(norm_input || learns<site::InProjZ>),
          scan(dt || to_B || to_C || z || learns<site::ALog> || learns<site::D> || learns<site::DtBias> ||
               learns<site::H0> || learns<site::Prefix>) {}
  };

  static constexpr AGradient a_gradient =
      !learns<site::ALog> ? AGradient::None
      : detail::selected_channels<typename P::template policy_at<site::ALog>> != 0
          ? AGradient::SelectedChannels
          : AGradient::All;
  static constexpr bool initial_state_learns = learns<site::H0> || learns<site::Prefix>;

  static constexpr SelectiveScanGradients scan_gradients(bool input, bool gate) {
    const Needs needs(input);
    return {.u = needs.u,
            .dt = needs.dt,
            .B = needs.to_B,
            .C = needs.to_C,
            .z = gate && needs.z,
            .A = a_gradient,
            .D = learns<site::D>,
            .dt_bias = learns<site::DtBias>,
            .initial_state = initial_state_learns};
  }

 public:
  /// A block on `weights` (which must outlive it); what learns is added to `store`.
  MambaBlock(const MambaWeights<const T>& weights, MatrixView<const T> A, const MambaDimensions& dimensions,
             std::size_t layer, ParameterStore<T>& store, const AdapterOptions& options,
             const LayerSelection* selection)
      : MambaBlock(Places{weights, dimensions, layer, options, adapter_sizes(options, dimensions), selection},
                   A, store) {}

  /// Whether anything learns in this layer: not so outside of the placement's layer ranges.
  bool active() const {
    return in_proj_.active() || x_proj_.active() || dt_proj_.active() || out_proj_.active() ||
           norm_.active() || conv_.active() || conv_bias_.active() || dt_bias_.active() || a_log_.active() ||
           d_.active() || h0_.active() || prefix_.active();
  }

  /// Takes the memory of what backward will need for M rows and the given sequences.
  static BlockActivations<T> keep(const MambaDimensions& m, const Sequences& sequences, bool input_gradient,
                                  Workspace& workspace) {
    const std::size_t M = sequences.rows();
    const std::size_t E = m.d_inner;
    const Needs needs(input_gradient);
    const auto take = [&](bool needed, std::size_t cols) {
      return needed ? MatrixView<T>{workspace.take<T>(M * cols).data(), M, cols} : MatrixView<T>{};
    };
    BlockActivations<T> kept;
    kept.x = take(needs.norm_input || learns<site::InProjX> || learns<site::InProjZ>, m.d_model);
    kept.xz = take(needs.scan, 2 * E);
    kept.u = take(needs.scan, E);
    kept.dbc = take(needs.scan, m.dt_rank + 2 * N);
    kept.dt = take(needs.scan, E);
    kept.y = take(learns<site::OutProj>, E);
    if (needs.scan) kept.states = workspace.take<T>(selective_scan_states_size(sequences, E, N)).data();
    return kept;
  }

  /// x (M, d) becomes the block's output. `kept` is filled where it has room, for backward. With a
  /// `state`, sequences continue from it and it is moved on; else they start at the learned or zero
  /// initial state.
  void forward(MatrixView<T> x, const Sequences& sequences, BlockActivations<T> kept, BlockState<T> state,
               const Pass& pass, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    const std::size_t M = x.rows;
    const std::size_t E = m_.d_inner;
    const auto room = [&](MatrixView<T>& view, std::size_t cols) {
      if (!view) view = {workspace.take<T>(M * cols).data(), M, cols};
    };
    if (kept.x) assign<AssignMode::Set>(kept.x, x);
    room(kept.xz, 2 * E);
    room(kept.u, E);
    room(kept.dbc, m_.dt_rank + 2 * N);
    room(kept.dt, E);
    room(kept.y, E);
    {
      const Workspace::Scope normed(workspace);
      const MatrixView<T> n{workspace.take<T>(M * m_.d_model).data(), M, m_.d_model};  // (M, d)
      rms_norm_forward(MatrixView<const T>(x), norm_.values().data, epsilon(), n);
      in_proj_.forward(n, kept.xz, pass, workspace);
    }
    Start start;
    if (state.window != nullptr) {
      start = {state.window, (K - 1) * E, state.h, E * N};
    } else {
      start = learned_start(pass, workspace);
    }
    T* window = nullptr;
    T* h = nullptr;
    if (state.window != nullptr) {
      window = workspace.take<T>(sequences.count() * (K - 1) * E).data();
      h = workspace.take<T>(sequences.count() * E * N).data();
    }
    ssm_forward(sequences, kept, start, /*gated=*/true, window, h, pass, workspace);
    if (state.window != nullptr) {
      std::copy_n(window, sequences.count() * (K - 1) * E, state.window);
      std::copy_n(h, sequences.count() * E * N, state.h);
    }
    const MatrixView<T> out{workspace.take<T>(M * m_.d_model).data(), M, m_.d_model};  // (M, d)
    out_proj_.forward(kept.y, out, pass, workspace);
    assign<AssignMode::Add>(x, out);
  }

  /// dx (M, d) holds the gradient of the block's output and, with `InputGradient`, becomes that of
  /// its input; gradients of what learns are added to the store.
  template <bool InputGradient>
  void backward(const Sequences& sequences, const BlockActivations<T>& kept, MatrixView<T> dx,
                const Pass& pass, Workspace& workspace) const {
    constexpr Needs needs(InputGradient);
    const Workspace::Scope scope(workspace);
    const std::size_t M = dx.rows;
    const std::size_t E = m_.d_inner;
    MatrixView<T> dy{};
    if constexpr (needs.scan) dy = {workspace.take<T>(M * E).data(), M, E};
    out_proj_.backward(kept.y, dx, dy, Write::Overwrite, pass, workspace);
    if constexpr (needs.scan) {
      const MatrixView<T> dxz{workspace.take<T>(M * 2 * E).data(), M, 2 * E};
      const Start start = learned_start(pass, workspace);
      StartGradient dstart{};
      if constexpr (initial_state_learns) {
        dstart.h = zeros(E * N, workspace);
        if constexpr (learns<site::Prefix>) dstart.window = zeros((K - 1) * E, workspace);
      }
      ssm_backward<scan_gradients(InputGradient, true), needs.x, /*Gated=*/true>(
          sequences, kept, start, dy, nullptr, nullptr, dxz, dstart, pass, workspace);
      if constexpr (initial_state_learns) learned_start_backward(dstart, pass, workspace);
      if constexpr (needs.norm_input || learns<site::InProjX> || learns<site::InProjZ>) {
        const MatrixView<T> n{workspace.take<T>(M * m_.d_model).data(), M, m_.d_model};
        rms_norm_forward(MatrixView<const T>(kept.x), norm_.values().data, epsilon(), n);
        MatrixView<T> dn{};
        if constexpr (needs.norm_input) dn = {workspace.take<T>(M * m_.d_model).data(), M, m_.d_model};
        in_proj_.backward(n, dxz, dn, Write::Overwrite, pass, workspace);
        if constexpr (needs.norm_input) {
          rms_norm_backward(MatrixView<const T>(kept.x), norm_.values().data, epsilon(),
                            MatrixView<const T>(dn), InputGradient ? dx : MatrixView<T>{},
                            norm_.gradient().data, workspace);
        }
      }
    }
  }

  /// The state before the first token: learned where h0 or a prefix is placed, else zero.
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
    norm_.add_change(target.norm, sign);
    in_proj_.add_change(target.in_proj, sign);
    conv_.add_change(target.conv, sign);
    conv_bias_.add_change(target.conv_bias, sign);
    x_proj_.add_change(target.x_proj, sign);
    dt_proj_.add_change(target.dt_proj, sign);
    dt_bias_.add_change(target.dt_bias, sign);
    a_log_.add_change(target.A_log, sign);
    d_.add_change(target.D, sign);
    out_proj_.add_change(target.out_proj, sign);
  }

 private:
  /// Builds what each site's state is told.
  struct Places {
    const MambaWeights<const T>& weights;
    const MambaDimensions& m;
    std::size_t layer;
    const AdapterOptions& options;
    AdapterSizes sizes;
    const LayerSelection* selection;

    template <Site S>
    SitePlace<T> at(MatrixView<const T> base, bool decay) const {
      return {.name = "layers." + std::to_string(layer) + "." + std::string(S::name),
              .site = S::name,
              .layer = layer,
              .active = options.active(S::name, layer),
              .base = base,
              .shape = site_shape<S>(m),
              .decay = decay,
              .options = &options,
              .sizes = sizes,
              .selection = selection};
    }
    MatrixView<const T> x_proj(std::size_t first, std::size_t count) const {
      return weights.x_proj.rows_from(first, count);
    }
  };

  /// Where sequences begin; null means zero. A stride of 0 shares one start among all.
  struct Start {
    const T* window = nullptr;
    std::size_t window_stride = 0;
    const T* h = nullptr;
    std::size_t h_stride = 0;
  };
  struct StartGradient {
    T* window = nullptr;  // (K − 1, E)
    T* h = nullptr;       // (E, N)
  };

  MambaBlock(const Places& p, MatrixView<const T> A, ParameterStore<T>& store)
      : m_(p.m),
        A_(A),
        base_A_log_(p.weights.A_log),
        norm_(store, p.template at<site::Norm>(p.weights.norm, false)),
        in_proj_(store,
                 {p.template at<site::InProjX>(p.weights.in_proj.rows_from(0, m_.d_inner), true),
                  p.template at<site::InProjZ>(p.weights.in_proj.rows_from(m_.d_inner, m_.d_inner), true)}),
        conv_(store, p.template at<site::Conv1d>(p.weights.conv, true)),
        conv_bias_(store, p.template at<site::ConvBias>(p.weights.conv_bias, false)),
        x_proj_(store, {p.template at<site::XProjDt>(p.x_proj(0, m_.dt_rank), true),
                        p.template at<site::XProjB>(p.x_proj(m_.dt_rank, N), true),
                        p.template at<site::XProjC>(p.x_proj(m_.dt_rank + N, N), true)}),
        dt_proj_(store, {p.template at<site::DtProj>(p.weights.dt_proj, true)}),
        dt_bias_(store, p.template at<site::DtBias>(p.weights.dt_bias, false)),
        a_log_(store, p.template at<site::ALog>(p.weights.A_log, false)),
        d_(store, p.template at<site::D>(p.weights.D, false)),
        out_proj_(store, {p.template at<site::OutProj>(p.weights.out_proj, true)}),
        h0_(store, p.template at<site::H0>({}, false)),
        prefix_(store, p.template at<site::Prefix>({}, true)) {}

  T epsilon() const { return static_cast<T>(m_.norm_epsilon); }

  static T* zeros(std::size_t count, Workspace& workspace) {
    T* p = workspace.take<T>(count).data();
    std::fill_n(p, count, T(0));
    return p;
  }

  /// A = −exp(A_log) with what has been learned; the base's where nothing has.
  MatrixView<const T> effective_A(Workspace& workspace) const {
    if constexpr (!learns<site::ALog>) {
      return A_;
    } else {
      if (!a_log_.active()) return A_;
      const MatrixView<T> A{workspace.take<T>(m_.d_inner * N).data(), m_.d_inner, N};
      if constexpr (a_gradient == AGradient::SelectedChannels) {
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
    in.B = kept.dbc.cols_from(m_.dt_rank, N);
    in.C = kept.dbc.cols_from(m_.dt_rank + N, N);
    if (gated) in.z = kept.xz.cols_from(m_.d_inner, m_.d_inner);
    in.A = A;
    in.D = d_.values().data;
    in.dt_bias = dt_bias_.values().data;
    in.initial_state = start.h;
    in.initial_stride = start.h_stride;
    return in;
  }

  /// From in_proj's output to the scan's: convolution, x_proj, dt_proj, scan.
  void ssm_forward(const Sequences& sequences, const BlockActivations<T>& kept, const Start& start,
                   bool gated, T* final_window, T* final_h, const Pass& pass, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    conv1d_silu_forward<K>(conv_inputs(sequences, kept, start), kept.u, final_window, workspace);
    x_proj_.forward(kept.u, kept.dbc, pass, workspace);
    dt_proj_.forward(kept.dbc.cols_from(0, m_.dt_rank), kept.dt, pass, workspace);
    selective_scan_forward<N>(scan_inputs(sequences, kept, start, gated, effective_A(workspace)), kept.y,
                              final_h, kept.states, workspace);
  }

  template <SelectiveScanGradients Wanted, bool InputGradient, bool Gated>
  void ssm_backward(const Sequences& sequences, const BlockActivations<T>& kept, const Start& start,
                    MatrixView<const T> dy, const T* dfinal_window, const T* dfinal_h, MatrixView<T> dxz,
                    const StartGradient& dstart, const Pass& pass, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    const std::size_t M = sequences.rows();
    const std::size_t E = m_.d_inner;
    const auto take = [&](std::size_t cols) {
      return MatrixView<T>{workspace.take<T>(M * cols).data(), M, cols};
    };

    SelectiveScanGradientOutputs<T> out;
    MatrixView<T> ddbc{};
    if constexpr (Wanted.u) out.u = take(E);
    if constexpr (Wanted.dt) out.dt = take(E);
    if constexpr (Wanted.dt || Wanted.B || Wanted.C) ddbc = take(m_.dt_rank + 2 * N);
    if constexpr (Wanted.B) out.B = ddbc.cols_from(m_.dt_rank, N);
    if constexpr (Wanted.C) out.C = ddbc.cols_from(m_.dt_rank + N, N);
    if constexpr (Wanted.z) out.z = dxz.cols_from(E, E);
    const auto vector = [&](const auto& slot) {  // where the site does not learn in this layer, nowhere
      return slot.active() ? slot.gradient().data : zeros(E, workspace);
    };
    if constexpr (Wanted.D) out.D = vector(d_);
    if constexpr (Wanted.dt_bias) out.dt_bias = vector(dt_bias_);
    if constexpr (Wanted.initial_state) out.initial_state = dstart.h;
    if constexpr (Wanted.A == AGradient::All) out.A = zeros(E * N, workspace);
    if constexpr (Wanted.A == AGradient::SelectedChannels) {
      out.channels = a_log_.channels_chosen();
      out.A = zeros(out.channels.size() * N, workspace);
    }
    const MatrixView<const T> A = effective_A(workspace);
    selective_scan_backward<N, Wanted>(scan_inputs(sequences, kept, start, Gated, A), kept.states, dy,
                                       dfinal_h, out, workspace);

    // A = −exp(A_log), so ∂/∂A_log = A · ∂/∂A.
    if constexpr (Wanted.A == AGradient::All) {
      if (a_log_.active()) {
        for (std::size_t i = 0; i < E * N; ++i) a_log_.gradient().data[i] += A.data[i] * out.A[i];
      }
    }
    if constexpr (Wanted.A == AGradient::SelectedChannels) {
      for (std::size_t c = 0; c < out.channels.size(); ++c) {
        for (std::size_t n = 0; n < N; ++n) out.A[c * N + n] *= A(out.channels[c], n);
      }
      if (a_log_.active()) a_log_.add_gradient(MatrixView<const T>(out.A, out.channels.size(), N));
    }

    if constexpr (Wanted.dt) {
      constexpr bool low = Wanted.u || learns<site::XProjDt>;
      dt_proj_.backward(kept.dbc.cols_from(0, m_.dt_rank), out.dt,
                        low ? ddbc.cols_from(0, m_.dt_rank) : MatrixView<T>{}, Write::Overwrite, pass,
                        workspace);
    }
    if constexpr (Wanted.dt || Wanted.B || Wanted.C) {
      x_proj_.backward(kept.u, ddbc, out.u, Write::Add, pass, workspace);
    }
    if constexpr (Wanted.u) {
      Conv1dGradients<T> gradients;
      if constexpr (InputGradient) gradients.x = dxz.cols_from(0, E);
      gradients.weight = conv_.gradient();
      gradients.bias = conv_bias_.gradient().data;
      gradients.window = dstart.window;
      conv1d_silu_backward<K>(conv_inputs(sequences, kept, start), MatrixView<const T>(out.u), dfinal_window,
                              gradients, workspace);
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
        ssm_forward(run.sequences(), run.kept, start, /*gated=*/false, window, h, pass, workspace);
        start.window = window;
        start.h = h;
      }
    }
    return start;
  }

  void learned_start_backward(const StartGradient& dstart, const Pass& pass, Workspace& workspace) const {
    const Workspace::Scope scope(workspace);
    StartGradient before = dstart;
    if constexpr (learns<site::Prefix>) {
      if (prefix_.active()) {
        Start start;
        if constexpr (learns<site::H0>) {
          if (h0_.active()) start.h = h0_.values().data;
        }
        // The prefix run is short: it is done again rather than kept.
        const PrefixRun run(*this, workspace);
        ssm_forward(run.sequences(), run.kept, start, /*gated=*/false, nullptr, nullptr, pass, workspace);
        const std::size_t length = prefix_.length();
        const std::size_t E = m_.d_inner;
        const MatrixView<T> dxz{workspace.take<T>(length * 2 * E).data(), length, 2 * E};
        const MatrixView<const T> dy{zeros(length * E, workspace), length, E};
        before = {nullptr, zeros(E * N, workspace)};
        ssm_backward<scan_gradients(true, false), true, /*Gated=*/false>(
            run.sequences(), run.kept, start, dy, dstart.window, dstart.h, dxz, before, pass, workspace);
        assign<AssignMode::Add>(prefix_.gradient(), dxz.cols_from(0, E));
      }
    }
    if constexpr (learns<site::H0>) {
      if (h0_.active()) {
        for (std::size_t i = 0; i < m_.d_inner * N; ++i) h0_.gradient().data[i] += before.h[i];
      }
    }
  }

  /// The learned rows as a sequence of their own, with room for what their backward needs.
  struct PrefixRun {
    PrefixRun(const MambaBlock& block, Workspace& workspace) {
      const std::size_t E = block.m_.d_inner;
      const std::size_t length = block.prefix_.length();
      offsets[1] = length;
      const auto take = [&](std::size_t cols) {
        return MatrixView<T>{workspace.take<T>(length * cols).data(), length, cols};
      };
      kept.xz = take(2 * E);
      for (std::size_t i = 0; i < length; ++i) {
        std::copy_n(block.prefix_.values().row(i), E, kept.xz.row(i));
        std::fill_n(kept.xz.row(i) + E, E, T(0));
      }
      kept.u = take(E);
      kept.dbc = take(block.m_.dt_rank + 2 * N);
      kept.dt = take(E);
      kept.y = take(E);
      kept.states = workspace.take<T>(selective_scan_states_size(sequences(), E, N)).data();
    }
    Sequences sequences() const { return {offsets}; }

    std::array<std::size_t, 2> offsets{0, 0};
    BlockActivations<T> kept;
  };

  MambaDimensions m_;
  MatrixView<const T> A_;
  MatrixView<const T> base_A_log_;
  Element<site::Norm> norm_;
  FusedLinear<T, Linear<site::InProjX>, Linear<site::InProjZ>> in_proj_;
  Element<site::Conv1d> conv_;
  Element<site::ConvBias> conv_bias_;
  FusedLinear<T, Linear<site::XProjDt>, Linear<site::XProjB>, Linear<site::XProjC>> x_proj_;
  FusedLinear<T, Linear<site::DtProj>> dt_proj_;
  Element<site::DtBias> dt_bias_;
  typename ALogState<typename P::template policy_at<site::ALog>>::type a_log_;
  Element<site::D> d_;
  FusedLinear<T, Linear<site::OutProj>> out_proj_;
  Element<site::H0> h0_;
  typename PrefixState<typename P::template policy_at<site::Prefix>>::type prefix_;
};

}  // namespace sdlora
