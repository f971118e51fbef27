#pragma once

#include "../adapters/site.hpp"
#include "../tensor/frozen_weight.hpp"
#include "../tensor/matrix_view.hpp"
#include "tensor_table.hpp"

#include <array>
#include <cstddef>
#include <tuple>

namespace sdlora {

/// The pre-trained values that a language model has once, as views.
template <class Element, class Device = Cpu>
struct ModelWeights {
  WeightView<Element, Device> embedding = {};  // (V, d)
  MatrixView<Element, Device> norm_f = {};     // (1, d)
  WeightView<Element, Device> head = {};       // (V, d); empty where it is the embedding
};

namespace detail {

template <class Dimensions>
struct ModelSizes {
  static constexpr std::size_t one(const Dimensions&) { return 1; }
  static constexpr std::size_t d(const Dimensions& m) { return m.d_model; }
  static constexpr std::size_t V(const Dimensions& m) { return m.vocab_size; }
  static constexpr bool own_head(const Dimensions& m) { return !m.tied_head; }
};

}  // namespace detail

/// The tensors above the blocks, whatever the architecture's: the embedding comes before the blocks' in
/// memory and in a checkpoint, the others behind them. `Dimensions` has d_model, vocab_size and tied_head.
template <class Dimensions, class Weights = ModelWeights<const float>,
          class S = detail::ModelSizes<Dimensions>>
inline constexpr auto model_tensors = [] {
  using enum TensorForm;
  const auto line = [](auto member, TensorFacts<Dimensions> facts) {
    return TensorLine<decltype(member), Dimensions>{member, facts};
  };
  // clang-format off
  return std::tuple{
      line(&Weights::embedding, {.key = "backbone.embeddings.weight", .form = Matrix,
                                 .parts = {{{site::Embedding::name, S::V}}}, .cols = S::d, .decay = true,
                                 .place = 0}),
      line(&Weights::norm_f, {.key = "backbone.norm_f.weight", .form = Vector,
                              .parts = {{{site::NormF::name, S::one}}}, .cols = S::d, .decay = false,
                              .place = 1}),
      line(&Weights::head, {.key = "lm_head.weight", .form = Matrix, .parts = {{{"", S::V}}}, .cols = S::d,
                            .place = 2, .present = S::own_head})};
  // clang-format on
}();

/// The table without its members: what it says of each tensor.
template <class Dimensions>
inline constexpr auto model_facts = facts_of(model_tensors<Dimensions>);

/// What learns above the blocks where a checkpoint has no values.
template <class Dimensions>
inline constexpr std::array<AddedValues<Dimensions>, 1> model_added{
    {{site::Prompt::name, [](const Dimensions& m) { return SiteShape{1, m.d_model}; }, true}}};

}  // namespace sdlora
