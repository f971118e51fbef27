// expect: sdlora::MambaModel: the second type must be a placement
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

using namespace sdlora;

// A policy needs a site to sit at.
#ifdef SDLORA_EXPECT_FAILURE
using Chosen = LoRA<8>;
#else
using Chosen = Place<On<site::OutProj, LoRA<8>>>;
#endif

std::size_t learned(const MambaModel<presets::AnyMamba, Chosen>& model) { return model.parameters().size(); }

int main() { return 0; }
