// expect: sdlora: d_state and d_conv of a MambaConfig cannot be left to run time
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
constexpr std::size_t states = dyn;
#else
constexpr std::size_t states = 8;
#endif

struct Mine {
  static constexpr MambaConfig config{.dt_rank = dyn, .d_state = states};
};

std::size_t learned(const MambaModel<Mine, presets::BitFit>& model) { return model.parameters().size(); }

int main() { return 0; }
