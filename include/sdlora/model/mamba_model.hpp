#pragma once

#include "../adapters/describe.hpp"
#include "../adapters/selection.hpp"
#include "../layers/mamba/block.hpp"
#include "../tensor/add_rows.hpp"
#include "../tensor/indexed.hpp"
#include "../tensor/sequences.hpp"
#include "../tensor/tensor.hpp"
#include "../tensor/workspace.hpp"
#include "base.hpp"
#include "batch.hpp"
#include "cross_entropy.hpp"
#include "detail/call_checks.hpp"
#include "detail/counts.hpp"
#include "detail/embedding.hpp"
#include "detail/require_options.hpp"
#include "execution.hpp"
#include "head_loss.hpp"
#include "mamba_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sdlora {

/// A Mamba language model (Gu and Dao, arXiv 2312.00752) on a shared base, of which the places that
/// `P` names learn: embedding, blocks, norm_f, and a head that is the embedding or, where the base has one of
/// its own, stays as it is. It owns only what learns; everything else is the base's. `X` says how it runs: a
/// Run, or a scalar for Run<Cpu, scalar>. Calls that are const may be made by many threads at once, each with
/// a workspace of its own: that of the thread, unless they are given one.
template <class C, class P, class X = float>
class MambaModel {
  static_assert(Config<C>,
                "sdlora::MambaModel: the first type must carry a MambaConfig as its constant `config`, as "
                "presets::Mamba130m and presets::AnyMamba do");
  static_assert(Placement<P>,
                "sdlora::MambaModel: the second type must be a placement, one of presets or a list of sites "
                "with their policies, as Place<On<site::OutProj, LoRA<8>>>");
};

/// The model, where the types are what they must be.
template <Config C, Placement P, class X>
class MambaModel<C, P, X> : public detail::TrainableCount<C, P> {
  static_assert(detail::TypesFit<C, P>::fit);

  using T = typename run_of<X>::value_type;
  using D = typename run_of<X>::device_type;
  using Block = MambaBlock<C, P, T, D, typename run_of<X>::scan_type>;
  using Embedding = detail::EmbeddingState<typename P::template policy_at<site::Embedding>, T, D>;
  using Matrix = MatrixView<T, D>;
  template <class S>
  static constexpr bool learns = P::template learns_at<S>;
  static constexpr bool prompted = learns<site::Prompt>;

 public:
  using config_type = C;
  using placement_type = P;
  using value_type = T;
  using device_type = D;
  using base_type = Base<C, T, D>;
  using state_type = MambaState<T, D>;

  /// A model on `base`, its adapters at their initial values: the base's own function.
  /// Throws ArgumentError where the selection or an option does not fit.
  explicit MambaModel(std::shared_ptr<const base_type> base, AdapterOptions options = {})
      : MambaModel(std::move(base), Selection{}, std::move(options)) {}

  /// The same for a placement that selects dimensions.
  MambaModel(std::shared_ptr<const base_type> base, Selection selection, AdapterOptions options = {})
      : detail::TrainableCount<C, P>(
            detail::checked_count<P>(detail::required_base(base).dimensions(), options)),
        base_(std::move(base)),
        options_(detail::completed<P>(options, base_->dimensions(), &without_effect_)),
        selection_(std::move(selection)),
        store_(detail::count_learned<P>(base_->dimensions(), options_)),
        embedding_(store_, place<site::Embedding>()),
        norm_f_(store_, place<site::NormF>()),
        prompt_(store_, place<site::Prompt>()) {
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
  /// What the options said for all sites and changed nothing, as "lora rank = 16": no policy of this
  /// placement has such an option, or its type says another number. print_coverage shows it.
  const std::vector<std::string>& options_without_effect() const { return without_effect_; }
  ParameterStore<T, D>& parameters() { return store_; }
  const ParameterStore<T, D>& parameters() const { return store_; }
  std::size_t total_parameters() const { return sdlora::total_parameters(dimensions()); }

  /// Σ loss over the batch's targets; nothing is kept.
  Loss loss(const Batch& batch, WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    const Step step(*this, batch, workspace);
    run(step, workspace);
    return cross_entropy(step, T(0), {}, Pass{}, workspace);
  }

  /// Σ of a loss of one's own (HeadLoss) over the batch's targets.
  template <GivenAsLoss L>
  Loss loss(const Batch& batch, L&& loss, WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    const Step step(*this, batch, workspace);
    run(step, workspace);
    return own_loss(step, loss, T(1), {}, Pass{}, workspace);
  }

  /// Adds the gradient of scale · Σ loss to the store's gradients, and returns the loss. With
  /// scale = 1 / (targets of the whole step) several batches add up to one step.
  Loss accumulate_gradients(const Batch& batch, double scale, const Pass& pass = {.training = true},
                            WorkspaceOn<D>& workspace = thread_workspace<D>()) {
    return forward_and_back(batch, pass, workspace, [&](const Step& step, Matrix d_x) {
      return cross_entropy(step, static_cast<T>(scale), d_x, pass, workspace);
    });
  }

  /// The same with a loss of one's own (HeadLoss) on the logits of the batch's targets, as distillation and
  /// losses of preference are. The call allocates nothing that the loss does not.
  template <GivenAsLoss L>
  Loss accumulate_gradients(const Batch& batch, L&& loss, double scale, const Pass& pass = {.training = true},
                            WorkspaceOn<D>& workspace = thread_workspace<D>()) {
    return forward_and_back(batch, pass, workspace, [&](const Step& step, Matrix d_x) {
      return own_loss(step, loss, static_cast<T>(scale), d_x, pass, workspace);
    });
  }

  /// The same with a head of one's own (HiddenHead) instead of the model's: it is given the hidden states
  /// behind the tokens `rows` (n, ascending) among 0 … M − 1, as batch.last_rows() for a classifier. Labels
  /// are not read. Throws ArgumentError where a row is no token's, or not above the one before it.
  template <class Head>
  Loss accumulate_hidden_gradients(const Batch& batch, std::span<const std::size_t> rows, Head&& head,
                                   const Pass& pass = {.training = true},
                                   WorkspaceOn<D>& workspace = thread_workspace<D>()) {
    static_assert(
        HiddenHead<std::remove_reference_t<Head>, T, D>,
        "sdlora::MambaModel: a head of one's own is called as head(h, d_h) with MatrixViews (n, d) of "
        "the model's scalar and device, the first of const values, and returns a Loss");
    detail::require_rows(rows, batch.tokens());
    detail::require_ascending(rows);
    return forward_and_back(batch, pass, workspace, [&](const Step& step, Matrix d_x) {
      const StepScope<D> scope(workspace);
      return normed(step, stream_rows(batch, rows, workspace), d_x, workspace, head);
    });
  }

  /// What the head reads behind the tokens `rows` (n) among 0 … M − 1 of whole sequences, the outputs of
  /// norm_f: h (n, d). Throws ShapeError or ArgumentError where something does not fit.
  void hidden(const Batch& batch, std::span<const std::size_t> rows, Matrix h,
              WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    detail::require_rows(rows, batch.tokens());
    detail::require_hidden(h.rows, h.cols, rows.size(), dimensions());
    const Step step(*this, batch, workspace);
    run(step, workspace);
    normed(step, stream_rows(batch, rows, workspace), {}, workspace,
           [&](MatrixView<const T, D> found, Matrix) {
             assign(h, found);
             return Loss{};
           });
  }

  /// The same behind every token, (M, d).
  Tensor<T, Extents<dyn, dyn>, D> hidden(const Batch& batch,
                                         WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    Tensor<T, Extents<dyn, dyn>, D> result(Extents<dyn, dyn>(batch.tokens(), dimensions().d_model),
                                           uninitialized);
    const WorkspaceScope scope(workspace.host());
    const auto rows = workspace.host().template take<std::size_t>(batch.tokens());
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i;
    hidden(batch, rows, result.matrix(), workspace);
    return result;
  }

  /// The logits (n, V) of hidden states h (n, d), by the model's head. Throws ShapeError.
  void logits_of(MatrixView<const T, D> h, Matrix logits,
                 WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    detail::require_hidden(h.rows, h.cols, logits.rows, dimensions());
    detail::require_logits(logits.rows, logits.cols, h.rows, dimensions());
    matmul(logits, h, transposed(head_values()));
    tied_head(Pass{}).forward(h, logits, workspace);
  }

  /// The state before the first token, for S sequences; a learned prompt has already been read.
  state_type initial_state(std::size_t sequences, WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    state_type state(dimensions(), sequences, remembered());
    const StepScope<D> scope(workspace);
    const auto offsets = workspace.host().template take<std::size_t>(sequences + 1);
    const std::size_t length = prompt_.length();
    for (std::size_t s = 0; s <= sequences; ++s) offsets[s] = s * length;
    for (std::size_t l = 0; l < blocks_.size(); ++l) {
      blocks_[l].initial_state({offsets}, state.layer(l), workspace);
    }
    if constexpr (prompted) {
      const auto from = workspace.host().template take<std::int32_t>(sequences * length);
      for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::int32_t>(i % length);
      const Matrix x = workspace.template matrix<T>(from.size(), dimensions().d_model);
      assign(x, rows_at(prompt_.values(), workspace.template placed<std::int32_t>(from)));
      run(x, place_sequences<D>({offsets}, workspace), state, workspace);
    }
    return state;
  }

  /// Reads the tokens of packed sequences on from `state`, which moves on, and writes the logits
  /// that follow each token: whole, in chunks or step by step the same within rounding. ids (M),
  /// logits (M, V). Throws ShapeError or ArgumentError where something does not fit, before the state moves.
  void forward(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
               Matrix logits, WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    detail::require_logits(logits.rows, logits.cols, ids.size(), dimensions());
    const StepScope<D> scope(workspace);
    const Matrix x = continue_with(ids, sequences, state, workspace);
    write_logits(x, logits, workspace);
  }

  /// The same with the logits of some rows only: rows (n) among 0 … M − 1, logits (n, V).
  void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                    std::span<const std::size_t> rows, Matrix logits,
                    WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    detail::require_rows(rows, ids.size());
    detail::require_logits(logits.rows, logits.cols, rows.size(), dimensions());
    const StepScope<D> scope(workspace);
    const Matrix x = continue_with(ids, sequences, state, workspace);
    const Matrix chosen = workspace.template matrix<T>(rows.size(), x.cols);
    assign(chosen, rows_at(x, workspace.placed(rows)));
    write_logits(chosen, logits, workspace);
  }

  /// The same for one further token of each sequence: ids (S), logits (S, V).
  void step(std::span<const std::int32_t> ids, state_type& state, Matrix logits,
            WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    const WorkspaceScope scope(workspace.host());
    const auto offsets = workspace.host().template take<std::size_t>(ids.size() + 1);
    for (std::size_t s = 0; s <= ids.size(); ++s) offsets[s] = s;
    forward(ids, {offsets}, state, logits, workspace);
  }

  /// Logits (M, V) of whole sequences from their beginning.
  Tensor<T, Extents<dyn, dyn>, D> logits(const Batch& batch,
                                         WorkspaceOn<D>& workspace = thread_workspace<D>()) const {
    Tensor<T, Extents<dyn, dyn>, D> result(Extents<dyn, dyn>(batch.tokens(), dimensions().vocab_size),
                                           uninitialized);
    state_type state = initial_state(batch.sequences().count(), workspace);
    forward(batch.ids(), batch.sequences(), state, result.matrix(), workspace);
    return result;
  }

  /// A base with everything learned added to its weights: the same function, for any placement. All its
  /// values are of the model's scalar, also where the model's own base stores them as bfloat16 or int8: the
  /// stored values, widened, and the change. With bfloat16 the function is the same within the rounding of
  /// activations by products.
  std::shared_ptr<const base_type> merged() const {
    static_assert(
        P::mergeable,
        "sdlora::MambaModel: a prompt, a prefix, an initial state or a state offset has no place among "
        "a checkpoint's weights and cannot be merged; save it as an adapter instead");
    detail::require_mergeable_embedding(embedding_, dimensions().tied_head);
    auto result = std::make_shared<base_type>(base_->stored_as(StoredType::Scalar));
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
    NoRows(ParameterStore<T, D>&, const SitePlace<T, D>&) {}
    static constexpr bool active() { return false; }
    static constexpr std::size_t length() { return 0; }
  };
  template <class Policy, bool Learns = Policy::learns>
  struct PromptState {
    using type = NoRows;
  };
  template <class Policy>
  struct PromptState<Policy, true> {
    using type = typename Policy::template Rows<T, D>;
  };

  /// What was taken from a workspace and from the host's beside it is given back together.
  template <class Device>
  class StepScope {
   public:
    explicit StepScope(WorkspaceOn<Device>& workspace) : device_(workspace), host_(workspace.host()) {}

   private:
    WorkspaceScope<Device> device_;
    WorkspaceScope<Cpu> host_;
  };

  /// A batch on its way through the blocks: the residual stream and how it falls into sequences; with a
  /// prompt, rows before each.
  struct Step {
    Step(const MambaModel& model, const Batch& batch_, WorkspaceOn<D>& workspace)
        : batch(batch_), scope(ready(model, batch_, workspace)) {
      const std::size_t length = model.prompt_.length();
      const Sequences given = batch.sequences();
      Sequences all = given;
      if constexpr (prompted) {
        const auto offsets = workspace.host().template take<std::size_t>(given.count() + 1);
        for (std::size_t s = 0; s <= given.count(); ++s) offsets[s] = given.offsets[s] + s * length;
        all = {offsets};
      }
      sequences = place_sequences<D>(all, workspace);
      ids = workspace.placed(batch.ids());
      x = workspace.template matrix<T>(all.rows(), model.dimensions().d_model);
      if constexpr (!prompted) {
        model.embedding_.lookup(ids, x, workspace);
      } else {
        const auto tokens = workspace.host().template take<std::size_t>(given.rows());
        const auto prompts = workspace.host().template take<std::size_t>(given.count() * length);
        const auto from = workspace.host().template take<std::int32_t>(prompts.size());
        for (std::size_t s = 0; s < given.count(); ++s) {
          for (std::size_t i = 0; i < length; ++i) {
            prompts[s * length + i] = all.first(s) + i;
            from[s * length + i] = static_cast<std::int32_t>(i);
          }
          for (std::size_t t = 0; t < given.length(s); ++t) {
            tokens[given.first(s) + t] = all.first(s) + length + t;
          }
        }
        token_rows = workspace.template placed<std::size_t>(tokens);
        prompt_rows = workspace.template placed<std::size_t>(prompts);
        prompt_from = workspace.template placed<std::int32_t>(from);
        const WorkspaceScope looking_up(workspace);
        const Matrix found = workspace.template matrix<T>(given.rows(), x.cols);
        model.embedding_.lookup(ids, found, workspace);
        assign(rows_at(x, token_rows), found);
        assign(rows_at(x, prompt_rows), rows_at(model.prompt_.values(), prompt_from));
      }
    }

    const Batch& batch;
    StepScope<D> scope;
    SequencesOn<D> sequences{};
    MatrixView<const std::int32_t, D> ids;
    Matrix x;
    // With a prompt: the rows of the tokens in x, those of the prompts, and which of its rows those are.
    MatrixView<const std::size_t, D> token_rows, prompt_rows;
    MatrixView<const std::int32_t, D> prompt_from;

   private:
    /// The workspace, once the batch is known to be one that the model takes.
    static WorkspaceOn<D>& ready(const MambaModel& model, const Batch& batch, WorkspaceOn<D>& workspace) {
      detail::require_batch(batch);
      detail::require_ids(batch.ids(), model.dimensions());
      join(workspace);
      return workspace;
    }
  };

  template <Site S>
  SitePlace<T, D> place() const {
    return {.name = std::string(S::name),
            .site = site_info<S>(dimensions()),
            .base = site_values<S>(base_->model()),
            .decay = site_decays<S>,
            .options = &options_};
  }

  /// Values of each sequence in each layer that the policy at the scan remembers.
  std::size_t remembered() const {
    using Policy = typename P::template policy_at<site::Scan>;
    if constexpr (detail::remembers<Policy>) {
      const SiteInfo site = site_info<site::Scan>(dimensions());
      return Policy::remembers(
          site, detail::resolved<Policy>(options_.template of<typename Policy::options>(site.name), site));
    } else {
      return 0;
    }
  }
  T epsilon() const { return static_cast<T>(dimensions().norm_epsilon); }
  /// What the logits are formed with (V, d).
  FrozenWeight<T, D> head_values() const {
    return dimensions().tied_head ? FrozenWeight<T, D>(embedding_.weight()) : base_->head();
  }
  auto tied_head(const Pass& pass) const {
    return detail::tied_head(embedding_, pass, dimensions().tied_head);
  }
  /// logits (n, V) of rows x (n, d) of the residual stream, which become their norms.
  void write_logits(Matrix x, Matrix logits, WorkspaceOn<D>& workspace) const {
    rms_norm_forward(x, norm_f_.values(), epsilon(), x);
    logits_of(x, logits, workspace);
  }

  static void join(WorkspaceOn<D>& workspace) {
    workspace.join();
    workspace.host().join();
  }

  /// Through all blocks; nothing is kept.
  void run(const Step& step, WorkspaceOn<D>& workspace) const {
    for (const Block& block : blocks_) block.forward(step.x, step.sequences, {}, {}, Pass{}, workspace);
  }

  void run_and_keep(const Step& step, const Pass& pass, WorkspaceOn<D>& workspace) {
    for (std::size_t l = 0; l < blocks_.size(); ++l) {
      kept_[l] = l < first_learning_ ? BlockActivations<T, D>{}
                                     : Block::keep(dimensions(), step.sequences,
                                                   below_learns || l > first_learning_, workspace);
      blocks_[l].forward(step.x, step.sequences, kept_[l], {}, pass, workspace);
    }
  }

  /// d_x (M, d) is the gradient of the residual stream behind the last block, then before the first that
  /// learns.
  void run_back(const Step& step, Matrix d_x, const Pass& pass, WorkspaceOn<D>& workspace) {
    for (std::size_t l = blocks_.size(); l-- > first_learning_;) {
      if (below_learns || l > first_learning_) {
        blocks_[l].template backward<true>(step.sequences, kept_[l], d_x, pass, workspace);
      } else if constexpr (!below_learns) {
        blocks_[l].template backward<false>(step.sequences, kept_[l], d_x, pass, workspace);
      }
    }
    if constexpr (below_learns) embed_backward(step, d_x, workspace);
  }

  /// Forward, head(step, d_x), which writes d_x and returns the loss, and backward.
  template <class Head>
  Loss forward_and_back(const Batch& batch, const Pass& pass, WorkspaceOn<D>& workspace, const Head& head) {
    static_assert(P::learns,
                  "sdlora::MambaModel: this placement trains nothing; place at least one policy, for "
                  "example presets::SDLoRA<8, 15, 4>, or use loss() to evaluate");
    Loss loss;
    {
      const Step step(*this, batch, workspace);
      run_and_keep(step, pass, workspace);
      const Matrix d_x = workspace.template matrix<T>(step.x.rows, step.x.cols);
      loss = head(step, d_x);
      run_back(step, d_x, pass, workspace);
    }
    join(workspace);  // now, so that the next step finds one block that fits
    return loss;
  }

  void embed_backward(const Step& step, MatrixView<const T, D> d_x, WorkspaceOn<D>& workspace) {
    const WorkspaceScope scope(workspace);
    const auto rows = [&](MatrixView<const std::size_t, D> which) {
      const Matrix result = workspace.template matrix<T>(which.cols, d_x.cols);
      assign(result, rows_at(d_x, which));
      return result;
    };
    if constexpr (prompted) add_rows(prompt_.gradient(), rows(step.prompt_rows), step.prompt_from);
    if constexpr (learns<site::Embedding>) {
      if constexpr (prompted) {
        embedding_.lookup_backward(step.ids, rows(step.token_rows), workspace);
      } else {
        embedding_.lookup_backward(step.ids, d_x, workspace);
      }
    }
  }

  /// Where tokens of a batch lie in the residual stream: behind the prompts.
  std::span<const std::size_t> stream_rows(const Batch& batch, std::span<const std::size_t> rows,
                                           WorkspaceOn<D>& workspace) const {
    if constexpr (!prompted) {
      return rows;
    } else {
      const std::span<const std::size_t> offsets = batch.sequences().offsets;
      const auto found = workspace.host().template take<std::size_t>(rows.size());
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto next = std::upper_bound(offsets.begin(), offsets.end(), rows[i]);
        found[i] = rows[i] + static_cast<std::size_t>(next - offsets.begin()) * prompt_.length();
      }
      return found;
    }
  }

  /// The tokens of the batch that have targets, in memory of the workspace.
  LossRows<D> loss_rows(const Batch& batch, WorkspaceOn<D>& workspace) const {
    const std::size_t n = batch.loss_tokens();
    const auto rows = workspace.host().template take<std::size_t>(n);
    const auto targets = workspace.host().template take<std::int32_t>(n);
    std::size_t next = 0;
    for (std::size_t i = 0; i < batch.tokens(); ++i) {
      if (batch.targets()[i] == ignored_label) continue;
      rows[next] = i;
      targets[next++] = batch.targets()[i];
    }
    detail::require_ids(targets, dimensions());
    return {&batch, 0, rows, targets, {}};
  }

  /// head(h, d_h) of norms h (n, d) of `rows` of the residual stream; returns its loss. A non-empty d_x (M,
  /// d) gets the gradient that follows from d_h.
  template <class Head>
  Loss normed(const Step& step, std::span<const std::size_t> rows, Matrix d_x, WorkspaceOn<D>& workspace,
              Head&& head) const {
    const MatrixView<const std::size_t, D> chosen = workspace.placed(rows);
    const auto take = [&] { return workspace.template matrix<T>(rows.size(), dimensions().d_model); };
    const Matrix x = take();
    const Matrix h = take();
    assign(x, rows_at(step.x, chosen));
    rms_norm_forward(x, norm_f_.values(), epsilon(), h);
    const Matrix d_h = d_x ? take() : Matrix{};
    const Loss loss = head(MatrixView<const T, D>(h), d_h);
    if (d_x) {
      const Matrix d_sum = take();
      assign(d_sum, 0);
      rms_norm_backward(MatrixView<const T, D>(x), norm_f_.values(), epsilon(), d_h, d_sum,
                        norm_f_.gradient(), workspace);
      assign(d_x, 0);
      assign(rows_at(d_x, chosen), d_sum);
    }
    return loss;
  }

  /// Where the head's matrix has a gradient of its own; else empty.
  Matrix head_gradient(Matrix d_x) const {
    return d_x && dimensions().tied_head ? embedding_.weight_gradient() : Matrix{};
  }

  /// The model's head and the usual loss over the rows that have targets. A non-empty d_x (M, d) gets the
  /// gradient.
  Loss cross_entropy(const Step& step, T scale, Matrix d_x, const Pass& pass,
                     WorkspaceOn<D>& workspace) const {
    const StepScope<D> scope(workspace);
    const LossRows<D> rows = loss_rows(step.batch, workspace);
    return normed(step, stream_rows(step.batch, rows.rows, workspace), d_x, workspace,
                  [&](MatrixView<const T, D> h, Matrix d_h) {
                    return head_cross_entropy(h, head_values(), rows.targets, scale, d_h, head_gradient(d_x),
                                              workspace, tied_head(pass));
                  });
  }

  /// The same with a loss of one's own.
  template <class L>
  Loss own_loss(const Step& step, L& loss, T scale, Matrix d_x, const Pass& pass,
                WorkspaceOn<D>& workspace) const {
    static_assert(
        HeadLoss<L, T, D>,
        "sdlora::MambaModel: a loss of one's own is called as loss(rows, logits, d_logits) with "
        "LossRows and MatrixViews (n, V) of the model's scalar and device, the first of const values, "
        "and returns a Loss");
    const StepScope<D> scope(workspace);
    LossRows<D> rows = loss_rows(step.batch, workspace);
    rows.on_device = workspace.placed(rows.targets);
    return normed(step, stream_rows(step.batch, rows.rows, workspace), d_x, workspace,
                  [&](MatrixView<const T, D> h, Matrix d_h) {
                    return head_loss(h, head_values(), rows, loss, scale, d_h, head_gradient(d_x), workspace,
                                     tied_head(pass));
                  });
  }

  Matrix continue_with(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                       WorkspaceOn<D>& workspace) const {
    detail::require_ids(ids, dimensions());
    detail::require_tokens(ids.size(), sequences, state.sequences(), state.fits(dimensions(), remembered()));
    const Matrix x = workspace.template matrix<T>(ids.size(), dimensions().d_model);
    embedding_.lookup(workspace.placed(ids), x, workspace);
    run(x, place_sequences<D>(sequences, workspace), state, workspace);
    return x;
  }

  void run(Matrix x, const SequencesOn<D>& sequences, state_type& state, WorkspaceOn<D>& workspace) const {
    for (std::size_t l = 0; l < blocks_.size(); ++l) {
      blocks_[l].forward(x, sequences, {}, state.layer(l), Pass{}, workspace);
    }
  }

  std::shared_ptr<const base_type> base_;
  std::vector<std::string> without_effect_;  // before options_, which finds them
  AdapterOptions options_;
  Selection selection_;
  ParameterStore<T, D> store_;
  Embedding embedding_;
  typename P::template policy_at<site::NormF>::template Element<T, D> norm_f_;
  typename PromptState<typename P::template policy_at<site::Prompt>>::type prompt_;
  std::vector<Block> blocks_;
  std::size_t first_learning_ = 0;
  std::vector<BlockActivations<T, D>> kept_;
};

}  // namespace sdlora
