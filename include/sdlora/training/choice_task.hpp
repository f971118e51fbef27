#pragma once

#include "../error.hpp"
#include "../model/example.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// Questions with one shared set of answers to choose from. All are token ids; candidates include
/// whatever ends a text, as the training data had it.
struct ChoiceTask {
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::vector<std::int32_t>> candidates;
  std::vector<std::size_t> answers;  ///< per prompt, the index of the right candidate
};

namespace detail {

/// Where the learned tail of an example begins: behind its ignored labels. Throws ArgumentError unless
/// each id has a label.
inline std::size_t tail_of(const Example& example, std::size_t number, const char* who) {
  if (example.labels.size() != example.ids.size()) {
    throw ArgumentError(std::string(who) + ": example " + std::to_string(number) +
                        ": expected as many labels as ids, found " + std::to_string(example.labels.size()) +
                        " labels for " + std::to_string(example.ids.size()) +
                        " ids; give one for each, ignored_label where nothing is learned");
  }
  std::size_t first = 0;
  while (first < example.labels.size() && example.labels[first] == ignored_label) ++first;
  return first;
}

}  // namespace detail

/// The distinct learned tails of examples, in order of their first appearance: the candidates of a
/// classification whose examples are a prompt and a class's name. Throws ArgumentError where labels
/// are not as many as ids.
template <class Data>
std::vector<std::vector<std::int32_t>> distinct_completions(const Data& data) {
  std::vector<std::vector<std::int32_t>> result;
  std::map<std::vector<std::int32_t>, bool> seen;
  std::size_t number = 0;
  for (const Example& example : examples_of(data)) {
    const std::size_t first = detail::tail_of(example, number++, "distinct_completions");
    std::vector<std::int32_t> tail(example.ids.begin() + static_cast<std::ptrdiff_t>(first),
                                   example.ids.end());
    if (seen.emplace(tail, true).second) result.push_back(std::move(tail));
  }
  return result;
}

/// The choice task of examples whose labels are one tail, among `candidates` (of the training data,
/// say). Throws ArgumentError where an example has no prompt, a tail that is no candidate, or labels
/// that are not as many as its ids.
template <class Data>
ChoiceTask choice_task(const Data& data, std::vector<std::vector<std::int32_t>> candidates) {
  ChoiceTask task;
  std::map<std::vector<std::int32_t>, std::size_t> index;
  for (std::size_t c = 0; c < candidates.size(); ++c) index.emplace(candidates[c], c);
  std::size_t number = 0;
  for (const Example& example : examples_of(data)) {
    const std::size_t first = detail::tail_of(example, number, "choice_task");
    const auto middle = example.ids.begin() + static_cast<std::ptrdiff_t>(first);
    const auto found = index.find({middle, example.ids.end()});
    if (first == 0 || found == index.end()) {
      throw ArgumentError(
          "choice_task: example " + std::to_string(number) +
          (first == 0 ? " has no prompt; give at least one token that is not learned"
                      : " ends in none of the candidates; take the candidates from all of the data"));
    }
    task.prompts.emplace_back(example.ids.begin(), middle);
    task.answers.push_back(found->second);
    ++number;
  }
  task.candidates = std::move(candidates);
  return task;
}

}  // namespace sdlora
