#include <doctest/doctest.h>

#include <sdlora/training/selection_criterion.hpp>

#include <set>
#include <string>

using namespace sdlora;

TEST_CASE("selection_criterion: names, there and back") {
  std::set<std::string> names;
  for (const std::string_view name : selection_criterion_names) {
    CHECK(selection_criterion_name(parse_selection_criterion(name)) == name);
    CHECK(names.insert(std::string(name)).second);
  }
  CHECK(names.size() == 8);
  CHECK(parse_selection_criterion("gradient-weight") == SelectionCriterion::GradientWeight);
  CHECK(parse_selection_criterion("ablation") == SelectionCriterion::Ablation);
  CHECK_THROWS_WITH_AS(
      parse_selection_criterion("weight"),
      "selection score: expected one of change, decay, magnitude, gradient, gradient-weight, "
      "fisher, gain, ablation, found 'weight'; give one of them",
      ArgumentError);
}

TEST_CASE("selection_criterion: two of them train") {
  std::size_t training = 0;
  for (const std::string_view name : selection_criterion_names) {
    training += trains_first(parse_selection_criterion(name)) ? 1 : 0;
  }
  CHECK(training == 2);
  CHECK(trains_first(SelectionCriterion::Change));
  CHECK(trains_first(SelectionCriterion::Decay));
}
