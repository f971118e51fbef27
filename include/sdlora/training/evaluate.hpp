#pragma once

#include "../error.hpp"
#include "../model/batch.hpp"
#include "../model/cross_entropy.hpp"
#include "../model/example.hpp"
#include "../model/language_model.hpp"
#include "../model/loss.hpp"
#include "../tensor/host_copy.hpp"
#include "../tensor/matrix_view.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

/// Tokens that evaluation puts through a model at once.
inline constexpr std::size_t evaluation_tokens = 4096;

/// Σ loss over every target of the data, in nats; its mean() is the loss per token. Throws
/// ArgumentError where there is no example.
template <LanguageModel Model, class Data>
Loss evaluate_loss(const Model& model, const Data& data, std::size_t batch_tokens = evaluation_tokens) {
  if (examples_of(data).empty()) {
    throw ArgumentError("evaluate_loss: expected examples, found none; give at least one");
  }
  Loss total;
  Batch batch;
  const auto flush = [&] {
    if (batch.empty()) return;
    const Loss loss = model.loss(batch);
    total.sum += loss.sum;
    total.count += loss.count;
    batch.clear();
  };
  for (const Example& example : examples_of(data)) {
    if (batch.tokens() + example.ids.size() > batch_tokens) flush();
    batch.add(example);
  }
  flush();
  return total;
}

/// exp of the mean loss; 1 of a loss without predictions.
inline double perplexity(const Loss& loss) { return std::exp(loss.mean()); }

/// log p(ids[t] | ids[0 … t − 1]) for t = 1, 2, …: one fewer than ids. Memory does not grow with
/// the length.
template <LanguageModel Model>
std::vector<double> token_log_probabilities(const Model& model, std::span<const std::int32_t> ids) {
  using T = typename Model::value_type;
  using D = typename Model::device_type;
  std::vector<double> result;
  if (ids.size() < 2) return result;
  result.reserve(ids.size() - 1);
  const std::size_t V = model.dimensions().vocab_size;
  const std::size_t block = detail::head_rows(V, std::min<std::size_t>(1024, ids.size() - 1));
  const Storage<T, D> memory(block * V);
  auto state = model.initial_state(1);
  for (std::size_t first = 0; first + 1 < ids.size(); first += block) {
    const std::size_t count = std::min(block, ids.size() - 1 - first);
    const MatrixView<T, D> logits_there{memory.data(), count, V};
    const std::size_t offsets[] = {0, count};
    model.forward(ids.subspan(first, count), {offsets}, state, logits_there);
    const HostCopy copy(logits_there);
    const MatrixView<const T> logits = copy.view();
    for (std::size_t i = 0; i < count; ++i) {
      const std::int32_t next = ids[first + i + 1];
      if (next < 0 || static_cast<std::size_t>(next) >= V) {
        throw ArgumentError("token_log_probabilities: token " + std::to_string(first + i + 1) + " is " +
                            std::to_string(next) + ", expected 0 to " + std::to_string(V - 1) +
                            "; was the text encoded with this model's tokenizer?");
      }
      result.push_back(static_cast<double>(logits(i, static_cast<std::size_t>(next)) -
                                           detail::log_sum_exp(logits.row(i), V)));
    }
  }
  return result;
}

}  // namespace sdlora
