#pragma once

#include "../adapters/describe.hpp"
#include "../adapters/options.hpp"
#include "../adapters/parameter_store.hpp"
#include "../adapters/place.hpp"
#include "../adapters/selection.hpp"
#include "../error.hpp"
#include "../layers/fused_linear.hpp"
#include "../layers/s4d/block.hpp"
#include "../layers/s4d/tensors.hpp"
#include "../tensor/column_sums.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/sequences.hpp"
#include "../tensor/workspace.hpp"
#include "deep_s4_base.hpp"
#include "loss.hpp"
#include "sequence_losses.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdlora {

namespace detail {

/// How many values learn in a deep S4 model at the site S.
template <Placement P, Site S>
std::size_t s4_count_at(const DeepS4Dimensions& m, const AdapterOptions& options, std::size_t layers) {
  using Policy = typename P::template policy_at<S>;
  std::size_t active = 0;
  for (std::size_t l = 0; l < layers; ++l) active += options.active(S::name, l);
  if (active == 0 || !Policy::learns) return 0;
  const SiteInfo site = site_info<S>(m);
  return active * Policy::count(site, resolved<Policy>(options.of<typename Policy::options>(S::name), site));
}

template <Placement P, class... Layer, class... Model>
std::size_t s4_count(SiteList<Layer...>, SiteList<Model...>, const DeepS4Dimensions& m,
                     const AdapterOptions& options) {
  return (std::size_t{0} + ... + s4_count_at<P, Layer>(m, options, m.n_layer)) +
         (std::size_t{0} + ... + s4_count_at<P, Model>(m, options, 1));
}

template <class... Sites>
constexpr bool s4_has_sites(SiteList<Sites...>) {
  return (true && ... && S4dSite<Sites>::exists);
}

/// Throws ArgumentError where a selection or a layer range is none of this model's.
template <Placement P, class... Sites>
void require_s4_options(SiteList<Sites...>, const DeepS4Dimensions& m, const Selection& selection,
                        const AdapterOptions& options) {
  const auto refuse = [](const std::string& what) { throw ArgumentError("DeepS4Model: " + what); };
  if (P::selects != !selection.layers.empty()) {
    refuse(P::selects
               ? "this placement selects dimensions: expected a Selection, found none; give one"
               : "this placement selects no dimensions: expected no Selection, found one; leave it out");
  }
  if (P::selects) {
    if (selection.layers.size() != m.n_layer || selection.d_inner != m.d_model ||
        selection.d_state != m.d_state) {
      refuse("expected a selection for " + std::to_string(m.n_layer) + " layers of " +
             std::to_string(m.d_model) + " channels and " + std::to_string(m.d_state) + " states, found " +
             std::to_string(selection.layers.size()) + " of " + std::to_string(selection.d_inner) + " and " +
             std::to_string(selection.d_state) + "; make it for this base");
    }
    selection.validate();
  }
  const auto learns = [](std::string_view site) {
    return (false || ... || (P::template learns_at<Sites> && site == Sites::name));
  };
  for (const LayerRange& range : options.layers) {
    const std::size_t last = range.last == LayerRange::to_the_end ? m.n_layer : range.last;
    if (!learns(range.site) || range.first >= last || last > m.n_layer) {
      refuse("the layer range [" + std::to_string(range.first) + ", " + std::to_string(last) + ") of site '" +
             range.site + "' names no site that this placement trains, or layers beyond the " +
             std::to_string(m.n_layer) + " there are; correct it");
    }
  }
  for (const AdapterOptions::Value& value : options.values()) {
    if (value.site.empty() || learns(value.site) ||
        (P::template learns_at<site::Head> && value.site == site::Head::name)) {
      continue;
    }
    refuse("the options say " + value.name + " for site '" + value.site +
           "', which this placement does not train; name a site that it does");
  }
}

template <class T>
const DeepS4Base<T>& required_s4_base(const std::shared_ptr<const DeepS4Base<T>>& base) {
  if (!base) throw ArgumentError("DeepS4Model: expected a base, found a null pointer; make a DeepS4Base");
  return *base;
}

}  // namespace detail

/// How many values of a deep S4 model learn under a placement. Throws ArgumentError where an option makes no
/// sense.
template <Placement P>
std::size_t trainable_parameters(const DeepS4Dimensions& m, const AdapterOptions& options = {}) {
  return detail::s4_count<P>(DeepS4LayerSites{}, DeepS4ModelSites{}, m, options);
}

/// A deep S4 model on sequences of vectors (Galim et al., arXiv 2410.09016, section 6.1): layers of S4D, a
/// projection and ReLU, one behind the other; then what SequenceOutput says of each sequence, and a linear
/// head where the base has one. It runs on the CPU, by the evaluation `Way` of the S4D layer. What learns is
/// said by the placement P and adds up in one store, as in MambaModel; everything else is the base's.
template <Placement P, class T = float, S4dEvaluation Way = S4dRecurrence>
class DeepS4Model {
  static_assert(detail::s4_has_sites(typename P::sites{}),
                "sdlora::DeepS4Model: this placement names a site that a deep S4 model does not have; it has "
                "LogAReal, AImag, C, LogDt, D, H0, OutProj, OutBias, Head and HeadBias");
  using Block = S4dBlock<P, T, Way>;
  using View = MatrixView<const T>;
  using Matrix = MatrixView<T>;
  template <class S>
  using Policy = typename P::template policy_at<S>;
  using Head = FusedLinear<T, Cpu, typename Policy<site::Head>::template Linear<T, Cpu>>;
  using HeadBias = typename Policy<site::HeadBias>::template Element<T, Cpu>;
  static constexpr bool head_learns =
      P::template learns_at<site::Head> || P::template learns_at<site::HeadBias>;

 public:
  using value_type = T;
  using placement_type = P;
  using base_type = DeepS4Base<T>;

  /// A model on `base`, at first the base's own function. Throws ArgumentError where an option does not fit.
  explicit DeepS4Model(std::shared_ptr<const base_type> base, AdapterOptions options = {})
      : DeepS4Model(std::move(base), Selection{}, std::move(options)) {}

  /// The same for a placement that selects dimensions.
  DeepS4Model(std::shared_ptr<const base_type> base, Selection selection, AdapterOptions options = {})
      : base_((static_cast<void>(detail::required_s4_base(base)), std::move(base))),
        options_(std::move(options)),
        selection_(std::move(selection)),
        store_(checked_count()),
        head_(store_, {place<site::Head>()}),
        head_bias_(store_, place<site::HeadBias>()) {
    const DeepS4Dimensions& m = dimensions();
    first_learning_ = m.n_layer;
    blocks_.reserve(m.n_layer);
    for (std::size_t l = 0; l < m.n_layer; ++l) {
      const S4dWeights<const T> weights = base_->layer(l);
      blocks_.emplace_back(
          S4dPlaces<T>{weights, m, l, options_, selection_.layers.empty() ? nullptr : &selection_.layers[l]},
          store_);
      if (first_learning_ == m.n_layer && blocks_.back().active()) first_learning_ = l;
    }
    if (store_.size() != store_.capacity()) {
      throw ShapeError("DeepS4Model: the policies count " + std::to_string(store_.capacity()) +
                       " values to learn and add " + std::to_string(store_.size()) +
                       "; correct their count() or what their states add");
    }
    kept_.resize(m.n_layer);
  }

  DeepS4Model(DeepS4Model&&) = default;

  const DeepS4Dimensions& dimensions() const { return base_->dimensions(); }
  const std::shared_ptr<const base_type>& base() const { return base_; }
  const AdapterOptions& options() const { return options_; }
  const Selection& selection() const { return selection_; }
  std::string placement() const { return describe<P>(); }
  ParameterStore<T>& parameters() { return store_; }
  const ParameterStore<T>& parameters() const { return store_; }
  std::size_t total_parameters() const { return sdlora::total_parameters(dimensions()); }

  /// Rows and columns of the outputs for these sequences.
  std::size_t output_rows(const Sequences& sequences) const {
    return dimensions().of == SequenceOutput::Every ? sequences.rows() : sequences.count();
  }
  std::size_t output_columns() const {
    return dimensions().outputs == 0 ? dimensions().d_model : dimensions().outputs;
  }

  /// The outputs y (output_rows, output_columns) of packed sequences x (M, d). Throws ShapeError or
  /// ArgumentError where something does not fit.
  void forward(View x, const Sequences& sequences, Matrix y,
               Workspace& workspace = thread_workspace()) const {
    run(x, sequences, y, {}, workspace);
  }

  /// The same, reading on from `state` (S, n_layer·2HN), which is moved on.
  void forward(View x, const Sequences& sequences, Matrix y, Matrix state,
               Workspace& workspace = thread_workspace()) const {
    detail::require_s4d_view("a state", state, sequences.count(), dimensions().n_layer * state_columns());
    run(x, sequences, y, state, workspace);
  }

  /// The state (S, n_layer·2HN) before the first step: zero, or h0 where that learns.
  void initial_state(Matrix state, Workspace& workspace = thread_workspace()) const {
    detail::require_s4d_view("a state", state, state.rows, dimensions().n_layer * state_columns());
    for (std::size_t l = 0; l < blocks_.size(); ++l) {
      blocks_[l].initial_state(state.cols_from(l * state_columns(), state_columns()), workspace);
    }
  }

  /// Σ loss over the outputs; nothing is kept.
  template <SequenceLoss<T> L>
  Loss loss(View x, const Sequences& sequences, const L& loss,
            Workspace& workspace = thread_workspace()) const {
    const WorkspaceScope scope(workspace);
    const Matrix y = workspace.matrix<T>(output_rows(sequences), output_columns());
    run(x, sequences, y, {}, workspace);
    return loss(View(y), Matrix{});
  }

  /// Adds the gradient of scale · Σ loss to the store's gradients, and returns the loss.
  template <SequenceLoss<T> L>
  Loss accumulate_gradients(View x, const Sequences& sequences, const L& loss, double scale,
                            const Pass& pass = {.training = true},
                            Workspace& workspace = thread_workspace()) {
    static_assert(P::learns, "sdlora::DeepS4Model: this placement trains nothing; place at least one policy");
    require(x, sequences);
    Loss result;
    {
      const WorkspaceScope scope(workspace);
      const Matrix h = workspace.matrix<T>(x.rows, x.cols);
      assign(h, x);
      for (std::size_t l = 0; l < blocks_.size(); ++l) {
        kept_[l] = l < first_learning_ ? S4dActivations<T>{}
                                       : blocks_[l].keep(x.rows, l > first_learning_, workspace);
        blocks_[l].forward(h, sequences, kept_[l], {}, pass, workspace);
      }
      const Matrix pooled = pool(h, sequences, workspace);
      const Outputs outputs = output(pooled, pass, workspace);
      const Matrix d_y = workspace.matrix<T>(outputs.y.rows, outputs.y.cols);
      result = loss(View(outputs.y), d_y);
      assign<AssignMode::Multiply>(d_y, static_cast<T>(scale));
      const bool below = first_learning_ < blocks_.size();
      const Matrix d =
          back_to_rows(head_backward(pooled, outputs, d_y, below, pass, workspace), sequences, h);
      for (std::size_t l = blocks_.size(); l-- > first_learning_;) {
        blocks_[l].backward(d, sequences, kept_[l], l > first_learning_, pass, workspace);
      }
    }
    workspace.join();
    return result;
  }

  /// A base with everything learned added to its weights: the same function.
  std::shared_ptr<const base_type> merged() const {
    static_assert(
        P::mergeable,
        "sdlora::DeepS4Model: an initial state has no place among the weights and cannot be merged");
    auto result = std::make_shared<base_type>(*base_);
    for (std::size_t l = 0; l < blocks_.size(); ++l) blocks_[l].add_change(result->layer(l), T(1));
    if (dimensions().outputs > 0) {
      head_.add_change(result->head().weight, T(1));
      head_bias_.add_change(result->head().bias, T(1));
    }
    return result;
  }

 private:
  std::size_t checked_count() const {
    detail::require_s4_options<P>(DeepS4LayerSites{}, dimensions(), selection_, options_);
    if (head_learns && dimensions().outputs == 0) {
      throw ArgumentError(
          "DeepS4Model: this placement trains a head, the base has none; make the base with outputs, or "
          "leave "
          "the head's sites out");
    }
    return sdlora::trainable_parameters<P>(dimensions(), options_);
  }

  template <Site S>
  SitePlace<T> place() const {
    return {.name = std::string(S::name),
            .site = site_info<S>(dimensions()),
            .base = site_values<S>(std::as_const(*base_).head()),
            .decay = detail::S4dSite<S>::decay,
            .options = &options_};
  }

  std::size_t state_columns() const { return 2 * dimensions().d_model * dimensions().d_state; }

  void require(View x, const Sequences& sequences) const {
    detail::require_s4d_view("inputs", x, sequences.rows(), dimensions().d_model);
    detail::check_sequences("DeepS4Model", sequences, x.rows);
    if (sequences.count() == 0)
      throw ShapeError("DeepS4Model: expected sequences, found none; say where each begins");
    if (dimensions().of == SequenceOutput::Every) return;
    for (std::size_t s = 0; s < sequences.count(); ++s) {
      if (sequences.length(s) > 0) continue;
      throw ArgumentError("DeepS4Model: sequence " + std::to_string(s) +
                          " has no rows, so it has no last row and no mean; leave it out");
    }
  }

  void run(View x, const Sequences& sequences, Matrix y, Matrix state, Workspace& workspace) const {
    require(x, sequences);
    detail::require_s4d_view("outputs", y, output_rows(sequences), output_columns());
    const WorkspaceScope scope(workspace);
    const Matrix h = workspace.matrix<T>(x.rows, x.cols);
    assign(h, x);
    for (std::size_t l = 0; l < blocks_.size(); ++l) {
      blocks_[l].forward(h, sequences, {}, state.cols_from(l * state_columns(), state_columns()), Pass{},
                         workspace);
    }
    assign(y, View(output(pool(h, sequences, workspace), Pass{}, workspace).y));
  }

  /// What the head reads (R, d): the rows themselves, or one for each sequence.
  Matrix pool(Matrix h, const Sequences& sequences, Workspace& workspace) const {
    if (dimensions().of == SequenceOutput::Every) return h;
    const Matrix pooled = workspace.matrix<T>(sequences.count(), h.cols);
    for (std::size_t s = 0; s < sequences.count(); ++s) {
      const Matrix rows = h.rows_from(sequences.first(s), sequences.length(s));
      const Matrix to = pooled.rows_from(s, 1);
      if (dimensions().of == SequenceOutput::Last) {
        assign(to, rows.rows_from(rows.rows - 1, 1));
      } else {
        assign_column_sums(to, rows);
        assign<AssignMode::Multiply>(to, T(1) / static_cast<T>(rows.rows));
      }
    }
    return pooled;
  }

  struct Outputs {
    Matrix y;     // (R, outputs), or of a model without a head (R, d)
    Matrix kept;  // the head's output where a policy changes it
  };

  /// The outputs of what `pool` gives.
  Outputs output(Matrix pooled, const Pass& pass, Workspace& workspace) const {
    if (dimensions().outputs == 0) return {pooled, {}};
    Outputs result{workspace.matrix<T>(pooled.rows, dimensions().outputs), {}};
    if (const std::size_t cols = head_.kept_columns()) result.kept = workspace.matrix<T>(pooled.rows, cols);
    head_.forward(pooled, result.y, result.kept, pass, workspace);
    assign<AssignMode::Add>(result.y, detail::values_of(head_bias_, workspace));
    return result;
  }

  /// The gradient of what the head read, where `below` wants it.
  Matrix head_backward(View pooled, const Outputs& outputs, Matrix d_y, bool below, const Pass& pass,
                       Workspace& workspace) const {
    if (dimensions().outputs == 0) return d_y;
    const detail::ElementGradient<T, Cpu> d_bias(head_bias_, 1, d_y.cols, workspace);
    if (d_bias.values()) assign_column_sums<AssignMode::Add>(d_bias.values(), d_y);
    d_bias.finish(head_bias_, workspace);
    const Matrix d = below ? workspace.matrix<T>(pooled.rows, pooled.cols) : Matrix{};
    head_.backward(pooled, d_y, outputs.kept, d, Write::Overwrite, pass, workspace);
    return d;
  }

  /// The gradient of every row, in the memory of `rows`, from that of what `pool` gave.
  Matrix back_to_rows(View d_pooled, const Sequences& sequences, Matrix rows) const {
    if (!d_pooled) return {};
    if (dimensions().of == SequenceOutput::Every) {
      assign(rows, d_pooled);
      return rows;
    }
    const bool last = dimensions().of == SequenceOutput::Last;
    if (last) assign(rows, 0);
    for (std::size_t s = 0; s < sequences.count(); ++s) {
      const std::size_t length = sequences.length(s);
      const View d = d_pooled.rows_from(s, 1);
      if (last) {
        assign(rows.rows_from(sequences.first(s) + length - 1, 1), d);
      } else {
        assign(rows.rows_from(sequences.first(s), length), d * (T(1) / static_cast<T>(length)));
      }
    }
    return rows;
  }

  std::shared_ptr<const base_type> base_;
  AdapterOptions options_;
  Selection selection_;
  ParameterStore<T> store_;
  Head head_;
  HeadBias head_bias_;
  std::vector<Block> blocks_;
  std::size_t first_learning_ = 0;
  std::vector<S4dActivations<T>> kept_;
};

}  // namespace sdlora
