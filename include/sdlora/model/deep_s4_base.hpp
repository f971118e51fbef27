#pragma once

#include "../error.hpp"
#include "../layers/s4d/initialize.hpp"
#include "../layers/s4d/tensors.hpp"
#include "../tensor/random.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace sdlora {

/// The pre-trained values of a deep S4 model, in the host's memory: built once, then shared by every model on
/// it.
template <class T = float>
class DeepS4Base {
 public:
  /// Zeros. Throws ArgumentError where a size is 0.
  explicit DeepS4Base(const DeepS4Dimensions& m) : m_(m) {
    if (m.d_model == 0 || m.n_layer == 0 || m.d_state == 0) {
      throw ArgumentError("DeepS4Base: expected at least 1 channel, layer and state, found " +
                          std::to_string(m.d_model) + ", " + std::to_string(m.n_layer) + " and " +
                          std::to_string(m.d_state) + "; give all sizes");
    }
    values_.resize(total_parameters(m));
  }

  /// Random values: of layers as initialize_s4d says, of a head uniform in ±1/√d.
  static DeepS4Base random(const DeepS4Dimensions& m, S4dStart start, std::uint64_t seed) {
    DeepS4Base base(m);
    for (std::size_t l = 0; l < m.n_layer; ++l) initialize_s4d(base.layer(l), start, seed, l);
    const RandomStream random(seed, ~std::uint64_t{0});
    const double bound = 1.0 / std::sqrt(static_cast<double>(m.d_model));
    std::uint64_t next = 0;
    const MatrixView<T> parts[] = {base.head().weight, base.head().bias};
    for (const MatrixView<T>& part : parts) {
      for (std::size_t i = 0; i < part.rows * part.cols; ++i) {
        part.data[i] = static_cast<T>(bound * (2.0 * random.uniform(next++) - 1.0));
      }
    }
    return base;
  }

  const DeepS4Dimensions& dimensions() const { return m_; }
  std::vector<T>& values() { return values_; }
  const std::vector<T>& values() const { return values_; }

  /// The tensors of layer l.
  S4dWeights<T> layer(std::size_t l) { return layer_of<T>(values_.data(), l); }
  S4dWeights<const T> layer(std::size_t l) const { return layer_of<const T>(values_.data(), l); }
  DeepS4Head<T> head() { return head_of<T>(values_.data()); }
  DeepS4Head<const T> head() const { return head_of<const T>(values_.data()); }

 private:
  template <class Element, class Tables, class Weights>
  void place(Element* at, const Tables& table, Weights& weights) const {
    for_each_line(table, [&](const auto& line) {
      if (!line.facts.exists(m_)) return;
      const SiteShape shape = line.facts.shape(m_);
      weights.*line.member = {at, shape.rows, shape.cols};
      at += shape.size();
    });
  }
  template <class Element>
  S4dWeights<Element> layer_of(Element* values, std::size_t l) const {
    S4dWeights<Element> weights;
    place(values + l * values_of(detail::s4d_facts, m_), s4d_tensors<S4dWeights<Element>>, weights);
    return weights;
  }
  template <class Element>
  DeepS4Head<Element> head_of(Element* values) const {
    DeepS4Head<Element> head;
    place(values + m_.n_layer * values_of(detail::s4d_facts, m_), deep_s4_head_tensors<DeepS4Head<Element>>,
          head);
    return head;
  }

  DeepS4Dimensions m_;
  std::vector<T> values_;
};

}  // namespace sdlora
