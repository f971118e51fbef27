// expect: sdlora::MambaModel: this placement trains nothing; place at least one policy
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Chosen = presets::NothingTrains;
#else
using Chosen = presets::BitFit;
#endif

void gradients(MambaModel<presets::AnyMamba, Chosen>& model, const Batch& batch) {
  model.accumulate_gradients(batch, 1.0);
}

int main() { return 0; }
