#pragma once

#include "../error.hpp"
#include "../tensor/host_copy.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/random.hpp"
#include "../tensor/tensor.hpp"
#include "../text.hpp"
#include "language_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// How tokens are chosen, and when to stop.
struct GenerateOptions {
  std::size_t max_tokens = 128;
  double temperature = 0.0;  ///< logits are divided by it; 0: the likeliest token ("greedy")
  std::size_t top_k = 0;     ///< only the k likeliest tokens; 0: all
  double top_p = 1.0;        ///< only the likeliest tokens that reach this probability together
  std::uint64_t seed = 0;
  std::vector<std::int32_t> stop_tokens = {};  ///< each ends the text and is not part of it
  std::size_t vocabulary =
      0;  ///< only ids below it; 0: all. For a vocabulary padded with ids that mean nothing
  std::function<bool(std::int32_t)> on_token = {};  ///< called with every token at once; false ends the text
};

/// Chooses tokens from logits: temperature, then top-k, then top-p, as `transformers` orders them.
/// The choice follows from the logits, the seed and the token's number alone. Ties go to the lower id.
class TokenSampler {
 public:
  /// Throws ArgumentError where an option makes no sense.
  explicit TokenSampler(const GenerateOptions& options)
      : temperature_(options.temperature),
        top_k_(options.top_k),
        top_p_(options.top_p),
        vocabulary_(options.vocabulary),
        random_(options.seed, 0) {
    if (!(temperature_ >= 0.0) || !std::isfinite(temperature_)) {
      throw ArgumentError("generate: expected a temperature of at least 0, found " +
                          detail::short_number(temperature_) +
                          "; 0 takes the likeliest token, 1 samples as is");
    }
    if (!(top_p_ > 0.0) || !(top_p_ <= 1.0)) {
      throw ArgumentError("generate: expected a top_p above 0 and at most 1, found " +
                          detail::short_number(top_p_) + "; 1 allows every token");
    }
  }

  /// The id of token number `index`. Throws Error where a logit is not a number or infinitely large,
  /// or all are −∞; single ones may be: those tokens are ruled out.
  template <class T>
  std::int32_t operator()(std::span<const T> logits, std::uint64_t index) {
    if (vocabulary_ != 0) logits = logits.first(std::min(vocabulary_, logits.size()));
    const std::size_t top = likeliest(logits);
    if (temperature_ == 0.0) return static_cast<std::int32_t>(top);
    const auto highest = static_cast<double>(logits[top]);
    weights_.resize(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
      weights_[i] = {std::exp((static_cast<double>(logits[i]) - highest) / temperature_),
                     static_cast<std::int32_t>(i)};
    }
    const std::size_t kept = filter();
    double total = 0.0;
    for (std::size_t i = 0; i < kept; ++i) total += weights_[i].first;
    double left = random_.uniform(index) * total;
    for (std::size_t i = 0; i + 1 < kept; ++i) {
      left -= weights_[i].first;
      if (left < 0.0) return weights_[i].second;
    }
    return weights_[kept - 1].second;
  }

 private:
  /// The first of the highest logits.
  template <class T>
  static std::size_t likeliest(std::span<const T> logits) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    const auto refuse = [](const std::string& found) {
      throw Error("generate: expected logits that are numbers, found " + found +
                  "; the weights or the adapter are damaged or training diverged: use another checkpoint");
    };
    T highest = -infinity;
    std::size_t top = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (!(logits[i] < infinity)) {
        refuse((std::isnan(logits[i]) ? "nan for token " : "inf for token ") + std::to_string(i));
      }
      if (logits[i] > highest) {
        highest = logits[i];
        top = i;
      }
    }
    if (highest == -infinity) refuse("no token with any probability");
    return top;
  }

  /// Puts the tokens that top-k and top-p allow to the front; returns how many.
  std::size_t filter() {
    std::size_t kept = top_k_ == 0 ? weights_.size() : std::min(top_k_, weights_.size());
    if (kept == weights_.size() && top_p_ == 1.0) return kept;
    std::partial_sort(weights_.begin(), weights_.begin() + static_cast<std::ptrdiff_t>(kept), weights_.end(),
                      [](const auto& a, const auto& b) {
                        return a.first != b.first ? a.first > b.first : a.second < b.second;
                      });
    double total = 0.0;
    for (std::size_t i = 0; i < kept; ++i) total += weights_[i].first;
    double reached = 0.0;
    for (std::size_t i = 0; i < kept; ++i) {
      reached += weights_[i].first;
      if (reached >= top_p_ * total) return i + 1;
    }
    return kept;
  }

  double temperature_;
  std::size_t top_k_;
  double top_p_;
  std::size_t vocabulary_;
  RandomStream random_;
  std::vector<std::pair<double, std::int32_t>> weights_;
};

/// Continues one sequence from `state`, which has read everything before, given the logits (1, V) of
/// the first token to choose, which are overwritten. The state moves on past all returned tokens but the
/// last, and past that one too where a stop token followed it.
template <LanguageModel Model, class T, class D>
std::vector<std::int32_t> generate(const Model& model, typename Model::state_type& state,
                                   MatrixView<T, D> logits, const GenerateOptions& options) {
  if (state.sequences() != 1) {
    throw ArgumentError("generate: expected the state of 1 sequence, found " +
                        std::to_string(state.sequences()) + "; continue sequences one at a time");
  }
  if (logits.rows != 1 || logits.cols != model.dimensions().vocab_size) {
    throw ArgumentError("generate: expected " + std::to_string(model.dimensions().vocab_size) +
                        " logits, one for each token of the vocabulary, found " +
                        std::to_string(logits.rows * logits.cols) + "; pass those of this model");
  }
  TokenSampler sampler(options);
  std::vector<std::int32_t> result;
  while (result.size() < options.max_tokens) {
    const std::int32_t token = sampler(HostCopy(logits).values(), result.size());
    if (std::find(options.stop_tokens.begin(), options.stop_tokens.end(), token) != options.stop_tokens.end())
      break;
    result.push_back(token);
    if (options.on_token && !options.on_token(token)) break;
    if (result.size() < options.max_tokens) model.step({&result.back(), 1}, state, logits);
  }
  return result;
}

/// The same from logits in host memory, which stay.
template <LanguageModel Model>
  requires is_host<typename Model::device_type>
std::vector<std::int32_t> generate(const Model& model, typename Model::state_type& state,
                                   std::vector<typename Model::value_type> logits,
                                   const GenerateOptions& options) {
  return generate(model, state, MatrixView<typename Model::value_type>(logits.data(), 1, logits.size()),
                  options);
}

/// Continues a prompt of at least one token; returns the new tokens. Work per token does not depend
/// on what came before. Throws ArgumentError on an empty prompt.
template <LanguageModel Model>
std::vector<std::int32_t> generate(const Model& model, std::span<const std::int32_t> prompt,
                                   const GenerateOptions& options = {}) {
  using T = typename Model::value_type;
  if (prompt.empty()) {
    throw ArgumentError(
        "generate: expected a prompt of at least one token, found none; begin with the end-of-text "
        "token for a text from nothing");
  }
  auto state = model.initial_state(1);
  Tensor<T, Extents<dyn, dyn>, typename Model::device_type> logits(1, model.dimensions().vocab_size);
  const std::size_t offsets[] = {0, prompt.size()};
  const std::size_t last[] = {prompt.size() - 1};
  model.forward_rows(prompt, {offsets}, state, last, logits.matrix());
  return generate(model, state, logits.matrix(), options);
}

}  // namespace sdlora
