#pragma once

#include "../error.hpp"
#include "../layers/mamba/config.hpp"
#include "../layers/mamba/weights.hpp"

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
        layers_(m.n_layer),
        window_((m.d_conv - 1) * m.d_inner),
        h_(m.d_inner * m.d_state),
        values_(layers_ * stride(), T(0)) {}

  std::size_t sequences() const { return sequences_; }
  /// Whether it is the state of a model of these sizes.
  bool fits(const MambaDimensions& m) const {
    return layers_ == m.n_layer && window_ == (m.d_conv - 1) * m.d_inner && h_ == m.d_inner * m.d_state;
  }
  BlockState<T> layer(std::size_t l) {
    T* first = values_.data() + l * stride();
    return {first, first + sequences_ * window_};
  }
  std::span<const T> values() const { return values_; }

  /// The state of sequence `from` of `other` for every sequence here. Both of one model. Throws
  /// ArgumentError where `other` has no such sequence, ShapeError where it is of other sizes.
  void repeat(const MambaState& other, std::size_t from) {
    for (std::size_t s = 0; s < sequences_; ++s) copy_sequence(other, from, s);
  }

  /// For sequence s here, the state of sequence from[s] of `other`. Both of one model. Throws
  /// ArgumentError where `other` has no such sequence, ShapeError where it is of other sizes and unless each
  /// sequence here gets one.
  void gather(const MambaState& other, std::span<const std::size_t> from) {
    if (from.size() != sequences_) {
      throw ShapeError("MambaState: expected a sequence to take for each of " + std::to_string(sequences_) +
                       ", found " + std::to_string(from.size()) + "; give one index for each");
    }
    for (std::size_t s = 0; s < sequences_; ++s) copy_sequence(other, from[s], s);
  }

 private:
  /// From one layer to the next: the windows of all sequences, then their SSM states.
  std::size_t stride() const { return sequences_ * (window_ + h_); }

  void copy_sequence(const MambaState& other, std::size_t from, std::size_t to) {
    if (layers_ != other.layers_ || window_ != other.window_ || h_ != other.h_) {
      throw ShapeError(
          "MambaState: expected a state of a model of the same sizes, found one of others; take "
          "both from one model's initial_state");
    }
    if (from >= other.sequences_) {
      throw ArgumentError("MambaState: expected a sequence below " + std::to_string(other.sequences_) +
                          ", found " + std::to_string(from) + "; name one that the other state has");
    }
    for (std::size_t l = 0; l < layers_; ++l) {
      T* target = values_.data() + l * stride();
      const T* source = other.values_.data() + l * other.stride();
      std::copy_n(source + from * window_, window_, target + to * window_);
      std::copy_n(source + other.sequences_ * window_ + from * h_, h_,
                  target + sequences_ * window_ + to * h_);
    }
  }

  std::size_t sequences_;
  std::size_t layers_;
  std::size_t window_;  // values of a sequence, (K − 1)·E
  std::size_t h_;       // E·N
  std::vector<T> values_;
};

}  // namespace sdlora
