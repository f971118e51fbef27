#pragma once

#include "../../adapters/site.hpp"
#include "../model_tensors.hpp"
#include "../tensor_table.hpp"
#include "dimensions.hpp"
#include "weights.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>

namespace sdlora {

namespace detail::mamba {

using M = MambaDimensions;
constexpr std::size_t one(const M&) { return 1; }
constexpr std::size_t d(const M& m) { return m.d_model; }
constexpr std::size_t E(const M& m) { return m.d_inner; }
constexpr std::size_t E2(const M& m) { return 2 * m.d_inner; }
constexpr std::size_t N(const M& m) { return m.d_state; }
constexpr std::size_t R(const M& m) { return m.dt_rank; }
constexpr std::size_t K(const M& m) { return m.d_conv; }
constexpr bool biases(const M& m) { return m.use_bias; }

}  // namespace detail::mamba

/// The pre-trained tensors of one Mamba block, in their order in memory. Layout, checkpoint keys, the shapes
/// of sites, counts, loading and saving follow from these lines.
template <class Weights = MambaWeights<const float>>
inline constexpr auto mamba_tensors = [] {
  using namespace detail::mamba;
  using enum TensorForm;
  const auto line = [](auto member, TensorFacts<MambaDimensions> facts) {
    return TensorLine<decltype(member), MambaDimensions>{member, facts};
  };
  using W = Weights;
  constexpr bool decays = true, stays = false;
  // Member; key; form; sites with their rows; columns; weight decay; place in a checkpoint; whether present.
  // clang-format off
  return std::tuple{
      line(&W::norm, {"norm.weight", Vector, {{{site::Norm::name, one}}}, d, stays, 0}),
      line(&W::in_proj, {"mixer.in_proj.weight", Matrix,
                         {{{site::InProjX::name, E}, {site::InProjZ::name, E}}}, d, decays, 5}),
      line(&W::conv, {"mixer.conv1d.weight", Convolution, {{{site::Conv1d::name, E}}}, K, decays, 3}),
      line(&W::conv_bias, {"mixer.conv1d.bias", Vector, {{{site::ConvBias::name, one}}}, E, stays, 4}),
      line(&W::x_proj, {"mixer.x_proj.weight", Matrix,
                        {{{site::XProjDt::name, R}, {site::XProjB::name, N}, {site::XProjC::name, N}}}, E,
                        decays, 7}),
      line(&W::dt_proj, {"mixer.dt_proj.weight", Matrix, {{{site::DtProj::name, E}}}, R, decays, 8}),
      line(&W::dt_bias, {"mixer.dt_proj.bias", Vector, {{{site::DtBias::name, one}}}, E, stays, 9}),
      line(&W::A_log, {"mixer.A_log", Matrix, {{{site::ALog::name, E}}}, N, stays, 1}),
      line(&W::D, {"mixer.D", Vector, {{{site::D::name, one}}}, E, stays, 2}),
      line(&W::out_proj, {"mixer.out_proj.weight", Matrix, {{{site::OutProj::name, d}}}, E, decays, 10}),
      line(&W::in_proj_bias, {"mixer.in_proj.bias", Vector, {{{"", one}}}, E2, stays, 6, biases}),
      line(&W::out_proj_bias, {"mixer.out_proj.bias", Vector, {{{"", one}}}, d, stays, 11, biases})};
  // clang-format on
}();

/// The table without its members: what it says of each tensor.
inline constexpr auto mamba_facts = facts_of(mamba_tensors<>);

/// What learns in a block where a checkpoint has no values.
inline constexpr std::array<AddedValues<MambaDimensions>, 4> mamba_added{
    {{site::H0::name, [](const MambaDimensions& m) { return SiteShape{m.d_inner, m.d_state}; }, false},
     {site::Conv0::name, [](const MambaDimensions& m) { return SiteShape{m.d_conv - 1, m.d_inner}; }, false},
     {site::Scan::name, [](const MambaDimensions& m) { return SiteShape{m.d_inner, m.d_state}; }, false},
     {site::Prefix::name, [](const MambaDimensions& m) { return SiteShape{1, m.d_inner}; }, true}}};

/// The sites of one block.
using MambaLayerSites =
    SiteList<site::Norm, site::InProjX, site::InProjZ, site::Conv1d, site::ConvBias, site::XProjDt,
             site::XProjB, site::XProjC, site::DtProj, site::DtBias, site::ALog, site::D, site::OutProj,
             site::H0, site::Conv0, site::Prefix, site::Scan>;
/// The sites that a model has once.
using MambaModelSites = SiteList<site::Embedding, site::NormF, site::Prompt>;

namespace detail {

/// What the tables say of site S: where it lies among a block's tensors, or else among the model's, or else
/// which of the added values it is.
template <Site S>
struct MambaSite {
  static constexpr SitePosition in_block = position_of(mamba_facts, S::name);
  static constexpr SitePosition in_model = position_of(model_facts<MambaDimensions>, S::name);
  static constexpr const TensorFacts<MambaDimensions>* facts() {
    if constexpr (in_block.found) return &mamba_facts[in_block.tensor];
    if constexpr (in_model.found) return &model_facts<MambaDimensions>[in_model.tensor];
    return nullptr;
  }
  static constexpr std::size_t part = in_block.found ? in_block.part : in_model.part;
  static constexpr const AddedValues<MambaDimensions>* added() {
    for (const auto& each : mamba_added) {
      if (each.site == S::name) return &each;
    }
    for (const auto& each : model_added<MambaDimensions>) {
      if (each.site == S::name) return &each;
    }
    return nullptr;
  }
  static_assert(facts() != nullptr || added() != nullptr, "sdlora: a Mamba model has no such site");

  static constexpr SiteShape shape(const MambaDimensions& m) {
    if constexpr (facts() != nullptr) {
      return part_shape(*facts(), part, m);
    } else {
      return added()->shape(m);
    }
  }
  static constexpr bool decay() {
    if constexpr (facts() != nullptr) {
      return facts()->decay;
    } else {
      return added()->decay;
    }
  }
};

}  // namespace detail

/// The shape of a site's values; for the prompt and the prefix, the width of one row.
template <Site S>
constexpr SiteShape site_shape(const MambaDimensions& m) {
  return detail::MambaSite<S>::shape(m);
}

/// Whether weight decay applies to what learns at a site.
template <Site S>
inline constexpr bool site_decays = detail::MambaSite<S>::decay();

/// A site's own pre-trained values, as the table holds them; empty where a checkpoint has none.
template <Site S, class Element, class Device>
auto site_values(const MambaWeights<Element, Device>& weights, const MambaDimensions& m) {
  using Where = detail::MambaSite<S>;
  if constexpr (Where::in_block.found) {
    const auto& line = std::get<Where::in_block.tensor>(mamba_tensors<MambaWeights<Element, Device>>);
    const auto all = weights.*line.member;
    return all ? all.rows_from(first_row(line.facts, Where::part, m), Where::shape(m).rows) : all;
  } else {
    return MatrixView<Element, Device>{};
  }
}
/// The same of what lies above the blocks.
template <Site S, class Element, class Device>
auto site_values(const ModelWeights<Element, Device>& weights) {
  using Where = detail::MambaSite<S>;
  if constexpr (Where::in_model.found) {
    using Table = ModelWeights<Element, Device>;
    return weights.*std::get<Where::in_model.tensor>(model_tensors<MambaDimensions, Table>).member;
  } else {
    return MatrixView<Element, Device>{};
  }
}

/// The same weights, for reading.
template <class T, class Device>
constexpr MambaWeights<const T, Device> read_only(const MambaWeights<T, Device>& weights) {
  MambaWeights<const T, Device> result;
  assign_members(result, mamba_tensors<MambaWeights<const T, Device>>, weights,
                 mamba_tensors<MambaWeights<T, Device>>);
  return result;
}

/// All values of a model's checkpoint; a head that is tied to the embedding counts once.
constexpr std::size_t total_parameters(const MambaDimensions& m) {
  return m.n_layer * values_of(mamba_facts, m) + values_of(model_facts<MambaDimensions>, m);
}

/// The key of a tensor in layer `layer` of a checkpoint.
inline std::string layer_key(std::size_t layer, std::string_view key) {
  return "backbone.layers." + std::to_string(layer) + "." + std::string(key);
}

/// Calls of_model(line) and of_block(line, layer) for every tensor of a checkpoint, in its order, with the
/// lines of model_tensors and of mamba_tensors for views of `Element`.
template <class Element, class Device, class OfModel, class OfBlock>
void for_each_tensor(const MambaDimensions& m, const OfModel& of_model, const OfBlock& of_block) {
  const auto ordered = [&](const auto& table, std::size_t first, std::size_t last, const auto& f) {
    for (std::size_t place = first; place < last; ++place) {
      for_each_line(table, [&](const auto& line) {
        if (line.facts.place == place && line.facts.exists(m)) f(line);
      });
    }
  };
  constexpr const auto& model = model_tensors<MambaDimensions, ModelWeights<Element, Device>>;
  constexpr const auto& block = mamba_tensors<MambaWeights<Element, Device>>;
  ordered(model, 0, 1, of_model);
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    ordered(block, 0, mamba_facts.size(), [&](const auto& line) { of_block(line, l); });
  }
  ordered(model, 1, model_facts<MambaDimensions>.size(), of_model);
}

}  // namespace sdlora
