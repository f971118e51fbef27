#pragma once

#include "../../adapters/place.hpp"
#include "../../tensor/evaluate.hpp"
#include "../fused_linear.hpp"
#include "../rms_norm.hpp"
#include "config.hpp"
#include "needs.hpp"
#include "places.hpp"
#include "ssm.hpp"
#include "state.hpp"
#include "weights.hpp"

#include <cstddef>

namespace sdlora {

/// A Mamba block with its residual connection (Gu and Dao, arXiv 2312.00752, section 3.4):
/// x += out_proj(scan(silu(conv(in_proj_x(n)))) · silu(in_proj_z(n))), n = RMSNorm(x).
/// What it keeps for backward, and which gradients exist, follow from the placement's type.
template <Config C, Placement P, class T, class D = Cpu, class Scan = Fused>
class MambaBlock {
  template <class S>
  static constexpr bool learns = P::template learns_at<S>;
  template <class S>
  using Linear = typename P::template policy_at<S>::template Linear<T, D>;
  template <class S>
  using Element = typename P::template policy_at<S>::template Element<T, D>;

  using Needs = MambaNeeds<P>;
  using Ssm = MambaSsm<C, P, T, D, Scan>;
  using Matrix = MatrixView<T, D>;

 public:
  /// A block on `weights` and A = −exp(A_log) (E, N), which must outlive it; what learns is added to
  /// `store`. `selection` is this layer's, null where the placement selects nothing. Throws
  /// ArgumentError where it does not fit the placement.
  MambaBlock(const MambaWeights<const T, D>& weights, MatrixView<const T, D> A,
             const MambaDimensions& dimensions, std::size_t layer, ParameterStore<T, D>& store,
             const AdapterOptions& options, const LayerSelection* selection)
      : MambaBlock(MambaPlaces<T, D>{weights, dimensions, layer, options, selection}, A, store) {}

  /// Whether anything learns in this layer: not so outside of the placement's layer ranges.
  bool active() const { return norm_.active() || in_proj_.active() || ssm_.active() || out_proj_.active(); }

  /// Takes from the workspace what backward will need for these sequences. `input_gradient` is
  /// backward's `InputGradient`.
  static BlockActivations<T, D> keep(const MambaDimensions& m, const Sequences& sequences,
                                     bool input_gradient, WorkspaceOn<D>& workspace) {
    const std::size_t M = sequences.rows();
    const std::size_t E = m.d_inner;
    const std::size_t N = m.d_state;
    const Needs needs(input_gradient);
    const auto take = [&](bool needed, std::size_t cols) {
      return needed ? workspace.template matrix<T>(M, cols) : Matrix{};
    };
    BlockActivations<T, D> kept;
    kept.x = take(needs.in_proj_input(), m.d_model);
    constexpr ScanReads offset = Needs::scan_reads;
    kept.xz = take(needs.gated_output(), 2 * E);
    kept.u = take(needs.scan || offset.u, E);
    kept.x_dbl = take(needs.scan || offset.B || offset.C, m.dt_rank + 2 * N);
    kept.dt = take(needs.scan || offset.dt, E);
    kept.y = take(Needs::template reads<site::OutProj>, E);
    const auto outputs = [&](std::size_t cols) { return take(cols != 0, cols); };
    kept.in_proj = outputs(kept_outputs<P, site::InProjX, site::InProjZ>(m));
    kept.x_proj = outputs(kept_outputs<P, site::XProjDt, site::XProjB, site::XProjC>(m));
    kept.dt_proj = outputs(kept_outputs<P, site::DtProj>(m));
    kept.out_proj = outputs(kept_outputs<P, site::OutProj>(m));
    if (needs.scan) {
      const std::size_t count = Scan::template checkpoint_size<D>(sequences, E, N);
      kept.checkpoints = workspace.template matrix<T>(1, count).data;
    }
    return kept;
  }

  /// x (M, d) becomes the block's output. `kept` is filled where it has room, for backward. With a
  /// `state`, sequences continue from it and it is moved on; else they start at the learned or zero
  /// initial state.
  void forward(Matrix x, const SequencesOn<D>& sequences, BlockActivations<T, D> kept,
               const BlockState<T, D>& state, const Pass& pass, WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    const std::size_t M = x.rows;
    const std::size_t E = m_.d_inner;
    const auto room = [&](Matrix& view, std::size_t cols) {
      if (!view) view = workspace.template matrix<T>(M, cols);
    };
    if (kept.x) assign(kept.x, x);
    room(kept.xz, 2 * E);
    room(kept.u, E);
    room(kept.x_dbl, m_.dt_rank + 2 * m_.d_state);
    room(kept.dt, E);
    room(kept.y, E);
    {
      const WorkspaceScope normed(workspace);
      const Matrix n = workspace.template matrix<T>(M, m_.d_model);  // (M, d)
      rms_norm_forward(x, norm_.values(), epsilon(), n);
      in_proj_.forward(n, kept.xz, kept.in_proj, pass, workspace);
      if (in_proj_bias_) assign<AssignMode::Add>(kept.xz, in_proj_bias_);
    }
    if (state.h) {
      // Not in place: the scan may not overwrite where it began.
      const BlockState<T, D> moved{
          workspace.template matrix<T>(state.window.rows, state.window.cols),
          workspace.template matrix<T>(state.h.rows, state.h.cols),
          state.of_policy ? workspace.template matrix<T>(state.of_policy.rows, state.of_policy.cols)
                          : Matrix{}};
      ssm_.forward(sequences, kept, {state.window, state.h, state.of_policy}, /*gated=*/true, moved, pass,
                   workspace);
      assign(state.window, moved.window);
      assign(state.h, moved.h);
      if (moved.of_policy) assign(state.of_policy, moved.of_policy);
    } else {
      ssm_.forward(sequences, kept, ssm_.learned_start(sequences, pass, workspace), /*gated=*/true, {}, pass,
                   workspace);
    }
    const Matrix out = workspace.template matrix<T>(M, m_.d_model);  // (M, d)
    out_proj_.forward(kept.y, out, kept.out_proj, pass, workspace);
    if (out_proj_bias_) assign<AssignMode::Add>(out, out_proj_bias_);
    assign<AssignMode::Add>(x, out);
  }

  /// d_x (M, d) holds the gradient of the block's output and, with `InputGradient`, becomes that of
  /// its input; gradients of what learns are added to the store. For sequences that started at the
  /// learned or zero initial state, with what `forward` put in `kept`.
  template <bool InputGradient>
  void backward(const SequencesOn<D>& sequences, const BlockActivations<T, D>& kept, Matrix d_x,
                const Pass& pass, WorkspaceOn<D>& workspace) const {
    constexpr Needs needs(InputGradient);
    const WorkspaceScope scope(workspace);
    const std::size_t M = d_x.rows;
    const std::size_t E = m_.d_inner;
    Matrix d_y{};
    if constexpr (needs.gated_output()) d_y = workspace.template matrix<T>(M, E);
    out_proj_.backward(kept.y, d_x, kept.out_proj, d_y, Write::Overwrite, pass, workspace);
    if constexpr (needs.gated_output()) {
      const Matrix d_xz = workspace.template matrix<T>(M, 2 * E);
      const typename Ssm::Start start = ssm_.learned_start(sequences, pass, workspace);
      typename Ssm::StartGradient d_start{};
      if constexpr (Needs::initial_state) {
        d_start.h = Ssm::zeros(1, E * m_.d_state, workspace);
      }
      if constexpr (Needs::initial_window) d_start.window = Ssm::zeros(1, (m_.d_conv - 1) * E, workspace);
      ssm_.template backward<needs.scan_gradients(/*gate=*/true), needs.x, /*Gated=*/true>(
          sequences, kept, start, d_y, {}, d_xz, d_start, pass, workspace);
      if constexpr (Needs::initial_state || Needs::initial_window) {
        ssm_.learned_start_backward(d_start, pass, workspace);
      }
      if constexpr (needs.in_proj()) {
        Matrix n{};
        if constexpr (needs.in_proj_input()) {
          n = workspace.template matrix<T>(M, m_.d_model);
          rms_norm_forward(kept.x, norm_.values(), epsilon(), n);
        }
        Matrix d_n{};
        if constexpr (needs.norm_input) d_n = workspace.template matrix<T>(M, m_.d_model);
        in_proj_.backward(n, d_xz, kept.in_proj, d_n, Write::Overwrite, pass, workspace);
        if constexpr (needs.norm_input) {
          const MatrixView<const T, D> x = kept.x;
          rms_norm_backward(x, norm_.values(), epsilon(), d_n, InputGradient ? d_x : Matrix{},
                            norm_.gradient(), workspace);
        }
      }
    }
  }

  /// Fills the state before the first token: learned where h0, conv0 or a prefix is placed, else zero.
  void initial_state(const Sequences& sequences, const BlockState<T, D>& state,
                     WorkspaceOn<D>& workspace) const {
    ssm_.initial_state(sequences, state, workspace);
  }

  /// target += sign · everything learned here that has a place among the weights.
  void add_change(const MambaWeights<T, D>& target, T sign) const {
    norm_.add_change(target.norm, sign);
    in_proj_.add_change(target.in_proj, sign);
    ssm_.add_change(target, sign);
    out_proj_.add_change(target.out_proj, sign);
  }

 private:
  MambaBlock(const MambaPlaces<T, D>& p, MatrixView<const T, D> A, ParameterStore<T, D>& store)
      : m_(p.dimensions),
        in_proj_bias_(p.weights.in_proj_bias),
        out_proj_bias_(p.weights.out_proj_bias),
        norm_(store, p.template at<site::Norm>()),
        in_proj_(store, {p.template at<site::InProjX>(), p.template at<site::InProjZ>()}),
        ssm_(p, A, store),
        out_proj_(store, {p.template at<site::OutProj>()}) {
    p.template require_shape<site::Norm>(norm_);
  }

  T epsilon() const { return static_cast<T>(m_.norm_epsilon); }

  MambaDimensions m_;
  MatrixView<const T, D> in_proj_bias_, out_proj_bias_;  // absent where the model has none
  Element<site::Norm> norm_;
  FusedLinear<T, D, Linear<site::InProjX>, Linear<site::InProjZ>> in_proj_;
  Ssm ssm_;
  FusedLinear<T, D, Linear<site::OutProj>> out_proj_;
};

}  // namespace sdlora
