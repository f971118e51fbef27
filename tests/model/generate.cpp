#include <doctest/doctest.h>

#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/safetensors.hpp>
#include <sdlora/io/safetensors_writer.hpp>
#include <sdlora/model/generate.hpp>

#include "io/support.hpp"
#include "support/tiny_models.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using Ids = std::vector<std::int32_t>;

template <class Model>
Ids greedy_by_logits(Model& model, Ids ids, std::size_t count) {
  const std::size_t length = ids.size();
  while (ids.size() < length + count) {
    Batch batch;
    batch.add({ids, ids});
    const auto logits = model.logits(batch);
    const auto* last = logits.matrix().row(ids.size() - 1);
    ids.push_back(static_cast<std::int32_t>(std::max_element(last, last + 19) - last));
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(length), ids.end()};
}

template <class P>
auto model_of() {
  auto model = make_model<P, Tiny, double>(rough_base<Tiny, double>(tiny_dimensions));
  if constexpr (P::learns) stir(model);
  return model;
}

/// Frequencies of the tokens that a sampler draws from the logits.
std::map<std::int32_t, double> frequencies(const GenerateOptions& options, const std::vector<float>& logits) {
  TokenSampler sampler(options);
  std::map<std::int32_t, double> result;
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    result[sampler(std::span<const float>(logits), static_cast<std::uint64_t>(i))] += 1.0 / draws;
  }
  return result;
}

}  // namespace

TEST_CASE("greedy generation is the argmax of the full logits, step after step") {
  const auto check = [](auto model) {
    const Ids prompt{3, 1, 4, 1, 5};
    CHECK(generate(model, prompt, {.max_tokens = 12}) == greedy_by_logits(model, prompt, 12));
    CHECK(generate(model, Ids{7}, {.max_tokens = 1}) == greedy_by_logits(model, {7}, 1));
    CHECK(generate(model, prompt, {.max_tokens = 0}).empty());
  };
  check(model_of<presets::NothingTrains>());
  check(model_of<presets::LoRAAll<2>>());
  check(model_of<presets::InitialState>());
  check(model_of<presets::Prefix<3>>());
}

TEST_CASE("sampling follows from the seed") {
  auto model = model_of<presets::NothingTrains>();
  const Ids prompt{3, 1, 4};
  GenerateOptions options{.max_tokens = 40, .temperature = 1.5, .seed = 1};
  const Ids text = generate(model, prompt, options);
  CHECK(text.size() == 40);
  CHECK(generate(model, prompt, options) == text);
  options.seed = 2;
  CHECK(generate(model, prompt, options) != text);
  options.top_k = 1;
  const Ids greedy = generate(model, prompt, {.max_tokens = 40});
  CHECK(generate(model, prompt, options) == greedy);
  options.top_k = 0;
  options.top_p = 1e-9;
  CHECK(generate(model, prompt, options) == greedy);
}

TEST_CASE("a stop token, a callback and a vocabulary end or bound the text") {
  auto model = model_of<presets::NothingTrains>();
  const Ids prompt{3, 1, 4};
  GenerateOptions options{.max_tokens = 30, .temperature = 2.0, .seed = 3};
  const Ids text = generate(model, prompt, options);
  Ids streamed;
  options.on_token = [&](std::int32_t token) {
    streamed.push_back(token);
    return true;
  };
  CHECK(generate(model, prompt, options) == text);
  CHECK(streamed == text);
  options.on_token = [count = 0](std::int32_t) mutable { return ++count < 5; };
  CHECK(generate(model, prompt, options) == Ids(text.begin(), text.begin() + 5));
  options.on_token = {};
  options.stop_tokens = {text[8]};
  const auto end = std::find(text.begin(), text.end(), text[8]);
  CHECK(generate(model, prompt, options) == Ids(text.begin(), end));
  options.stop_tokens = {};
  options.vocabulary = 6;
  for (const std::int32_t token : generate(model, prompt, options)) CHECK(token < 6);
  CHECK(*std::max_element(text.begin(), text.end()) >= 6);
}

TEST_CASE("a text goes on from a carried state") {
  auto model = model_of<presets::LoRAAll<2>>();
  const Ids prompt{3, 1, 4, 1};
  const Ids text = generate(model, prompt, {.max_tokens = 9});
  auto state = model.initial_state(1);
  std::vector<double> logits(19);
  for (const std::int32_t token : prompt)
    model.step({&token, 1}, state, MatrixView<double>{logits.data(), 1, 19});
  const Ids first = generate(model, state, logits, {.max_tokens = 4});
  model.step({&first.back(), 1}, state, MatrixView<double>{logits.data(), 1, 19});
  Ids whole = first;
  const Ids second = generate(model, state, logits, {.max_tokens = 5});
  whole.insert(whole.end(), second.begin(), second.end());
  CHECK(whole == text);

  // The last token has been read where a stop token followed it, and else not.
  const auto after = [&](std::size_t tokens) {
    auto read = model.initial_state(1);
    for (const std::int32_t token : prompt)
      model.step({&token, 1}, read, MatrixView<double>{logits.data(), 1, 19});
    const std::vector<double> begin = logits;
    for (std::size_t i = 0; i < tokens; ++i)
      model.step({&text[i], 1}, read, MatrixView<double>{logits.data(), 1, 19});
    logits = begin;
    return read;
  };
  const auto same = [](const auto& a, const auto& b) {
    return std::equal(a.values().begin(), a.values().end(), b.values().begin());
  };
  std::size_t stop = 1;  // the first token that did not occur before it
  while (std::find(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(stop), text[stop]) !=
         text.begin() + static_cast<std::ptrdiff_t>(stop))
    REQUIRE(++stop < text.size());
  auto cut = after(0);
  CHECK(generate(model, cut, logits, {.max_tokens = stop}).size() == stop);
  CHECK(same(cut, after(stop - 1)));
  auto stopped = after(0);
  CHECK(generate(model, stopped, logits, {.max_tokens = 9, .stop_tokens = {text[stop]}}).size() == stop);
  CHECK(same(stopped, after(stop)));
}

TEST_CASE("temperature, top-k and top-p give the probabilities that they should") {
  const std::vector<float> logits{1.0F, 3.0F, 0.0F, 2.0F, 2.0F};
  const auto softmax = [&](double temperature, const std::vector<std::int32_t>& kept) {
    std::map<std::int32_t, double> p;
    double total = 0.0;
    for (const std::int32_t i : kept)
      total += std::exp(static_cast<double>(logits[static_cast<std::size_t>(i)]) / temperature);
    for (const std::int32_t i : kept) {
      p[i] = std::exp(static_cast<double>(logits[static_cast<std::size_t>(i)]) / temperature) / total;
    }
    return p;
  };
  const auto check = [&](const GenerateOptions& options, const std::map<std::int32_t, double>& expected) {
    const auto found = frequencies(options, logits);
    CHECK(found.size() == expected.size());
    for (const auto& [token, p] : expected) {
      CAPTURE(token);
      REQUIRE(found.contains(token));
      CHECK(std::abs(found.at(token) - p) < 1e-9 + 5.0 * std::sqrt(p * (1.0 - p) / 20000.0));
    }
  };
  check({.temperature = 1.0}, softmax(1.0, {0, 1, 2, 3, 4}));
  check({.temperature = 0.5, .seed = 7}, softmax(0.5, {0, 1, 2, 3, 4}));
  check({.temperature = 2.0, .top_k = 2}, softmax(2.0, {1, 3}));  // of equals the first
  check({.temperature = 1.0, .top_k = 99}, softmax(1.0, {0, 1, 2, 3, 4}));
  // Probabilities at temperature 1: 0.53 0.19 0.19 0.07 0.03.
  check({.temperature = 1.0, .top_p = 0.5}, softmax(1.0, {1}));
  check({.temperature = 1.0, .top_p = 0.7}, softmax(1.0, {1, 3}));
  check({.temperature = 1.0, .top_p = 0.8}, softmax(1.0, {1, 3, 4}));
  check({.temperature = 1.0, .top_k = 3, .top_p = 0.75}, softmax(1.0, {1, 3}));
  check({.temperature = 1.0, .vocabulary = 2}, softmax(1.0, {0, 1}));
}

TEST_CASE("logits that are no numbers choose no token") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (const double temperature : {0.0, 1.0}) {
    for (const std::size_t top_k : {std::size_t{0}, std::size_t{2}}) {
      TokenSampler sampler({.temperature = temperature, .top_k = top_k});
      const auto refuses = [&](const std::vector<float>& logits, const char* found) {
        test::check_error<Error>([&] { sampler(std::span<const float>(logits), 0); },
                                 {"expected logits that are numbers", found, "another checkpoint"});
      };
      refuses({nan, nan, nan}, "found nan for token 0");
      refuses({1.0F, nan, 2.0F}, "found nan for token 1");
      refuses({1.0F, 2.0F, infinity}, "found inf for token 2");
      refuses({-infinity, -infinity}, "found no token with any probability");
      refuses({}, "found no token");
      // Tokens that are ruled out may be so.
      const std::vector<float> masked{-infinity, 1.0F, -infinity};
      CHECK(sampler(std::span<const float>(masked), 0) == 1);
    }
  }
  auto model = model_of<presets::NothingTrains>();
  auto state = model.initial_state(1);
  test::check_error<Error>([&] { generate(model, state, std::vector<double>(19, nan), {}); }, {"found nan"});
}

TEST_CASE("what makes no sense is refused") {
  auto model = model_of<presets::NothingTrains>();
  test::check_error<ArgumentError>([&] { generate(model, Ids{}, {}); }, {"prompt", "at least one"});
  test::check_error<ArgumentError>([&] { generate(model, Ids{1}, {.temperature = -1.0}); },
                                   {"expected a temperature of at least 0, found -1;"});
  test::check_error<ArgumentError>([&] { generate(model, Ids{1}, {.top_p = 0.0}); },
                                   {"expected a top_p above 0 and at most 1, found 0;"});
  test::check_error<ArgumentError>([&] { generate(model, Ids{1}, {.top_p = 1.5}); }, {"found 1.5;"});
  test::check_error<ArgumentError>([&] { generate(model, Ids{19}, {}); }, {"19"});
  auto two = model.initial_state(2);
  test::check_error<ArgumentError>([&] { generate(model, two, std::vector<double>(19), {}); },
                                   {"expected the state of 1 sequence, found 2;"});
  auto one = model.initial_state(1);
  test::check_error<ArgumentError>([&] { generate(model, one, std::vector<double>(18), {}); },
                                   {"expected 19 logits, one for each token of the vocabulary, found 18;"});
}

TEST_CASE("texts go on from a state that lay in a file as from the state itself") {
  using Model = MambaModel<Tiny, presets::Prefix<3>, float>;
  Model model = make_model<presets::Prefix<3>, Tiny, float>(rough_base<Tiny, float>(tiny_dimensions));
  stir(model);
  const test::Folder folder;
  const std::size_t S = 3, V = 19;
  const Ids ids{3, 1, 4, 1, 5, 9, 2};
  const std::size_t offsets[] = {0, 4, 5, 7};
  auto state = model.initial_state(S);
  std::vector<float> logits(ids.size() * V);
  model.forward(ids, {offsets}, state, {logits.data(), ids.size(), V});

  SafetensorsWriter writer;
  const std::vector<float> values = state.host_values();
  writer.add("state", Dtype::F32, {S, values.size() / S}, std::span<const float>(values));
  writer.save(folder / "state.safetensors");
  Model::state_type again(model.dimensions(), S);
  again.set_values(TensorFile::open(folder / "state.safetensors").read<float>("state"));

  const auto go_on = [&](Model::state_type& from) {
    std::vector<float> all, row(S * V);
    Ids next{7, 8, 6};
    for (int i = 0; i < 20; ++i) {
      model.step(next, from, {row.data(), S, V});
      all.insert(all.end(), row.begin(), row.end());
      for (std::size_t s = 0; s < S; ++s) {
        const float* of = row.data() + s * V;
        next[s] = static_cast<std::int32_t>(std::max_element(of, of + V) - of);
      }
    }
    return all;
  };
  const std::vector<float> expected = go_on(state);
  CHECK(go_on(again) == expected);
  Model::state_type fresh = model.initial_state(S);
  CHECK(go_on(fresh) != expected);
}
