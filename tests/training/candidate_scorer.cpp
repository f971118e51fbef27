#include <doctest/doctest.h>

#include <sdlora/training/candidate_scorer.hpp>

#include "training/support.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class Model>
void candidates_by_brute_force(Model& model) {
  const std::vector<Ids> candidates{{3}, {4, 5}, {4, 5, 6, 18}, {7, 1}, {0, 2, 2, 2, 2, 9}};
  std::vector<Ids> prompts;
  for (std::size_t p = 0; p < 13; ++p) prompts.push_back(random_ids(1 + p % 5, p));
  for (const bool per_token : {false, true}) {
    CAPTURE(per_token);
    std::vector<double> expected;
    std::vector<std::size_t> best;
    for (const Ids& prompt : prompts) {
      std::vector<double> scores;
      for (const Ids& candidate : candidates) {
        Ids ids = prompt;
        ids.insert(ids.end(), candidate.begin(), candidate.end());
        double sum = 0.0;
        for (const double value : by_logits(model, ids, prompt.size())) sum += value;
        scores.push_back(per_token ? sum / static_cast<double>(candidate.size()) : sum);
      }
      expected.insert(expected.end(), scores.begin(), scores.end());
      best.push_back(
          static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin()));
    }
    CHECK(std::adjacent_find(best.begin(), best.end(), std::not_equal_to<>()) != best.end());
    // One prompt and one state at a time, a few, and all at once.
    for (const auto& [tokens, bytes] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {7, 20000}, {4096, 1 << 26}}) {
      CandidateScorer<Model> scorer(model, candidates, {per_token, tokens, bytes});
      const std::vector<double> scores = scorer.scores(prompts);
      REQUIRE(scores.size() == expected.size());
      for (std::size_t i = 0; i < scores.size(); ++i)
        CHECK(scores[i] == doctest::Approx(expected[i]).epsilon(1e-11));
      CHECK(scorer.best(prompts) == best);
    }
    ChoiceTask task{prompts, candidates, best};
    task.answers[2] = (best[2] + 1) % candidates.size();
    const ChoiceResult result = evaluate_choices(model, task, {.per_token = per_token});
    CHECK(result.predictions == best);
    CHECK(result.accuracy == doctest::Approx(12.0 / 13.0));
    CHECK(result.standard_error == doctest::Approx(std::sqrt(12.0 / 13.0 * (1.0 / 13.0) / 13.0)));
  }
}

}  // namespace

TEST_CASE("candidates are scored as if each followed its prompt alone") {
  auto model = stirred<presets::LoRALinear<2>>();
  candidates_by_brute_force(model);
}

TEST_CASE("candidates go on from learned states, prefixes and prompts too") {
  auto h0 = stirred<presets::InitialState>();
  candidates_by_brute_force(h0);
  auto prefix = stirred<presets::Prefix<3>>();
  const std::vector<Ids> prompts{random_ids(4, 1), random_ids(2, 2)};
  const std::vector<Ids> candidates{{1, 2, 3}, {4}};
  auto prompt = stirred<presets::Prompt<3>>();
  const auto check = [&](auto& model) {
    CandidateScorer scorer(model, candidates);
    const auto scores = scorer.scores(prompts);
    for (std::size_t p = 0; p < 2; ++p) {
      for (std::size_t c = 0; c < 2; ++c) {
        // The loss of the prompt's model on the whole, of which only the candidate is learned.
        Example example{prompts[p], Ids(prompts[p].size(), ignored_label)};
        example.ids.insert(example.ids.end(), candidates[c].begin(), candidates[c].end());
        example.labels.insert(example.labels.end(), candidates[c].begin(), candidates[c].end());
        CHECK(scores[p * 2 + c] == doctest::Approx(-model.loss(Batch({&example, 1})).sum).epsilon(1e-11));
      }
    }
  };
  check(prefix);
  check(prompt);
}

TEST_CASE("scores that are no numbers choose no candidate") {
  auto model = stirred<presets::BitFit>();
  for (double& value : model.parameters().values()) value = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Ids> prompts{{1, 2}, {3}}, candidates{{1, 2}, {4}};
  CandidateScorer scorer(model, candidates);
  test::check_error<Error>([&] { scorer.best(prompts); },
                           {"CandidateScorer: the score of candidate 0 after prompt 0 is not a number"});
  test::check_error<Error>([&] { scorer.scores(prompts); }, {"another checkpoint"});
}

TEST_CASE("unusable candidates, prompts and tasks are refused") {
  auto model = stirred<presets::BitFit>();
  using Scorer = CandidateScorer<decltype(model)>;
  const std::vector<Ids> none;
  const std::vector<Ids> empty{{1}, {}};
  const std::vector<Ids> outside{{1, 19}};
  const std::vector<Ids> good{{1, 2}};
  test::check_error<ArgumentError>([&] { Scorer(model, none); }, {"found none"});
  test::check_error<ArgumentError>([&] { Scorer(model, empty); },
                                   {"candidate 1: expected at least one token, found none;"});
  test::check_error<ArgumentError>([&] { Scorer(model, outside); },
                                   {"candidate 0: expected ids from 0 to 18, found 19;"});
  Scorer scorer(model, good);
  test::check_error<ArgumentError>([&] { scorer.best(empty); }, {"prompt 1"});
  CHECK(scorer.best(none).empty());
  test::check_error<ArgumentError>([&] { evaluate_choices(model, ChoiceTask{}); }, {"0 prompts"});
  test::check_error<ArgumentError>([&] { evaluate_choices(model, ChoiceTask{good, good, {}}); },
                                   {"0 answers"});
  test::check_error<ArgumentError>([&] { evaluate_choices(model, ChoiceTask{good, good, {1}}); },
                                   {"the answer of prompt 0 to be one of 1 candidates", "found 1"});
}
