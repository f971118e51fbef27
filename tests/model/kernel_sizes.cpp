// Models of other kernel sizes than the published ones: 8 and 64 states, convolutions of 2 and 3. Every
// gradient against finite differences, and the emulated device against the host.
#include "support/gradient_check.hpp"
#include "support/model_device_cases.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <std::size_t States, std::size_t Taps>
struct Sized {
  static constexpr MambaConfig config{.d_model = 5,
                                      .n_layer = 1,
                                      .vocab_size = 7,
                                      .dt_rank = 2,
                                      .d_state = States,
                                      .d_conv = Taps,
                                      .expand = 1,
                                      .mixer_norm_epsilon = States == 8 ? 0.02 : 0.0};
};

template <class P, class C>
void check_sizes(const char* name) {
  CAPTURE(name);
  auto model = stirred_model<P, C>(dimensions(C::config));
  check_model_gradients(model);
  check_model_on<Run<Emulated>, P, C>(name);
}

}  // namespace

TEST_CASE("kernel sizes: 8 states, a convolution of 2") {
  check_sizes<presets::FullFineTune, Sized<8, 2>>("FullFineTune");
  check_sizes<presets::InitialState, Sized<8, 2>>("InitialState");
}
TEST_CASE("kernel sizes: 64 states, a convolution of 3") {
  check_sizes<presets::FullFineTune, Sized<64, 3>>("FullFineTune");
}
