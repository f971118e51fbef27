#pragma once

#include "../adapters/describe.hpp"
#include "../model/mamba_model.hpp"
#include "detail/peft_change.hpp"
#include "detail/peft_file.hpp"
#include "detail/peft_plan.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace sdlora {

/// A copy of the base with an adapter of peft's format added to its weights: whatever modules it has, the
/// function that peft computes. In peft an adapted embedding is no longer the head; so the copy of a base
/// with a tied head then has a head of its own. All values of the copy are of the base's scalar, also where
/// the base stores matrices in another type. Throws FileError where the adapter cannot be read or does not
/// belong to the base.
template <class BaseType>
std::shared_ptr<const BaseType> apply_peft_adapter(const BaseType& base,
                                                   const std::filesystem::path& directory) {
  using T = typename decltype(base.norm_f())::value_type;
  if (base.weights() != StoredType::Scalar) {
    return apply_peft_adapter(base.stored_as(StoredType::Scalar), directory);
  }
  const PeftAdapter adapter = PeftAdapter::open(directory);
  adapter.require_fits(base.dimensions());
  std::shared_ptr<BaseType> result;
  if (base.dimensions().tied_head && detail::unties_head(adapter)) {
    MambaDimensions m = base.dimensions();
    m.tied_head = false;
    result = std::make_shared<BaseType>(m);
    std::map<std::string, const void*> from;
    base.visit([&](const std::string& name, auto values, const auto&) { from[name] = values.data; });
    result->visit([&](const std::string& name, MatrixView<T> values, const auto&) {
      const auto found = from.find(name == "lm_head.weight" ? "backbone.embeddings.weight" : name);
      std::copy_n(static_cast<const T*>(found->second), values.rows * values.cols, values.data);
    });
  } else {
    result = std::make_shared<BaseType>(base);
  }
  std::map<std::string, const PeftChange*> changes;
  for (const PeftChange& each : adapter.changes()) changes[each.target.key] = &each;
  std::map<std::string, const PeftReplacement*> replacements;
  for (const PeftReplacement& each : adapter.replacements()) replacements[each.target.key] = &each;
  result->visit([&](const std::string& name, MatrixView<T> values, const auto&) {
    if (const auto found = replacements.find(name); found != replacements.end()) {
      adapter.file().read(found->second->tensor, std::span<T>(values.data, values.rows * values.cols));
    }
    if (const auto found = changes.find(name); found != changes.end()) {
      detail::add_peft_change(values, adapter, *found->second);
    }
  });
  result->finish();
  return result;
}

/// A model with what an adapter of peft's format has learned, on `base`, to be trained on: the sites of its
/// placement must cover the adapter's modules (LoRA or RsLoRA for LoRA and rsLoRA, DoRA for DoRA, Full for
/// modules_to_save). Sites and layers that the adapter leaves out begin as they do without it. Ranks that
/// differ by layer are filled up with zeros. For a model that only computes, `apply_peft_adapter` needs no
/// placement. Throws FileError.
template <class Model>
Model load_peft_adapter(std::shared_ptr<const typename Model::base_type> base,
                        const std::filesystem::path& directory) {
  using P = typename Model::placement_type;
  static_assert(P::learns && !P::selects,
                "sdlora::load_peft_adapter: peft's adapters select no dimensions; use a placement of LoRA, "
                "RsLoRA, DoRA "
                "and Full, as presets::LoRAPeft<>");
  const PeftAdapter adapter = PeftAdapter::open(directory);
  const detail::PeftPlan plan(adapter, detail::peft_sites<P>(), describe<P>(), base->dimensions());
  Model model(std::move(base), plan.options());
  model.parameters().set_values(plan.values(model.parameters()));
  return model;
}

}  // namespace sdlora
