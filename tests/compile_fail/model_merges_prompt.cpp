// expect: sdlora::MambaModel: a prompt, a prefix, an initial state or a state offset has no place among a
// checkpoint's weights
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Chosen = presets::Prompt<5>;
#else
using Chosen = presets::LoRALinear<8>;
#endif

void merge(const MambaModel<presets::AnyMamba, Chosen>& model) { model.merged(); }

int main() { return 0; }
