#pragma once

#include "../version.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sdlora {

/// The label of a position that takes no part in the loss, as in `transformers`.
inline constexpr std::int32_t ignored_label = -100;

/// One training sequence. `labels[t]` is the token *at* position t (unshifted, as in
/// `transformers`): the model predicts it from the tokens before t, so `labels[0]` is never used.
struct Example {
  std::vector<std::int32_t> ids;     // (L)
  std::vector<std::int32_t> labels;  // (L), token ids or `ignored_label`

  friend bool operator==(const Example&, const Example&) = default;
};

/// How many predictions of the example enter its loss.
inline std::size_t loss_tokens(const Example& example) {
  std::size_t count = 0;
  for (std::size_t t = 1; t < example.labels.size(); ++t) count += example.labels[t] != ignored_label;
  return count;
}

/// Examples of a dataset (anything with `examples()`) or of any contiguous range of them.
template <class Data>
std::span<const Example> examples_of(const Data& data) {
  if constexpr (requires { data.examples(); }) {
    return data.examples();
  } else {
    return data;
  }
}

}  // namespace sdlora
