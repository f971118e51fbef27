// expect: sdlora: d_state, d_conv and expand of a MambaConfig must be at least 1
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
constexpr std::size_t taps = 0;
#else
constexpr std::size_t taps = 1;
#endif

struct Mine {
  static constexpr MambaConfig config{.dt_rank = dyn, .d_conv = taps};
};

std::size_t learned(const MambaModel<Mine, presets::BitFit>& model) { return model.parameters().size(); }

int main() { return 0; }
