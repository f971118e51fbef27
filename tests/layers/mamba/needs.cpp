// What each placement makes backward compute, decided at compile time.
#include <sdlora/adapters/presets.hpp>
#include <sdlora/layers/mamba/needs.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

namespace {

template <class S, class P>
using One = Place<On<S, P>>;

template <class P>
constexpr SelectiveScanGradients lowest = MambaNeeds<P>(false).scan_gradients(true);
template <class P>
constexpr SelectiveScanGradients above = MambaNeeds<P>(true).scan_gradients(true);

constexpr SelectiveScanGradients nothing{};
constexpr SelectiveScanGradients activations{.u = true, .dt = true, .B = true, .C = true, .z = true};

constexpr SelectiveScanGradients with(SelectiveScanGradients g, AGradient A) {
  g.A = A;
  return g;
}

}  // namespace

// In the lowest layer that learns, the gradient goes only as far back as something learns.
static_assert(!MambaNeeds<presets::NothingTrains>(false).scan);
static_assert(!MambaNeeds<One<site::OutProj, LoRA<8>>>(false).scan);
static_assert(lowest<One<site::OutProj, Full>> == nothing);
static_assert(lowest<One<site::D, Full>> == SelectiveScanGradients{.D = true});
static_assert(lowest<One<site::DtBias, Full>> == SelectiveScanGradients{.dt_bias = true});
static_assert(lowest<One<site::DtProj, LoRA<2>>> == SelectiveScanGradients{.dt = true});
static_assert(lowest<One<site::XProjB, LoRA<2>>> == SelectiveScanGradients{.B = true});
static_assert(lowest<One<site::InProjZ, LoRA<2>>> == SelectiveScanGradients{.z = true});
static_assert(lowest<One<site::H0, Full>> == SelectiveScanGradients{.initial_state = true});
static_assert(lowest<One<site::ConvBias, Full>> ==
              SelectiveScanGradients{.u = true, .dt = true, .B = true, .C = true});
static_assert(lowest<presets::SDLoRA<8, 15, 4>> ==
              SelectiveScanGradients{.B = true, .C = true, .A = AGradient::SelectedChannels});
static_assert(lowest<One<site::Norm, Full>> == activations);

// Above it, the block's input needs its gradient, and so every activation does.
static_assert(above<presets::LoRALinear<8>> == activations);
static_assert(above<One<site::OutProj, LoRA<8>>> == activations);
static_assert(above<presets::SDLoRA<8, 15, 4>> == with(activations, AGradient::SelectedChannels));
static_assert(above<One<site::ALog, Full>> == with(activations, AGradient::All));
static_assert(!MambaNeeds<presets::FullFineTune>(true).scan_gradients(/*gate=*/false).z);

TEST_CASE("mamba_needs: what is read again for in_proj") {
  CHECK_FALSE(MambaNeeds<presets::LoRASsm<8>>(false).in_proj_input());
  CHECK(MambaNeeds<presets::LoRASsm<8>>(true).in_proj_input());
  CHECK(MambaNeeds<One<site::InProjZ, LoRA<8>>>(false).in_proj_input());
}
