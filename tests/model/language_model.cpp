// What evaluation, scoring and generation ask of a model: a model that is no Mamba gives it, too.
#include "support/tiny_models.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/generate.hpp>
#include <sdlora/model/language_model.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

struct Vocabulary {
  std::size_t vocab_size = 5;
};

/// The last token of each sequence.
struct LastTokens {
  std::vector<float> tokens;

  LastTokens(const Vocabulary&, std::size_t count) : tokens(count, 0.0F) {}
  std::size_t sequences() const { return tokens.size(); }
  MatrixView<const float> value_row() const { return {tokens.data(), 1, tokens.size()}; }
  void gather(const LastTokens& other, std::span<const std::size_t> from) {
    for (std::size_t s = 0; s < from.size(); ++s) tokens[s] = other.tokens[from[s]];
  }
};

/// Counts: after token i comes i + 1.
struct Counter {
  using value_type = float;
  using device_type = Cpu;
  using state_type = LastTokens;

  Vocabulary sizes;
  const Vocabulary& dimensions() const { return sizes; }
  static Loss loss(const Batch& batch) { return {0.0, batch.loss_tokens()}; }
  LastTokens initial_state(std::size_t sequences) const { return {sizes, sequences}; }
  void forward(std::span<const std::int32_t> ids, const Sequences& sequences, LastTokens& state,
               MatrixView<float> logits) const {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (std::size_t v = 0; v < sizes.vocab_size; ++v) {
        logits(i, v) = v == (static_cast<std::size_t>(ids[i]) + 1) % sizes.vocab_size ? 1.0F : 0.0F;
      }
    }
    for (std::size_t s = 0; s < sequences.count(); ++s) {
      if (sequences.length(s) > 0) {
        state.tokens[s] = static_cast<float>(ids[sequences.first(s) + sequences.length(s) - 1]);
      }
    }
  }
  void forward_rows(std::span<const std::int32_t> ids, const Sequences& sequences, LastTokens& state,
                    std::span<const std::size_t> rows, MatrixView<float> logits) const {
    std::vector<float> all(ids.size() * sizes.vocab_size);
    const MatrixView<float> every(all.data(), ids.size(), sizes.vocab_size);
    forward(ids, sequences, state, every);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t v = 0; v < sizes.vocab_size; ++v) logits(i, v) = every(rows[i], v);
    }
  }
  void step(std::span<const std::int32_t> ids, LastTokens& state, MatrixView<float> logits) const {
    std::vector<std::size_t> offsets(ids.size() + 1);
    for (std::size_t s = 0; s <= ids.size(); ++s) offsets[s] = s;
    forward(ids, {offsets}, state, logits);
  }
};
struct WithoutStates : Counter {
  using state_type = int;
};
struct WithoutStep : Counter {
  void step() = delete;
};

static_assert(LanguageModel<Counter> && !TrainableModel<Counter>);
static_assert(!LanguageModel<WithoutStates> && !LanguageModel<WithoutStep> && !LanguageModel<int>);
static_assert(SequenceState<LastTokens, Vocabulary> && !SequenceState<Vocabulary, Vocabulary>);
static_assert(SequenceState<MambaState<float>, MambaDimensions>);

using Frozen = MambaModel<Tiny, presets::NothingTrains>;
using Learning = MambaModel<presets::AnyMamba, presets::SDLoRA<>, double>;
static_assert(LanguageModel<Frozen> && TrainableModel<Learning>);
static_assert(may_learn<Counter> && may_learn<Learning> && !may_learn<Frozen>);

}  // namespace

TEST_CASE("language_model: generation runs a model that is no Mamba") {
  const Counter model;
  const std::vector<std::int32_t> prompt{4, 2};
  CHECK(generate(model, prompt, {.max_tokens = 4}) == std::vector<std::int32_t>{3, 4, 0, 1});
  CHECK(generate(model, prompt, {.max_tokens = 4, .stop_tokens = {0}}) == std::vector<std::int32_t>{3, 4});
}
