// expect: sdlora::Trainer: this placement trains nothing; place at least one policy
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <sdlora/training/trainer.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Chosen = presets::NothingTrains;
#else
using Chosen = presets::BitFit;
#endif

TrainingReport train(MambaModel<presets::AnyMamba, Chosen>& model, const std::vector<Example>& data) {
  return Trainer(model, {.epochs = 2}).fit(data);
}

int main() { return 0; }
