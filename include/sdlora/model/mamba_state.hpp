#pragma once

#include "../error.hpp"
#include "../layers/mamba/config.hpp"
#include "../layers/mamba/state.hpp"
#include "../tensor/device.hpp"
#include "../tensor/matrix_view.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

/// The recurrent state of a model for S sequences: all that it remembers of the tokens so far.
template <class T, class D = Cpu>
class MambaState {
 public:
  /// All zero. `of_policy` values of each sequence in each layer are what a policy at the scan remembers.
  MambaState(const MambaDimensions& m, std::size_t sequences, std::size_t of_policy = 0)
      : sequences_(sequences),
        layers_(m.n_layer),
        window_((m.d_conv - 1) * m.d_inner),
        h_(m.d_inner * m.d_state),
        of_policy_(of_policy),
        values_(layers_ * stride()) {
    Storage<T, D>::zero(values_.data(), values_.capacity());
  }
  MambaState(const MambaState& other)
      : sequences_(other.sequences_),
        layers_(other.layers_),
        window_(other.window_),
        h_(other.h_),
        of_policy_(other.of_policy_),
        values_(other.values_.capacity()) {
    Storage<T, D>::copy(values_.data(), other.values_.data(), values_.capacity());
  }
  MambaState(MambaState&&) = default;
  MambaState& operator=(const MambaState& other) {
    if (this != &other) *this = MambaState(other);
    return *this;
  }
  MambaState& operator=(MambaState&&) = default;

  std::size_t sequences() const { return sequences_; }
  /// Whether it is the state of a model of these sizes, whose policy at the scan remembers so much.
  bool fits(const MambaDimensions& m, std::size_t of_policy = 0) const {
    return layers_ == m.n_layer && window_ == (m.d_conv - 1) * m.d_inner && h_ == m.d_inner * m.d_state &&
           of_policy_ == of_policy;
  }
  BlockState<T, D> layer(std::size_t l) {
    T* first = values_.data() + l * stride();
    T* const h = first + sequences_ * window_;
    const MatrixView<T, D> of_policy(h + sequences_ * h_, sequences_, of_policy_);
    return {
        {first, sequences_, window_}, {h, sequences_, h_}, of_policy_ == 0 ? MatrixView<T, D>{} : of_policy};
  }
  /// All values, layer by layer: windows, then SSM states.
  MatrixView<const T, D> value_row() const { return {values_.data(), 1, values_.capacity()}; }
  std::span<const T> values() const
    requires is_host<D>
  {
    return {values_.data(), values_.capacity()};
  }

  /// A copy of all values in host memory, and back: to keep a state in a file. For each layer come the
  /// windows of its convolution (S, (K − 1)·E), the oldest token first, then the states of its SSM (S, E·N),
  /// then what a policy at the scan remembers, if any.
  /// Throws ShapeError unless there are as many values as here: the state must be of as many sequences, of a
  /// model of the same sizes.
  std::vector<T> host_values() const {
    std::vector<T> values(values_.capacity());
    Storage<T, D>::read(values.data(), values_.data(), values.size());
    return values;
  }
  void set_values(std::span<const T> values) {
    if (values.size() != values_.capacity()) {
      throw ShapeError("MambaState: expected " + std::to_string(values_.capacity()) + " values, those of " +
                       std::to_string(sequences_) + " sequences, found " + std::to_string(values.size()) +
                       "; take the state of as many sequences from a model of the same sizes");
    }
    Storage<T, D>::write(values_.data(), values.data(), values.size());
  }

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
  /// From one layer to the next: the windows of all sequences, then their SSM states, then the policy's.
  std::size_t stride() const { return sequences_ * (window_ + h_ + of_policy_); }

  void copy_sequence(const MambaState& other, std::size_t from, std::size_t to) {
    if (layers_ != other.layers_ || window_ != other.window_ || h_ != other.h_ ||
        of_policy_ != other.of_policy_) {
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
      Storage<T, D>::copy(target + to * window_, source + from * window_, window_);
      Storage<T, D>::copy(target + sequences_ * window_ + to * h_,
                          source + other.sequences_ * window_ + from * h_, h_);
      Storage<T, D>::copy(target + sequences_ * (window_ + h_) + to * of_policy_,
                          source + other.sequences_ * (window_ + h_) + from * of_policy_, of_policy_);
    }
  }

  std::size_t sequences_;
  std::size_t layers_;
  std::size_t window_;  // values of a sequence, (K − 1)·E
  std::size_t h_;       // E·N
  std::size_t of_policy_;
  Storage<T, D> values_;
};

}  // namespace sdlora
