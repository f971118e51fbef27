#include <sdlora/adapters/presets.hpp>
#include <sdlora/training/any_model.hpp>

#include <memory>
#include <string_view>
#include <type_traits>

using namespace sdlora;

namespace {

struct Named {
  static constexpr std::string_view name = "biases", description = "every bias";
  using placement = presets::BitFit;
};
struct WithoutPlacement {
  static constexpr std::string_view name = "biases", description = "every bias";
};
static_assert(NamedPlacement<Named> && !NamedPlacement<WithoutPlacement>);
static_assert(!NamedPlacement<presets::BitFit> && !NamedPlacement<int>);

// It stands where a MambaModel stands, and is made behind a pointer only. model_choices.cpp uses it.
static_assert(LanguageModel<AnyModel<>> && TrainableModel<AnyModel<>> && may_learn<AnyModel<>>);
static_assert(std::is_abstract_v<AnyModel<>> && !std::is_copy_constructible_v<AnyModel<>>);
static_assert(std::has_virtual_destructor_v<AnyModel<>>);
static_assert(
    std::is_same_v<AnyModel<presets::Mamba130m, double>::base_type, Base<presets::Mamba130m, double>>);
static_assert(std::is_same_v<decltype(ModelMaker<Named>::make({}, {}, {})), std::unique_ptr<AnyModel<>>>);

}  // namespace
