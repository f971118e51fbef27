#pragma once

#include "../adapters/policy.hpp"
#include "../model/batch.hpp"
#include "../model/head_loss.hpp"
#include "../model/language_model.hpp"
#include "../model/loss.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/sequences.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace sdlora {

/// A model that learns by a loss of one's own (HeadLoss): Trainer and evaluate_loss take it where they take
/// the model, which it refers to and which must outlive it. Blocks of a batch's rows come in order, so a loss
/// may prepare what it needs of the batch where rows.first is 0. `name` tells runs by other losses apart: a
/// run that resumes wants the name that it began with.
///
///     WithLoss distilled{model, loss, "distillation at temperature 2"};
///     Trainer{distilled, {.epochs = 3}}.fit(data);
template <class Model, class L>
class WithLoss {
  using T = typename Model::value_type;
  using D = typename Model::device_type;
  static_assert(
      HeadLoss<L, T, D>,
      "sdlora::WithLoss: a loss is called as loss(rows, logits, d_logits) with LossRows and "
      "MatrixViews (n, V) of the model's scalar and device, the first of const values, and returns a "
      "Loss");

 public:
  using value_type = T;
  using device_type = D;
  using state_type = typename Model::state_type;

  WithLoss(Model& model, L loss, std::string name)
      : model_(&model), loss_(std::move(loss)), name_(std::move(name)) {}

  Loss loss(const Batch& batch) const { return std::as_const(*model_).loss(batch, loss_); }
  Loss accumulate_gradients(const Batch& batch, double scale, const Pass& pass) {
    return model_->accumulate_gradients(batch, loss_, scale, pass);
  }

  std::string placement() const { return model_->placement() + " by " + name_; }
  const auto& dimensions() const { return model_->dimensions(); }
  const auto& base() const { return model_->base(); }
  const auto& options() const { return model_->options(); }
  const auto& selection() const { return model_->selection(); }
  auto& parameters() { return model_->parameters(); }
  const auto& parameters() const { return std::as_const(*model_).parameters(); }

  state_type initial_state(std::size_t sequences) const { return model_->initial_state(sequences); }
  void forward(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
               MatrixView<T, D> logits) const {
    model_->forward(ids, sequences, state, logits);
  }
  void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, state_type& state,
                    std::span<const std::size_t> rows, MatrixView<T, D> logits) const {
    model_->forward_rows(ids, sequences, state, rows, logits);
  }
  void step(std::span<const std::int32_t> ids, state_type& state, MatrixView<T, D> logits) const {
    model_->step(ids, state, logits);
  }

 private:
  Model* model_;
  mutable L loss_;  // what it prepares for a batch is no part of what it is
  std::string name_;
};

}  // namespace sdlora
