// expect: sdlora::Trainer: takes a model that can be trained, as MambaModel and AnyModel
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <sdlora/training/trainer.hpp>

using namespace sdlora;

struct Other {
  using value_type = float;
  using device_type = Cpu;
};
#ifdef SDLORA_EXPECT_FAILURE
using Chosen = Other;
#else
using Chosen = MambaModel<presets::AnyMamba, presets::BitFit>;
#endif

TrainingReport train(Chosen& model, const std::vector<Example>& data) {
  return Trainer<Chosen>(model, {.epochs = 2}).fit(data);
}

int main() { return 0; }
