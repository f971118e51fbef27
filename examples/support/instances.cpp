#define SDLORA_EXAMPLES_INSTANCE template
#include "instances.hpp"

#include "placements.hpp"

template std::shared_ptr<const sdlora::examples::AnyBase>
sdlora::load_base<sdlora::presets::AnyMamba, float, sdlora::Cpu>(const std::filesystem::path&,
                                                                 const sdlora::LoadBaseOptions&);
