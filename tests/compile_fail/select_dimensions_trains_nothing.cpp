// expect: sdlora::select_dimensions: dimensions are scored by A_log; place SelectedDimensions at site::ALog
#include <sdlora/adapters/presets.hpp>
#include <sdlora/training/select_dimensions.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Chosen = presets::NothingTrains;
#else
using Chosen = presets::SDLoRA<8, 15, 4>;
#endif

Selection choose(const std::shared_ptr<const Base<presets::AnyMamba>>& base,
                 const std::vector<Example>& data) {
  return select_dimensions<Chosen>(base, data, {.steps = 100});
}

int main() { return 0; }
