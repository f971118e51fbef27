#pragma once

#include "../error.hpp"
#include "../model/cross_entropy.hpp"
#include "../model/language_model.hpp"
#include "../tensor/device.hpp"
#include "../tensor/host_copy.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/parallel.hpp"
#include "choice_task.hpp"
#include "evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// How candidates are scored. The score of a candidate is Σ log p of all its tokens after the
/// prompt; with `per_token`, that sum divided by their number.
struct ChoiceOptions {
  bool per_token = false;
  std::size_t batch_tokens = evaluation_tokens;     ///< prompt tokens at once
  std::size_t state_bytes = std::size_t{64} << 20;  ///< for the carried states of a batch
};

/// What came out of scoring a task.
struct ChoiceResult {
  std::vector<std::size_t> predictions;  ///< per prompt, the best candidate; the first of equals
  double accuracy = 0.0;
  double standard_error = 0.0;  ///< of the accuracy as a sample of a binomial: √(a·(1 − a)/n)
};

/// Scores candidates after prompts. A prompt runs once; candidates continue from its carried state,
/// many in one packed batch.
template <class Model>
class CandidateScorer {
  static_assert(
      LanguageModel<Model>,
      "sdlora::CandidateScorer: takes a language model, as MambaModel and AnyModel; language_model.hpp says "
      "what it must have (LanguageModel)");
  using T = typename Model::value_type;
  using D = typename Model::device_type;
  using State = typename Model::state_type;
  using Ids = std::vector<std::int32_t>;

 public:
  /// The model must outlive the scorer. Throws ArgumentError where there is no candidate, an empty
  /// one, or one outside the vocabulary.
  CandidateScorer(const Model& model, std::vector<Ids> candidates, ChoiceOptions options = {})
      : model_(&model),
        candidates_(std::move(candidates)),
        options_(options),
        vocabulary_(model.dimensions().vocab_size) {
    if (candidates_.empty()) {
      throw ArgumentError("CandidateScorer: expected candidates, found none; pass some");
    }
    for (std::size_t c = 0; c < candidates_.size(); ++c) {
      const std::string who = "CandidateScorer: candidate " + std::to_string(c) + ": ";
      if (candidates_[c].empty()) {
        throw ArgumentError(who + "expected at least one token, found none; leave it out");
      }
      for (const std::int32_t id : candidates_[c]) {
        if (id >= 0 && static_cast<std::size_t>(id) < vocabulary_) continue;
        throw ArgumentError(who + "expected ids from 0 to " + std::to_string(vocabulary_ - 1) + ", found " +
                            std::to_string(id) + "; encode it with the model's tokenizer");
      }
    }
    const State one(model.dimensions(), 1);
    most_states_ = std::max<std::size_t>(1, options_.state_bytes / (one.value_row().cols * sizeof(T)));
  }

  /// Scores of every candidate after every prompt, (prompts, candidates) row-major.
  std::vector<double> scores(std::span<const Ids> prompts) {
    std::vector<double> result;
    result.reserve(prompts.size() * candidates_.size());
    for_batches(prompts, [&](std::size_t count, const State& state) {
      std::vector<Pair> pairs;
      for (std::size_t p = 0; p < count; ++p) {
        for (std::size_t c = 0; c < candidates_.size(); ++c) pairs.push_back({p, c});
      }
      continue_pairs(state, pairs);
      result.insert(result.end(), sums_.begin(), sums_.end());
    });
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = scored(result[i], i % candidates_.size());
    return result;
  }

  /// The best candidate of every prompt. A candidate whose first token alone already scores worse
  /// than a complete one cannot win, so it is not run: the result is that of all scores.
  std::vector<std::size_t> best(std::span<const Ids> prompts) {
    std::vector<std::size_t> result;
    result.reserve(prompts.size());
    for_batches(prompts, [&](std::size_t count, const State& state) {
      const std::size_t C = candidates_.size();
      const auto bound = [&](std::size_t p, std::size_t c) { return scored(sums_[p * C + c], c); };
      std::vector<Pair> favourites;
      for (std::size_t p = 0; p < count; ++p) {
        std::size_t favourite = 0;
        for (std::size_t c = 1; c < C; ++c) {
          if (bound(p, c) > bound(p, favourite)) favourite = c;
        }
        favourites.push_back({p, favourite});
      }
      continue_pairs(state, favourites);
      std::vector<Pair> others;
      for (const Pair& pair : favourites) {
        const double reached = bound(pair.prompt, pair.candidate);
        for (std::size_t c = 0; c < C; ++c) {
          if (c == pair.candidate) continue;
          if (bound(pair.prompt, c) >= reached) {
            others.push_back({pair.prompt, c});
          } else {
            sums_[pair.prompt * C + c] = -std::numeric_limits<double>::infinity();
          }
        }
      }
      continue_pairs(state, others);
      for (std::size_t p = 0; p < count; ++p) {
        std::size_t winner = 0;
        for (std::size_t c = 1; c < C; ++c) {
          if (bound(p, c) > bound(p, winner)) winner = c;
        }
        result.push_back(winner);
      }
    });
    return result;
  }

 private:
  struct Pair {
    std::size_t prompt;
    std::size_t candidate;
  };

  double scored(double sum, std::size_t candidate) const {
    return options_.per_token ? sum / static_cast<double>(candidates_[candidate].size()) : sum;
  }

  static void require_number(double score, std::size_t prompt, std::size_t candidate) {
    if (!std::isnan(score)) return;
    throw Error("CandidateScorer: the score of candidate " + std::to_string(candidate) + " after prompt " +
                std::to_string(prompt) +
                " is not a number; the weights or the adapter are damaged or "
                "training diverged: use another checkpoint");
  }

  MatrixView<T, D> logits_room(std::size_t rows) {
    if (logits_.capacity() < rows * vocabulary_) logits_ = Storage<T, D>(rows * vocabulary_);
    return {logits_.data(), rows, vocabulary_};
  }

  /// Runs prompts, some at once, and calls use(count, state) with `sums_` (count, candidates) the
  /// log-probabilities of the candidates' first tokens.
  template <class Use>
  void for_batches(std::span<const Ids> prompts, const Use& use) {
    const std::size_t most = std::min(most_states_, detail::head_rows(vocabulary_, 4096));
    for (std::size_t first = 0; first < prompts.size();) {
      std::vector<std::int32_t> ids;
      std::vector<std::size_t> offsets{0};
      std::vector<std::size_t> rows;
      while (first + rows.size() < prompts.size() && rows.size() < most) {
        const Ids& prompt = prompts[first + rows.size()];
        if (prompt.empty()) {
          throw ArgumentError("CandidateScorer: prompt " + std::to_string(first + rows.size()) +
                              " is empty; give at least one token before the candidates");
        }
        if (!rows.empty() && ids.size() + prompt.size() > options_.batch_tokens) break;
        ids.insert(ids.end(), prompt.begin(), prompt.end());
        offsets.push_back(ids.size());
        rows.push_back(ids.size() - 1);
      }
      const std::size_t count = rows.size();
      State state = model_->initial_state(count);
      const MatrixView<T, D> logits_there = logits_room(count);
      model_->forward_rows(ids, {offsets}, state, rows, logits_there);
      const HostCopy copy(logits_there);
      const MatrixView<const T> logits = copy.view();
      const std::size_t C = candidates_.size();
      sums_.resize(count * C);
      parallel_for(count, [&](std::size_t p) {
        const T total = detail::log_sum_exp(logits.row(p), vocabulary_);
        for (std::size_t c = 0; c < C; ++c) {
          sums_[p * C + c] =
              static_cast<double>(logits(p, static_cast<std::size_t>(candidates_[c][0])) - total);
        }
      });
      for (std::size_t i = 0; i < sums_.size(); ++i) require_number(sums_[i], first + i / C, i % C);
      use(count, std::as_const(state));
      first += count;
    }
  }

  /// Adds to `sums_`, for each pair, the log-probabilities of the candidate's further tokens.
  void continue_pairs(const State& prompts, std::span<const Pair> pairs) {
    const std::size_t most_rows = detail::head_rows(vocabulary_, options_.batch_tokens);
    for (std::size_t first = 0; first < pairs.size();) {
      std::vector<std::int32_t> ids;
      std::vector<std::int32_t> targets;
      std::vector<std::size_t> offsets{0};
      std::vector<std::size_t> from;
      std::vector<double*> sums;
      std::size_t next = first;
      for (; next < pairs.size() && from.size() < most_states_; ++next) {
        const auto [p, c] = pairs[next];
        const Ids& candidate = candidates_[c];
        if (candidate.size() < 2) continue;
        if (!from.empty() && ids.size() + candidate.size() - 1 > most_rows) break;
        ids.insert(ids.end(), candidate.begin(), candidate.end() - 1);
        targets.insert(targets.end(), candidate.begin() + 1, candidate.end());
        offsets.push_back(ids.size());
        from.push_back(p);
        sums.push_back(&sums_[p * candidates_.size() + c]);
      }
      first = next;
      if (from.empty()) continue;
      State state(model_->dimensions(), from.size());
      state.gather(prompts, from);
      const MatrixView<T, D> logits_there = logits_room(ids.size());
      model_->forward(ids, {offsets}, state, logits_there);
      const HostCopy copy(logits_there);
      const MatrixView<const T> logits = copy.view();
      parallel_for(from.size(), [&](std::size_t s) {
        for (std::size_t i = offsets[s]; i < offsets[s + 1]; ++i) {
          *sums[s] += static_cast<double>(logits(i, static_cast<std::size_t>(targets[i])) -
                                          detail::log_sum_exp(logits.row(i), vocabulary_));
        }
      });
    }
  }

  const Model* model_;
  std::vector<Ids> candidates_;
  ChoiceOptions options_;
  std::size_t vocabulary_;
  std::size_t most_states_;
  Storage<T, D> logits_;
  std::vector<double> sums_;  // (prompts of the batch, candidates)
};

/// Accuracy of a model on a task, by scored candidates (see ChoiceOptions for the rule). Throws ArgumentError
/// unless each prompt has an answer, an index of the candidates.
template <LanguageModel Model>
ChoiceResult evaluate_choices(const Model& model, const ChoiceTask& task, ChoiceOptions options = {}) {
  if (task.prompts.empty() || task.prompts.size() != task.answers.size()) {
    throw ArgumentError("evaluate_choices: expected prompts, each with its answer, found " +
                        std::to_string(task.prompts.size()) + " prompts and " +
                        std::to_string(task.answers.size()) + " answers");
  }
  for (std::size_t p = 0; p < task.answers.size(); ++p) {
    if (task.answers[p] < task.candidates.size()) continue;
    throw ArgumentError("evaluate_choices: expected the answer of prompt " + std::to_string(p) +
                        " to be one of " + std::to_string(task.candidates.size()) +
                        " candidates, counted from 0, found " + std::to_string(task.answers[p]) +
                        "; give the index of the right one");
  }
  CandidateScorer<Model> scorer(model, task.candidates, options);
  ChoiceResult result;
  result.predictions = scorer.best(task.prompts);
  const double n = static_cast<double>(task.prompts.size());
  double correct = 0.0;
  for (std::size_t p = 0; p < task.prompts.size(); ++p)
    correct += result.predictions[p] == task.answers[p] ? 1.0 : 0.0;
  result.accuracy = correct / n;
  result.standard_error = std::sqrt(result.accuracy * (1.0 - result.accuracy) / n);
  return result;
}

}  // namespace sdlora
