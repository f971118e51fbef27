#include <doctest/doctest.h>

#include <sdlora/training/choice_task.hpp>

#include "training/support.hpp"

#include <cstddef>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("a choice task from examples") {
  const std::vector<Example> data{{{1, 2, 7, 18}, {-100, -100, 7, 18}},
                                  {{3, 8, 9, 18}, {-100, 8, 9, 18}},
                                  {{4, 4, 7, 18}, {-100, -100, 7, 18}}};
  const auto candidates = distinct_completions(data);
  CHECK(candidates == std::vector<Ids>{{7, 18}, {8, 9, 18}});
  const ChoiceTask task = choice_task(data, candidates);
  CHECK(task.prompts == std::vector<Ids>{{1, 2}, {3}, {4, 4}});
  CHECK(task.answers == std::vector<std::size_t>{0, 1, 0});
  test::check_error<ArgumentError>([&] { choice_task(data, {{7, 18}}); }, {"example 1", "candidates"});
  const std::vector<Example> bare{{{7, 18}, {7, 18}}};
  test::check_error<ArgumentError>([&] { choice_task(bare, candidates); }, {"no prompt"});
}

TEST_CASE("examples whose labels are not one for each id make no choice task") {
  const std::vector<Example> longer{{{1, 7}, {-100, 7}}, {{1, 2}, {-100, -100, -100, 7}}};
  test::check_error<ArgumentError>([&] { distinct_completions(longer); },
                                   {"example 1: expected as many labels as ids", "found 4 labels for 2 ids"});
  test::check_error<ArgumentError>([&] { choice_task(longer, {{7}}); },
                                   {"choice_task", "example 1", "found 4 labels for 2 ids"});
}
