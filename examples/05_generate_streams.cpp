// examples/05_generate_streams.cpp: write several texts together; keep states, go back to them, gather some.
#include <iostream>
#include <sdlora/sdlora.hpp>
using namespace sdlora;
using Model = MambaModel<presets::AnyMamba, presets::NothingTrains>;
using Logits = Tensor<float, Extents<dyn, dyn>>;

// Goes on with all texts at once, a character of each at a time. A state is all that the model remembers.
std::vector<std::string> go_on(const Model& model, Model::state_type& state, Logits& logits,
                               std::uint64_t seed) {
  const std::size_t texts = state.sequences();
  std::vector<TokenSampler> samplers;
  for (std::size_t s = 0; s < texts; ++s)
    samplers.emplace_back(GenerateOptions{.temperature = 0.6, .seed = seed + s, .vocabulary = 128});
  std::vector<std::int32_t> ids(texts);
  std::vector<std::string> written(texts);
  for (std::size_t i = 0; i < 60; ++i) {
    for (std::size_t s = 0; s < texts; ++s) {
      ids[s] = samplers[s](std::span<const float>(logits.matrix().row(s), logits.extent(1)), i);
      written[s] += ids[s] == '\n' ? ' ' : static_cast<char>(ids[s]);
    }
    model.step(ids, state, logits.matrix());
  }
  return written;
}

int main() {
  const Model model{load_base<presets::AnyMamba>(SDLORA_SOURCE_DIR "/examples/base")};
  const std::vector<std::string> prompts{"In the beginning", "The king", "A state-space model is"};

  // The prompts lie one after another, without padding. Each asks for the logits behind its last character.
  std::vector<std::int32_t> ids;
  std::vector<std::size_t> offsets{0}, last;
  for (const std::string& prompt : prompts) {
    for (const std::int32_t id : ByteTokenizer{}.encode(prompt)) ids.push_back(id);
    offsets.push_back(ids.size());
    last.push_back(ids.size() - 1);
  }
  auto state = model.initial_state(prompts.size());
  Logits logits(prompts.size(), model.dimensions().vocab_size);
  model.forward_rows(ids, {offsets}, state, last, logits.matrix());

  const auto kept = state;  // a copy, of the same size however long the texts are
  const Logits kept_logits = logits;
  const auto written = go_on(model, state, logits, 1);
  for (std::size_t s = 0; s < prompts.size(); ++s) std::cout << prompts[s] << written[s] << '\n';

  // Two other ways to go on from the second prompt.
  const std::size_t chosen[] = {1, 1};
  auto two = model.initial_state(2);
  two.gather(kept, chosen);
  Logits two_logits = rows_at(kept_logits.matrix(), thread_workspace<Cpu>().placed<std::size_t>(chosen));
  for (const std::string& text : go_on(model, two, two_logits, 10)) std::cout << prompts[1] << text << '\n';

  state = kept;  // back to where all began: the same texts again
  logits = kept_logits;
  return go_on(model, state, logits, 1) == written ? 0 : 1;
}
