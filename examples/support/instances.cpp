#include "instances.hpp"

#include "placements.hpp"

namespace sdlora {
SDLORA_EXAMPLES_INSTANCES(template);
}  // namespace sdlora

template std::unique_ptr<sdlora::AnyModel<>> sdlora::load_chosen_adapter(
    std::span<const sdlora::ModelChoice<sdlora::AnyModel<>>>, sdlora::examples::AnyBasePointer,
    const std::filesystem::path&, sdlora::BaseFingerprint);
template std::shared_ptr<const sdlora::examples::AnyBase>
sdlora::load_base<sdlora::presets::AnyMamba, float, sdlora::Cpu>(const std::filesystem::path&,
                                                                 const sdlora::LoadBaseOptions&);
