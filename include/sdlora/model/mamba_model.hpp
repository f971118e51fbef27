#pragma once

#include "../adapters/describe.hpp"
#include "../adapters/selection.hpp"
#include "../layers/mamba/block.hpp"
#include "../tensor/tensor.hpp"
#include "base.hpp"
#include "batch.hpp"
#include "cross_entropy.hpp"
#include "detail/call_checks.hpp"
#include "detail/counts.hpp"
#include "detail/require_options.hpp"
#include "mamba_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// A Mamba language model (Gu and Dao, arXiv 2312.00752) on a shared base, of which the places that
/// `P` names learn: embedding, blocks, norm_f, and a head tied to the embedding. It owns only what
/// learns; everything else is the base's. A model is used by one thread at a time, for its calls share a
/// workspace; models on one base may be used side by side.
template <class C, class P, class T = float>
class MambaModel {
  static_assert(Config<C>,
                "sdlora::MambaModel: the first type must carry a MambaConfig as its constant `config`, as "
                "presets::Mamba130m and presets::AnyMamba do");
  static_assert(Placement<P>,
                "sdlora::MambaModel: the second type must be a placement, one of presets or a list of sites "
                "with their policies, as Place<On<site::OutProj, LoRA<8>>>");
};

template <Config C, Placement P, class T>
class MambaModel<C, P, T> : public detail::TrainableCount<C, P> {
  static_assert(detail::TypesFit<C, P>::fit);

  using Block = MambaBlock<C, P, T>;
  template <class S>
  static constexpr bool learns = P::template learns_at<S>;
  static constexpr bool prompted = learns<site::Prompt>;

 public:
  using config_type = C;
  using placement_type = P;
  using value_type = T;
  using base_type = Base<C, T>;
  using state_type = MambaState<T>;

  /// A model on `base`, its adapters at their initial values: the base's own function.
  /// Throws ArgumentError where the selection or an option does not fit.
  explicit MambaModel(std::shared_ptr<const base_type> base, AdapterOptions options = {})
      : MambaModel(std::move(base), Selection{}, std::move(options)) {}

  /// The same for a placement that selects dimensions.
  MambaModel(std::shared_ptr<const base_type> base, Selection selection, AdapterOptions options = {})
      : detail::TrainableCount<C, P>(
            detail::count_learned<P>(detail::required_base(base).dimensions(), options)),
        base_(std::move(base)),
        options_(std::move(options)),
        selection_(std::move(selection)),
        store_(detail::count_learned<P>(base_->dimensions(), options_)),
        embedding_(store_, place<site::Embedding>(base_->embedding(), true)),
        norm_f_(store_, place<site::NormF>(base_->norm_f(), false)),
        prompt_(store_, place<site::Prompt>({}, true)) {
    const MambaDimensions& m = dimensions();
    detail::require_options<P>(m, selection_, options_);
    detail::require_element_shape<site::Embedding>(embedding_, m);
    detail::require_element_shape<site::NormF>(norm_f_, m);
    blocks_.reserve(m.n_layer);
    first_learning_ = m.n_layer;
    for (std::size_t l = 0; l < m.n_layer; ++l) {
      blocks_.emplace_back(base_->layer(l), base_->A(l), m, l, store_, options_,
                           selection_.layers.empty() ? nullptr : &selection_.layers[l]);
      if (first_learning_ == m.n_layer && blocks_.back().active()) first_learning_ = l;
    }
    if (embedding_.active() || prompt_.active()) first_learning_ = 0;
    kept_.resize(m.n_layer);
    detail::require_counts<P>(m, options_, store_);
    if (P::learns && store_.size() == 0) {
      throw ArgumentError("MambaModel: the layer ranges leave nothing to learn; name layers below " +
                          std::to_string(m.n_layer));
    }
  }

  MambaModel(MambaModel&&) = default;

  /// The placement as text, as adapter files hold it.
  std::string placement() const { return describe<P>(); }
  const MambaDimensions& dimensions() const { return base_->dimensions(); }
  const std::shared_ptr<const base_type>& base() const { return base_; }
  const Selection& selection() const { return selection_; }
  const AdapterOptions& options() const { return options_; }
  ParameterStore<T>& parameters() { return store_; }
  const ParameterStore<T>& parameters() const { return store_; }
  std::size_t total_parameters() const { return sdlora::total_parameters(dimensions()); }

  /// The most workspace that a step has used, in bytes: activations, and temporaries beside them.
  std::size_t peak_activation_bytes() const { return workspace_.peak_bytes(); }
  void reset_peak() { workspace_.reset_peak(); }

  /// Σ loss over the batch's targets; nothing is kept.
  Loss loss(const Batch& batch) {
    begin(batch);
    const Rows rows = embed(batch);
    for (Block& block : blocks_) block.forward(rows.x, rows.sequences, {}, {}, Pass{}, workspace_);
    const Loss loss = head(batch, rows, T(0), {});
    workspace_.reset();
    return loss;
  }

  /// Adds the gradient of scale · Σ loss to the store's gradients, and returns the loss. With
  /// scale = 1 / (targets of the whole step) several batches add up to one step.
  Loss accumulate_gradients(const Batch& batch, double scale, const Pass& pass = {.training = true}) {
    static_assert(P::learns,
                  "sdlora::MambaModel: this placement trains nothing; place at least one policy, for "
                  "example presets::SDLoRA<8, 15, 4>, or use loss() to evaluate");
    begin(batch);
    const Rows rows = embed(batch);
    const std::size_t n_layer = blocks_.size();
    for (std::size_t l = 0; l < n_layer; ++l) {
      kept_[l] = l < first_learning_ ? BlockActivations<T>{}
                                     : Block::keep(dimensions(), rows.sequences,
                                                   below_learns || l > first_learning_, workspace_);
      blocks_[l].forward(rows.x, rows.sequences, kept_[l], {}, pass, workspace_);
    }
    const MatrixView<T> d_x = workspace_.matrix<T>(rows.x.rows, rows.x.cols);
    const Loss loss = head(batch, rows, static_cast<T>(scale), d_x);
    for (std::size_t l = n_layer; l-- > first_learning_;) {
      if (below_learns || l > first_learning_) {
        blocks_[l].template backward<true>(rows.sequences, kept_[l], d_x, pass, workspace_);
      } else if constexpr (!below_learns) {
        blocks_[l].template backward<false>(rows.sequences, kept_[l], d_x, pass, workspace_);
      }
    }
    if constexpr (below_learns) embed_backward(batch, d_x);
    workspace_.reset();  // now, so that the next step finds one block that fits
    return loss;
  }

  /// The state before the first token, for S sequences; a learned prompt has already been read.
  state_type initial_state(std::size_t sequences) {
    state_type state(dimensions(), sequences);
    const Workspace::Scope scope(workspace_);
    for (std::size_t l = 0; l < blocks_.size(); ++l)
      blocks_[l].initial_state(sequences, state.layer(l), workspace_);
    if constexpr (prompted) {
      const std::size_t length = prompt_.length();
      const MatrixView<T> x = workspace_.matrix<T>(sequences * length, dimensions().d_model);
      std::vector<std::size_t> offsets(sequences + 1);
      for (std::size_t s = 0; s <= sequences; ++s) offsets[s] = s * length;
      for (std::size_t i = 0; i < x.rows; ++i)
        std::copy_n(prompt_.values().row(i % length), x.cols, x.row(i));
      run(x, {offsets}, state);
    }
    return state;
  }

  /// Reads the tokens of packed sequences on from `state`, which moves on, and writes the logits
  /// that follow each token: whole, in chunks or step by step the same within rounding. ids (M),
  /// logits (M, V). Throws ShapeError or ArgumentError where something does not fit, before the state moves.
  void forward(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
               MatrixView<T> logits) {
    detail::require_logits(logits.rows, logits.cols, ids.size(), dimensions());
    const Workspace::Scope scope(workspace_);
    const MatrixView<T> x = continue_with(ids, sequences, state);
    rms_norm_forward(x, norm_f_.values().data, epsilon(), x);
    matmul(logits, x, transposed(embedding_.values()));
  }

  /// The same with the logits of some rows only: rows (n) among 0 … M − 1, logits (n, V).
  void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                    std::span<const std::size_t> rows, MatrixView<T> logits) {
    detail::require_rows(rows, ids.size());
    detail::require_logits(logits.rows, logits.cols, rows.size(), dimensions());
    const Workspace::Scope scope(workspace_);
    const MatrixView<T> x = continue_with(ids, sequences, state);
    const MatrixView<T> chosen = workspace_.matrix<T>(rows.size(), x.cols);
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(x.row(rows[i]), x.cols, chosen.row(i));
    rms_norm_forward(chosen, norm_f_.values().data, epsilon(), chosen);
    matmul(logits, chosen, transposed(embedding_.values()));
  }

  /// The same for one further token of each sequence: ids (S), logits (S, V).
  void step(std::span<const std::int32_t> ids, state_type& state, MatrixView<T> logits) {
    step_offsets_.resize(ids.size() + 1);
    for (std::size_t s = 0; s <= ids.size(); ++s) step_offsets_[s] = s;
    forward(ids, {step_offsets_}, state, logits);
  }

  /// Logits (M, V) of whole sequences from their beginning.
  Tensor<T, Extents<dyn, dyn>> logits(const Batch& batch) {
    Tensor<T, Extents<dyn, dyn>> result(Extents<dyn, dyn>(batch.tokens(), dimensions().vocab_size),
                                        uninitialized);
    state_type state = initial_state(batch.sequences().count());
    forward(batch.ids(), batch.sequences(), state, result.matrix());
    return result;
  }

  /// A base with everything learned added to its weights: the same function, for any placement.
  std::shared_ptr<const base_type> merged() const {
    static_assert(P::mergeable,
                  "sdlora::MambaModel: a prompt, a prefix or an initial state has no place among a "
                  "checkpoint's weights and cannot be merged; save it as an adapter instead");
    auto result = std::make_shared<base_type>(*base_);
    add_change(*result, T(1));
    return result;
  }

  /// target's weights += sign · the learned change: −1 takes back what `merged` added. Throws ShapeError
  /// where `target` is of other sizes.
  void add_change(base_type& target, T sign) const {
    detail::require_same_sizes(target.dimensions(), dimensions());
    embedding_.add_change(target.embedding(), sign);
    norm_f_.add_change(target.norm_f(), sign);
    for (std::size_t l = 0; l < blocks_.size(); ++l) blocks_[l].add_change(target.layer(l), sign);
    target.finish();
  }

 private:
  /// Whether anything before the first block learns, so that every block passes its gradient on.
  static constexpr bool below_learns = learns<site::Embedding> || learns<site::Prompt>;

  struct NoRows {
    NoRows(ParameterStore<T>&, const SitePlace<T>&) {}
    static constexpr bool active() { return false; }
    static constexpr std::size_t length() { return 0; }
  };
  template <class Policy, bool Learns = Policy::learns>
  struct PromptState {
    using type = NoRows;
  };
  template <class Policy>
  struct PromptState<Policy, true> {
    using type = typename Policy::template Rows<T>;
  };

  /// The residual stream and how it falls into sequences: with a prompt, rows before each.
  struct Rows {
    MatrixView<T> x;
    Sequences sequences;
  };

  template <Site S>
  SitePlace<T> place(MatrixView<const T> base, bool decay) const {
    return {.name = std::string(S::name),
            .site = S::name,
            .base = base,
            .shape = site_shape<S>(dimensions()),
            .decay = decay,
            .options = &options_,
            .sizes = adapter_sizes(options_, dimensions())};
  }

  T epsilon() const { return static_cast<T>(dimensions().norm_epsilon); }

  void begin(const Batch& batch) {
    detail::require_batch(batch);
    detail::require_ids(batch.ids(), dimensions());
    workspace_.reset();
  }

  Rows embed(const Batch& batch) {
    const std::size_t d = dimensions().d_model;
    const MatrixView<const T> table = embedding_.values();
    const std::size_t length = prompt_.length();
    const Sequences given = batch.sequences();
    Rows rows{{}, given};
    if constexpr (prompted) {
      prompted_offsets_.resize(given.count() + 1);
      for (std::size_t s = 0; s <= given.count(); ++s) prompted_offsets_[s] = given.offsets[s] + s * length;
      rows.sequences = {prompted_offsets_};
    }
    rows.x = workspace_.matrix<T>(rows.sequences.rows(), d);
    for (std::size_t s = 0; s < given.count(); ++s) {
      if constexpr (prompted) {
        for (std::size_t i = 0; i < length; ++i) {
          std::copy_n(prompt_.values().row(i), d, rows.x.row(rows.sequences.first(s) + i));
        }
      }
      for (std::size_t t = 0; t < given.length(s); ++t) {
        const auto id = static_cast<std::size_t>(batch.ids()[given.first(s) + t]);
        std::copy_n(table.row(id), d, rows.x.row(rows.sequences.first(s) + length + t));
      }
    }
    return rows;
  }

  void embed_backward(const Batch& batch, MatrixView<const T> d_x) {
    const std::size_t length = prompt_.length();
    const Sequences given = batch.sequences();
    const auto add_row = [](const T* from, std::size_t count, T* to) {
      for (std::size_t j = 0; j < count; ++j) to[j] += from[j];
    };
    for (std::size_t s = 0; s < given.count(); ++s) {
      const std::size_t first = given.first(s) + s * length;
      if constexpr (prompted) {
        for (std::size_t i = 0; i < length; ++i)
          add_row(d_x.row(first + i), d_x.cols, prompt_.gradient().row(i));
      }
      if constexpr (learns<site::Embedding>) {
        for (std::size_t t = 0; t < given.length(s); ++t) {
          const auto id = static_cast<std::size_t>(batch.ids()[given.first(s) + t]);
          add_row(d_x.row(first + length + t), d_x.cols, embedding_.gradient().row(id));
        }
      }
    }
  }

  /// Norm and head over the rows that have targets. A non-empty d_x (M, d) gets the gradient.
  Loss head(const Batch& batch, const Rows& rows, T scale, MatrixView<T> d_x) {
    const Workspace::Scope scope(workspace_);
    const std::size_t d = dimensions().d_model;
    const std::size_t n = batch.loss_tokens();
    const auto chosen = workspace_.take<std::size_t>(n);
    const auto targets = workspace_.take<std::int32_t>(n);
    const Sequences given = batch.sequences();
    std::size_t next = 0;
    for (std::size_t s = 0; s < given.count(); ++s) {
      for (std::size_t i = given.first(s); i < given.first(s) + given.length(s); ++i) {
        if (batch.targets()[i] == ignored_label) continue;
        chosen[next] = i + (s + 1) * prompt_.length();
        targets[next++] = batch.targets()[i];
      }
    }
    detail::require_ids(targets, dimensions());
    const auto take = [&] { return workspace_.matrix<T>(n, d); };
    const MatrixView<T> x = take();
    const MatrixView<T> h = take();
    for (std::size_t i = 0; i < n; ++i) std::copy_n(rows.x.row(chosen[i]), d, x.row(i));
    rms_norm_forward(x, norm_f_.values().data, epsilon(), h);
    const MatrixView<T> d_h = d_x ? take() : MatrixView<T>{};
    const Loss loss = head_cross_entropy(h, embedding_.values(), targets, scale, d_h,
                                         d_x ? embedding_.gradient() : MatrixView<T>{}, workspace_);
    if (d_x) {
      const MatrixView<T> d_sum = take();
      std::fill_n(d_sum.data, n * d, T(0));
      rms_norm_backward(x, norm_f_.values().data, epsilon(), d_h, d_sum, norm_f_.gradient().data, workspace_);
      std::fill_n(d_x.data, d_x.rows * d_x.cols, T(0));
      for (std::size_t i = 0; i < n; ++i) std::copy_n(d_sum.row(i), d, d_x.row(chosen[i]));
    }
    return loss;
  }

  MatrixView<T> continue_with(std::span<const std::int32_t> ids, const Sequences& sequences,
                              state_type& state) {
    detail::require_ids(ids, dimensions());
    detail::require_tokens(ids.size(), sequences, state.sequences(), state.fits(dimensions()));
    const std::size_t d = dimensions().d_model;
    const MatrixView<T> x = workspace_.matrix<T>(ids.size(), d);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      std::copy_n(embedding_.values().row(static_cast<std::size_t>(ids[i])), d, x.row(i));
    }
    run(x, sequences, state);
    return x;
  }

  void run(MatrixView<T> x, const Sequences& sequences, state_type& state) {
    for (std::size_t l = 0; l < blocks_.size(); ++l) {
      blocks_[l].forward(x, sequences, {}, state.layer(l), Pass{}, workspace_);
    }
  }

  std::shared_ptr<const base_type> base_;
  AdapterOptions options_;
  Selection selection_;
  ParameterStore<T> store_;
  typename P::template policy_at<site::Embedding>::template Element<T> embedding_;
  typename P::template policy_at<site::NormF>::template Element<T> norm_f_;
  typename PromptState<typename P::template policy_at<site::Prompt>>::type prompt_;
  std::vector<Block> blocks_;
  std::size_t first_learning_ = 0;
  std::vector<BlockActivations<T>> kept_;
  std::vector<std::size_t> prompted_offsets_;
  std::vector<std::size_t> step_offsets_;
  Workspace workspace_;
};

}  // namespace sdlora
