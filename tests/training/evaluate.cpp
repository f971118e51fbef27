#include <doctest/doctest.h>

#include <sdlora/training/evaluate.hpp>

#include "training/support.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("the loss of a data set does not depend on how it is cut into batches") {
  auto model = stirred<presets::LoRASsm<2>>();
  const auto data = some_examples({9, 2, 3, 11, 4}, 19);
  double sum = 0.0;
  std::size_t count = 0;
  for (const Example& example : data) {
    const std::vector<double> logs = by_logits(model, example.ids, 1);
    for (std::size_t t = 1; t < example.ids.size(); ++t) {
      if (example.labels[t] == ignored_label) continue;
      Ids ids(example.ids.begin(), example.ids.begin() + static_cast<std::ptrdiff_t>(t));
      ids.push_back(example.labels[t]);
      sum -= by_logits(model, ids, t)[0];
      ++count;
    }
  }
  for (const std::size_t tokens : {std::size_t{1}, std::size_t{12}, evaluation_tokens}) {
    const Loss loss = evaluate_loss(model, data, tokens);
    CHECK(loss.count == count);
    CHECK(loss.sum == doctest::Approx(sum).epsilon(1e-11));
    CHECK(perplexity(loss) == doctest::Approx(std::exp(sum / static_cast<double>(count))));
  }
}

TEST_CASE("log-probabilities of tokens are those of the logits, however long the text") {
  auto model = stirred<presets::LoRASsm<2>>();
  for (const std::size_t length : {0U, 1U, 2U, 37U, 2100U}) {
    CAPTURE(length);
    const Ids ids = random_ids(length, length);
    const std::vector<double> found = token_log_probabilities(model, ids);
    const std::vector<double> expected = length < 2 ? std::vector<double>{} : by_logits(model, ids, 1);
    REQUIRE(found.size() == expected.size());
    double worst = 0.0;
    for (std::size_t t = 0; t < found.size(); ++t) worst = std::max(worst, std::abs(found[t] - expected[t]));
    CHECK(worst < 1e-10);
  }
  test::check_error<ArgumentError>([&] { token_log_probabilities(model, Ids{1, 2, 19}); }, {"token 2 is 19"});
}

TEST_CASE("no example has no loss") {
  auto model = stirred<presets::BitFit>();
  test::check_error<ArgumentError>([&] { evaluate_loss(model, std::vector<Example>{}); },
                                   {"evaluate_loss: expected examples, found none"});
  // One token predicts nothing: the loss of no target is zero.
  CHECK(evaluate_loss(model, std::vector<Example>{{{3}, {3}}}).count == 0);
}
