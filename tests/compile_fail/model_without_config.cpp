// expect: sdlora::MambaModel: the first type must carry a MambaConfig
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

using namespace sdlora;

struct Mine {
#ifdef SDLORA_EXPECT_FAILURE
  static constexpr MambaConfig sizes{.dt_rank = dyn};
#else
  static constexpr MambaConfig config{.dt_rank = dyn};
#endif
};

std::size_t learned(const MambaModel<Mine, presets::BitFit>& model) { return model.parameters().size(); }

int main() { return 0; }
