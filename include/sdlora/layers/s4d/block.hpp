#pragma once

#include "../../adapters/place.hpp"
#include "../../adapters/policy.hpp"
#include "../../tensor/column_sums.hpp"
#include "../../tensor/evaluate.hpp"
#include "../../tensor/functions.hpp"
#include "../../tensor/workspace.hpp"
#include "../detail/element.hpp"
#include "../detail/site_shape.hpp"
#include "../fused_linear.hpp"
#include "arguments.hpp"
#include "recurrence.hpp"
#include "tensors.hpp"

#include <cstddef>
#include <string>

namespace sdlora {

/// What an S4D block keeps for its backward pass; what is not needed is empty.
template <class T>
struct S4dActivations {
  MatrixView<T> u;         // (M, d), the block's input
  MatrixView<T> s;         // (M, d), the S4D layer's output
  MatrixView<T> y;         // (M, d), the block's output
  MatrixView<T> out_proj;  // the projection's output where a policy changes it
};

/// Tells the policies of one block's sites where they sit.
template <class T>
struct S4dPlaces {
  const S4dWeights<const T>& weights;
  const DeepS4Dimensions& dimensions;
  std::size_t layer;
  const AdapterOptions& options;
  const LayerSelection* selection;  ///< null where the placement selects nothing

  /// What the state at site S is told.
  template <Site S>
  SitePlace<T> at() const {
    return {.name = "layers." + std::to_string(layer) + "." + std::string(S::name),
            .site = site_info<S>(dimensions),
            .layer = layer,
            .active = options.active(S::name, layer),
            .base = site_values<S>(weights),
            .decay = detail::S4dSite<S>::decay,
            .options = &options,
            .selection = selection};
  }
};

/// One layer of a deep S4 model (Galim et al., arXiv 2410.09016): y = ReLU(W·S4D(u) + b), on the CPU. What of
/// it learns is said by the placement P; `Way` evaluates the S4D layer.
template <Placement P, class T, S4dEvaluation Way = S4dRecurrence>
class S4dBlock {
  template <class S>
  using Element = typename P::template policy_at<S>::template Element<T, Cpu>;
  using View = MatrixView<const T>;
  using Matrix = MatrixView<T>;
  using Gradient = detail::ElementGradient<T, Cpu>;
  using OutProj = typename P::template policy_at<site::OutProj>::template Linear<T, Cpu>;

  static constexpr bool ssm_learns = P::template learns_at<site::LogAReal> ||
                                     P::template learns_at<site::AImag> || P::template learns_at<site::C> ||
                                     P::template learns_at<site::LogDt> || P::template learns_at<site::D> ||
                                     P::template learns_at<site::H0>;

 public:
  /// A block on the weights of `places`, which must outlive it; what learns is added to `store`. Throws
  /// ArgumentError where a selection does not fit the placement.
  S4dBlock(const S4dPlaces<T>& places, ParameterStore<T>& store)
      : m_(places.dimensions),
        log_a_real_(store, places.template at<site::LogAReal>()),
        a_imag_(store, places.template at<site::AImag>()),
        c_(store, places.template at<site::C>()),
        log_dt_(store, places.template at<site::LogDt>()),
        d_(store, places.template at<site::D>()),
        h0_(store, places.template at<site::H0>()),
        out_proj_(store, {places.template at<site::OutProj>()}),
        bias_(store, places.template at<site::OutBias>()) {
    const auto require = [&]<class S, class State>(S, const State& state) {
      if constexpr (requires { state.gradient(); }) {
        if (!state.active()) return;
        const SiteShape shape = site_info<S>(m_).shape;
        detail::require_site_shape<T, Cpu>(state.values(), "values", shape, S::name, places.layer);
        detail::require_site_shape<T, Cpu>(state.gradient(), "a gradient", shape, S::name, places.layer);
      }
    };
    require(site::LogAReal{}, log_a_real_);
    require(site::AImag{}, a_imag_);
    require(site::C{}, c_);
    require(site::LogDt{}, log_dt_);
    require(site::D{}, d_);
    require(site::H0{}, h0_);
    require(site::OutBias{}, bias_);
  }

  /// Whether anything learns in this layer.
  bool active() const { return ssm_active() || out_proj_.active() || bias_.active(); }

  /// Takes from the workspace what backward will need of M rows; `input_gradient` is backward's.
  S4dActivations<T> keep(std::size_t M, bool input_gradient, Workspace& workspace) const {
    const auto take = [&](bool needed, std::size_t cols) {
      return needed ? workspace.matrix<T>(M, cols) : Matrix{};
    };
    return {.u = take(through_ssm(input_gradient), m_.d_model),
            .s = take(P::template policy_at<site::OutProj>::reads_input && out_proj_.active(), m_.d_model),
            .y = take(true, m_.d_model),
            .out_proj = take(out_proj_.kept_columns() > 0, out_proj_.kept_columns())};
  }

  /// x (M, d) becomes the block's output; `kept` is filled where it has room. With `state` (S, 2HN) sequences
  /// go on from it, and it is moved on; else they start at h0 where that learns, or at zero.
  void forward(Matrix x, const Sequences& sequences, const S4dActivations<T>& kept, Matrix state,
               const Pass& pass, Workspace& workspace) const {
    const WorkspaceScope scope(workspace);
    if (kept.u) assign(kept.u, x);
    const Matrix s = kept.s ? kept.s : workspace.matrix<T>(x.rows, x.cols);
    S4dInputs<T> in = inputs(x, sequences, workspace);
    if (state) {
      const Matrix before = workspace.matrix<T>(state.rows, state.cols);
      assign(before, state);
      in.initial_state = before;
    }
    Way::forward(in, s, state, workspace);
    out_proj_.forward(s, x, kept.out_proj, pass, workspace);
    assign(x, max(x + detail::values_of(bias_, workspace), T(0)));
    if (kept.y) assign(kept.y, x);
  }

  /// d (M, d) holds the gradient of the block's output and, with `input_gradient`, becomes that of its input;
  /// gradients of what learns are added to the store. For sequences that started at h0 or zero.
  void backward(Matrix d, const Sequences& sequences, const S4dActivations<T>& kept, bool input_gradient,
                const Pass& pass, Workspace& workspace) const {
    const WorkspaceScope scope(workspace);
    assign(d, select(kept.y > T(0), d, T(0)));
    const Gradient d_bias(bias_, 1, m_.d_model, workspace);
    if (d_bias.values()) assign_column_sums<AssignMode::Add>(d_bias.values(), d);
    d_bias.finish(bias_, workspace);
    const bool on = through_ssm(input_gradient);
    const Matrix d_s = on ? workspace.matrix<T>(d.rows, d.cols) : Matrix{};
    out_proj_.backward(kept.s, d, kept.out_proj, d_s, Write::Overwrite, pass, workspace);
    if (!on) return;
    const S4dInputs<T> in = inputs(kept.u, sequences, workspace);
    const std::size_t H = m_.d_model, N = m_.d_state;
    const Gradient d_a_real(log_a_real_, H, N, workspace), d_a_imag(a_imag_, H, N, workspace),
        d_c(c_, H, 2 * N, workspace), d_dt(log_dt_, 1, H, workspace), d_skip(d_, 1, H, workspace),
        d_h0(h0_, H, 2 * N, workspace);
    Way::backward(in, View(d_s),
                  S4dGradients<T>{.u = input_gradient ? d : Matrix{},
                                  .log_A_real = d_a_real.values(),
                                  .A_imag = d_a_imag.values(),
                                  .C = d_c.values(),
                                  .log_dt = d_dt.values(),
                                  .D = d_skip.values(),
                                  .initial_state = shared(d_h0.values(), sequences)},
                  workspace);
    d_a_real.finish(log_a_real_, workspace);
    d_a_imag.finish(a_imag_, workspace);
    d_c.finish(c_, workspace);
    d_dt.finish(log_dt_, workspace);
    d_skip.finish(d_, workspace);
    d_h0.finish(h0_, workspace);
  }

  /// target += sign · everything learned here that has a place among the weights.
  void add_change(const S4dWeights<T>& target, T sign) const {
    log_a_real_.add_change(target.log_A_real, sign);
    a_imag_.add_change(target.A_imag, sign);
    c_.add_change(target.C, sign);
    log_dt_.add_change(target.log_dt, sign);
    d_.add_change(target.D, sign);
    out_proj_.add_change(target.out_proj, sign);
    bias_.add_change(target.out_proj_bias, sign);
  }

  /// Fills the states (S, 2HN) before the first step: learned, or zero.
  void initial_state(Matrix state, Workspace& workspace) const {
    const WorkspaceScope scope(workspace);
    const View start = detail::values_of(h0_, workspace);
    for (std::size_t s = 0; s < state.rows; ++s) {
      if (start) {
        assign(state.rows_from(s, 1), View(start.data, 1, state.cols));
      } else {
        assign(state.rows_from(s, 1), 0);
      }
    }
  }

 private:
  bool ssm_active() const {
    return log_a_real_.active() || a_imag_.active() || c_.active() || log_dt_.active() || d_.active() ||
           h0_.active();
  }
  /// Whether backward goes through the S4D layer.
  bool through_ssm(bool input_gradient) const { return input_gradient || (ssm_learns && ssm_active()); }

  /// One (H, 2N) for every sequence.
  template <class U>
  static MatrixView<U> shared(MatrixView<U> state, const Sequences& sequences) {
    return {state.data, sequences.count(), state.rows * state.cols, 0};
  }

  S4dInputs<T> inputs(View u, const Sequences& sequences, Workspace& workspace) const {
    S4dInputs<T> in{.sequences = sequences,
                    .u = u,
                    .log_A_real = detail::values_of(log_a_real_, workspace),
                    .A_imag = detail::values_of(a_imag_, workspace),
                    .C = detail::values_of(c_, workspace),
                    .log_dt = detail::values_of(log_dt_, workspace),
                    .D = detail::values_of(d_, workspace)};
    if (h0_.active()) in.initial_state = shared(View(detail::values_of(h0_, workspace)), sequences);
    return in;
  }

  DeepS4Dimensions m_;
  Element<site::LogAReal> log_a_real_;
  Element<site::AImag> a_imag_;
  Element<site::C> c_;
  Element<site::LogDt> log_dt_;
  Element<site::D> d_;
  Element<site::H0> h0_;
  FusedLinear<T, Cpu, OutProj> out_proj_;
  Element<site::OutBias> bias_;
};

}  // namespace sdlora
