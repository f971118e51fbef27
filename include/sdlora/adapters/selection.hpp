#pragma once

#include "../error.hpp"
#include "../tensor/matrix_view.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

namespace sdlora {

/// The chosen dimensions of one layer's SSM.
struct LayerSelection {
  std::vector<std::uint32_t> channels;  ///< ascending
  std::vector<std::uint32_t> states;    ///< for each channel in turn, its chosen states, ascending

  std::size_t states_per_channel() const { return channels.empty() ? 0 : states.size() / channels.size(); }
  friend bool operator==(const LayerSelection&, const LayerSelection&) = default;
};

/// Which channels and states learn, per layer: the outcome of SDLoRA's first phase and the input
/// of its second. An empty one (no layers) belongs to placements that select nothing.
struct Selection {
  std::size_t d_inner = 0;
  std::size_t d_state = 0;
  std::vector<LayerSelection> layers;

  friend bool operator==(const Selection&, const Selection&) = default;

  /// Throws ArgumentError unless every index is in range, ascending, and the counts agree.
  void validate() const {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const LayerSelection& layer = layers[l];
      const auto fail = [&](const std::string& what) {
        throw ArgumentError("Selection: layer " + std::to_string(l) + ": " + what);
      };
      if (layer.channels.size() != layers[0].channels.size() ||
          layer.states.size() != layers[0].states.size()) {
        fail("expected " + std::to_string(layers[0].channels.size()) + " channels with " +
             std::to_string(layers[0].states_per_channel()) + " states each as in layer 0, found " +
             std::to_string(layer.channels.size()) + " channels and " + std::to_string(layer.states.size()) +
             " states; select the same numbers in every layer");
      }
      if (layer.channels.empty() ? !layer.states.empty() : layer.states.size() % layer.channels.size() != 0) {
        fail("expected as many states for each of " + std::to_string(layer.channels.size()) +
             " channels, found " + std::to_string(layer.states.size()) +
             " states, not a multiple of the number of channels");
      }
      ascending(layer.channels.data(), layer.channels.size(), d_inner, "channel", fail);
      for (std::size_t c = 0; c < layer.channels.size(); ++c) {
        const std::size_t per = layer.states_per_channel();
        ascending(layer.states.data() + c * per, per, d_state, "state", fail);
      }
    }
  }

  /// Writes one line per layer: its channels, each with its states.
  friend std::ostream& operator<<(std::ostream& out, const Selection& selection) {
    for (std::size_t l = 0; l < selection.layers.size(); ++l) {
      const LayerSelection& layer = selection.layers[l];
      out << "layer " << l << ':';
      const std::size_t per = layer.states_per_channel();
      for (std::size_t c = 0; c < layer.channels.size(); ++c) {
        out << ' ' << layer.channels[c] << '(';
        for (std::size_t s = 0; s < per; ++s) out << (s == 0 ? "" : ",") << layer.states[c * per + s];
        out << ')';
      }
      out << '\n';
    }
    return out;
  }

 private:
  template <class Fail>
  static void ascending(const std::uint32_t* indices, std::size_t count, std::size_t bound, const char* what,
                        const Fail& fail) {
    for (std::size_t i = 0; i < count; ++i) {
      if (indices[i] >= bound || (i > 0 && indices[i] <= indices[i - 1])) {
        fail(std::string("expected ascending ") + what + " indices below " + std::to_string(bound) +
             ", found " + std::to_string(indices[i]) + " at position " + std::to_string(i));
      }
    }
  }
};

/// The published score of a (channel, state): the square of how far the selection phase moved A_log there
/// (Galim et al., section 5.2). A channel's score is the sum over its states.
struct SquaredChange {
  template <class T>
  constexpr double operator()(T change) const {
    return static_cast<double>(change) * static_cast<double>(change);
  }
};

/// A function from the change of A_log at one (channel, state) to its score.
template <class S>
concept SelectionScore = requires(const S& score, double change) {
  { score(change) } -> std::convertible_to<double>;
};

namespace detail {

/// The `count` best indices of `scores`, ascending; ties go to the lower one.
inline std::vector<std::uint32_t> best_of(const std::vector<double>& scores, std::size_t count) {
  std::vector<std::uint32_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (std::isnan(scores[i])) {
      throw ArgumentError("select_layer: the score of entry " + std::to_string(i) +
                          " is not a number; check the score function and what was trained to choose by");
    }
    order[i] = static_cast<std::uint32_t>(i);
  }
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

/// ArgumentError where more is to be chosen than there is.
inline void require_choice(const char* who, std::size_t channels, std::size_t of_channels, std::size_t states,
                           std::size_t of_states) {
  if (channels <= of_channels && states <= of_states) return;
  throw ArgumentError(std::string(who) + ": cannot choose " + std::to_string(channels) + " of " +
                      std::to_string(of_channels) + " channels and " + std::to_string(states) + " of " +
                      std::to_string(of_states) + " states; ask for fewer");
}

}  // namespace detail

/// Chooses the `channels` best channels of one layer, and in each its `states` best states, by
/// scores of `change` (E, N). Ties go to the lower index.
template <class T, SelectionScore Score = SquaredChange>
LayerSelection select_layer(MatrixView<const T> change, std::size_t channels, std::size_t states,
                            const Score& score = {}) {
  detail::require_choice("select_layer", channels, change.rows, states, change.cols);
  std::vector<double> of_channel(change.rows, 0.0);
  for (std::size_t c = 0; c < change.rows; ++c) {
    for (std::size_t n = 0; n < change.cols; ++n) of_channel[c] += score(change(c, n));
  }
  LayerSelection result;
  result.channels = detail::best_of(of_channel, channels);
  std::vector<double> of_state(change.cols);
  for (const std::uint32_t c : result.channels) {
    for (std::size_t n = 0; n < change.cols; ++n) of_state[n] = score(change(c, n));
    const std::vector<std::uint32_t> chosen = detail::best_of(of_state, states);
    result.states.insert(result.states.end(), chosen.begin(), chosen.end());
  }
  return result;
}

static_assert(SelectionScore<SquaredChange>);

}  // namespace sdlora
