#pragma once

#include "../error.hpp"
#include "../layers/mamba_config.hpp"
#include "../layers/mamba_weights.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

/// The recurrent state of a model for S sequences: all that it remembers of the tokens so far.
template <class T>
class MambaState {
 public:
  MambaState(const MambaDimensions& m, std::size_t sequences)
      : sequences_(sequences),
        window_size_(sequences * (m.d_conv - 1) * m.d_inner),
        h_size_(sequences * m.d_inner * m.d_state),
        values_(m.n_layer * (window_size_ + h_size_), T(0)) {}

  std::size_t sequences() const { return sequences_; }
  BlockState<T> layer(std::size_t l) {
    T* first = values_.data() + l * (window_size_ + h_size_);
    return {first, first + window_size_};
  }
  std::span<const T> values() const { return values_; }

  /// The state of sequence `from` of `other` for every sequence here. Both of one model. Throws
  /// ArgumentError where `other` has no such sequence.
  void repeat(const MambaState& other, std::size_t from) {
    for (std::size_t s = 0; s < sequences_; ++s) copy_sequence(other, from, s);
  }

  /// For sequence s here, the state of sequence from[s] of `other`. Both of one model. Throws
  /// ArgumentError where `other` has no such sequence, ShapeError unless each sequence here gets one.
  void gather(const MambaState& other, std::span<const std::size_t> from) {
    if (from.size() != sequences_) {
      throw ShapeError("MambaState: expected a sequence to take for each of " + std::to_string(sequences_) +
                       ", found " + std::to_string(from.size()) + "; give one index for each");
    }
    for (std::size_t s = 0; s < sequences_; ++s) copy_sequence(other, from[s], s);
  }

 private:
  void copy_sequence(const MambaState& other, std::size_t from, std::size_t to) {
    if (from >= other.sequences_) {
      throw ArgumentError("MambaState: expected a sequence below " + std::to_string(other.sequences_) +
                          ", found " + std::to_string(from) + "; name one that the other state has");
    }
    const std::size_t layers = values_.size() / (window_size_ + h_size_);
    const std::size_t window = window_size_ / sequences_;
    const std::size_t h = h_size_ / sequences_;
    for (std::size_t l = 0; l < layers; ++l) {
      T* target = values_.data() + l * (window_size_ + h_size_);
      const T* source = other.values_.data() + l * (other.window_size_ + other.h_size_);
      std::copy_n(source + from * window, window, target + to * window);
      std::copy_n(source + other.window_size_ + from * h, h, target + window_size_ + to * h);
    }
  }

  std::size_t sequences_;
  std::size_t window_size_;
  std::size_t h_size_;
  std::vector<T> values_;
};

}  // namespace sdlora
