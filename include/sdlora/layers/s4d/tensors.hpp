#pragma once

#include "../../adapters/site.hpp"
#include "../../tensor/frozen_weight.hpp"
#include "../../tensor/matrix_view.hpp"
#include "../tensor_table.hpp"

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>

namespace sdlora {

/// What a deep S4 model gives of the rows of a sequence.
enum class SequenceOutput {
  Every,  ///< each row
  Last,   ///< the last
  Mean,   ///< their mean over time
};

/// The sizes of a deep S4 model.
struct DeepS4Dimensions {
  std::size_t d_model = 0;  ///< H, the channels of each layer
  std::size_t n_layer = 0;
  std::size_t d_state = 0;  ///< N, the complex states of each channel
  std::size_t outputs = 0;  ///< of a linear head behind the last layer; 0: none
  SequenceOutput of = SequenceOutput::Every;

  friend bool operator==(const DeepS4Dimensions&, const DeepS4Dimensions&) = default;
};

/// Sites of an S4D block beside D, OutProj (d, d) and H0 (H, 2N).
namespace site {

/// log(−Re A) of the diagonal state matrix, (H, N).
struct LogAReal {
  static constexpr std::string_view name = "log_A_real";
  static constexpr SiteKind kind = SiteKind::ElementWise;
  static constexpr std::size_t values_per_state = 1;
};
/// Im A, (H, N).
struct AImag {
  static constexpr std::string_view name = "A_imag";
  static constexpr SiteKind kind = SiteKind::ElementWise;
  static constexpr std::size_t values_per_state = 1;
};
/// The complex output matrix, (H, 2N): pairs of real and imaginary parts.
struct C {
  static constexpr std::string_view name = "C";
  static constexpr SiteKind kind = SiteKind::ElementWise;
  static constexpr std::size_t values_per_state = 2;
};
/// The logarithm of each channel's step, (1, H).
struct LogDt {
  static constexpr std::string_view name = "log_dt";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// The projection's bias, (1, d).
struct OutBias {
  static constexpr std::string_view name = "out_proj_bias";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};
/// The linear head behind the last layer, (outputs, d); once per model.
struct Head {
  static constexpr std::string_view name = "head";
  static constexpr SiteKind kind = SiteKind::Linear;
};
/// The head's bias, (1, outputs); once per model.
struct HeadBias {
  static constexpr std::string_view name = "head_bias";
  static constexpr SiteKind kind = SiteKind::ElementWise;
};

}  // namespace site

/// Every site of a deep S4 model's layers.
using DeepS4LayerSites = SiteList<site::LogAReal, site::AImag, site::C, site::LogDt, site::D, site::OutProj,
                                  site::OutBias, site::H0>;
/// Those of its head.
using DeepS4ModelSites = SiteList<site::Head, site::HeadBias>;

/// The pre-trained values of one S4D block, as views.
template <class Element>
struct S4dWeights {
  MatrixView<Element> log_A_real = {};     // (H, N)
  MatrixView<Element> A_imag = {};         // (H, N)
  MatrixView<Element> C = {};              // (H, 2N)
  MatrixView<Element> log_dt = {};         // (1, H)
  MatrixView<Element> D = {};              // (1, H)
  MatrixView<Element> out_proj = {};       // (d, d)
  MatrixView<Element> out_proj_bias = {};  // (1, d)
};

/// Those that a deep S4 model has once; empty where it has no head.
template <class Element>
struct DeepS4Head {
  MatrixView<Element> weight = {};  // (outputs, d)
  MatrixView<Element> bias = {};    // (1, outputs)
};

namespace detail::s4d {

using M = DeepS4Dimensions;
constexpr std::size_t one(const M&) { return 1; }
constexpr std::size_t H(const M& m) { return m.d_model; }
constexpr std::size_t N(const M& m) { return m.d_state; }
constexpr std::size_t N2(const M& m) { return 2 * m.d_state; }
constexpr std::size_t outputs(const M& m) { return m.outputs; }
constexpr bool has_head(const M& m) { return m.outputs > 0; }

constexpr auto line(auto member, TensorFacts<M> facts) {
  return TensorLine<decltype(member), M>{member, facts};
}

}  // namespace detail::s4d

/// The pre-trained tensors of one S4D block, in their order in memory: layout, shapes of sites and counts
/// follow from these lines.
template <class Weights = S4dWeights<const float>>
inline constexpr auto s4d_tensors = [] {
  using namespace detail::s4d;
  using enum TensorForm;
  using W = Weights;
  constexpr bool decays = true, stays = false;
  // Member; key; form; sites with their rows; columns; weight decay; place in a checkpoint.
  return std::tuple{
      line(&W::log_A_real, {"log_A_real", Matrix, {{{site::LogAReal::name, H}}}, N, stays, 0}),
      line(&W::A_imag, {"A_imag", Matrix, {{{site::AImag::name, H}}}, N, stays, 1}),
      line(&W::C, {"C", Matrix, {{{site::C::name, H}}}, N2, stays, 2}),
      line(&W::log_dt, {"log_dt", Vector, {{{site::LogDt::name, one}}}, H, stays, 3}),
      line(&W::D, {"D", Vector, {{{site::D::name, one}}}, H, stays, 4}),
      line(&W::out_proj, {"out_proj.weight", Matrix, {{{site::OutProj::name, H}}}, H, decays, 5}),
      line(&W::out_proj_bias, {"out_proj.bias", Vector, {{{site::OutBias::name, one}}}, H, stays, 6})};
}();

/// The same of the head.
template <class Head = DeepS4Head<const float>>
inline constexpr auto deep_s4_head_tensors = [] {
  using namespace detail::s4d;
  using enum TensorForm;
  return std::tuple{
      line(&Head::weight, {"head.weight", Matrix, {{{site::Head::name, outputs}}}, H, true, 0, has_head}),
      line(&Head::bias, {"head.bias", Vector, {{{site::HeadBias::name, one}}}, outputs, false, 1, has_head})};
}();

namespace detail {

inline constexpr auto s4d_facts = facts_of(s4d_tensors<>);
inline constexpr auto deep_s4_head_facts = facts_of(deep_s4_head_tensors<>);

/// Where a deep S4 model has the site S.
template <Site S>
struct S4dSite {
  static constexpr SitePosition in_block = position_of(s4d_facts, S::name);
  static constexpr SitePosition in_head = position_of(deep_s4_head_facts, S::name);
  static constexpr bool added = S::name == site::H0::name;
  static constexpr bool exists = in_block.found || in_head.found || added;
  static constexpr std::size_t values_per_state = [] {
    if constexpr (StateSite<S>) return std::size_t{S::values_per_state};
    return std::size_t{1};
  }();
  static constexpr SiteShape shape(const DeepS4Dimensions& m) {
    static_assert(exists, "sdlora: a deep S4 model has no such site");
    if constexpr (in_block.found) return s4d_facts[in_block.tensor].shape(m);
    if constexpr (in_head.found) return deep_s4_head_facts[in_head.tensor].shape(m);
    return {m.d_model, 2 * m.d_state};
  }
  static constexpr bool decay = [] {
    if constexpr (in_block.found) return s4d_facts[in_block.tensor].decay;
    if constexpr (in_head.found) return deep_s4_head_facts[in_head.tensor].decay;
    return false;
  }();
};

}  // namespace detail

/// A site of a deep S4 model as policies are told of it.
template <Site S>
constexpr SiteInfo site_info(const DeepS4Dimensions& m) {
  return {S::name, S::kind, detail::S4dSite<S>::shape(m), detail::S4dSite<S>::values_per_state};
}

/// Pre-trained values of a site, empty where there are none.
template <Site S, class Element>
MatrixView<Element> site_values(const S4dWeights<Element>& weights) {
  using Where = detail::S4dSite<S>;
  if constexpr (Where::in_block.found) {
    return weights.*std::get<Where::in_block.tensor>(s4d_tensors<S4dWeights<Element>>).member;
  } else {
    return {};
  }
}
/// The values of a site of the head.
template <Site S, class Element>
MatrixView<Element> site_values(const DeepS4Head<Element>& head) {
  using Where = detail::S4dSite<S>;
  static_assert(Where::in_head.found);
  return head.*std::get<Where::in_head.tensor>(deep_s4_head_tensors<DeepS4Head<Element>>).member;
}

/// All values of a deep S4 model.
constexpr std::size_t total_parameters(const DeepS4Dimensions& m) {
  return m.n_layer * values_of(detail::s4d_facts, m) + values_of(detail::deep_s4_head_facts, m);
}

}  // namespace sdlora
