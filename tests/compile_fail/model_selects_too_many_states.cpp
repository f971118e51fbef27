// expect: sdlora::MambaModel: SelectedDimensions chooses more states of a channel
#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>

using namespace sdlora;

#ifdef SDLORA_EXPECT_FAILURE
using Chosen = Place<On<site::ALog, SelectedDimensions<1, 40>>>;
#else
using Chosen = Place<On<site::ALog, SelectedDimensions<1, 16>>>;
#endif

struct Small {
  static constexpr MambaConfig config{.d_model = 160, .n_layer = 2, .vocab_size = 256};
};

std::size_t learned(const MambaModel<Small, Chosen>& model) { return model.parameters().size(); }

int main() { return 0; }
