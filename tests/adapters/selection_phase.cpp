#include <sdlora/adapters/presets.hpp>
#include <sdlora/adapters/selection_phase.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

namespace {

using Phase = SelectionPhase<presets::SDLoRA<8, 15, 4>>;
static_assert(std::is_same_v<Phase, Place<On<site::OutProj, LoRA<8>>, On<site::ALog, Full>>>);
static_assert(!Phase::selects && Phase::learns);
static_assert(std::is_same_v<SelectionPhase<presets::SDLoRA<>>,
                             Place<On<site::OutProj, LoRA<>>, On<site::ALog, Full>>>);
// Where nothing is selected the phase is the placement itself.
static_assert(
    std::is_same_v<SelectionPhase<presets::SDT<8, 15, 4>>,
                   Place<On<site::InProjX, LoRA<8>>, On<site::InProjZ, LoRA<8>>, On<site::OutProj, LoRA<8>>,
                         On<site::ALog, Full>, On<site::XProjB, Full>, On<site::XProjC, Full>>>);
static_assert(SelectionPhase<presets::SDTDoRA<>>::learns_at<site::XProjC> &&
              !SelectionPhase<presets::SDLoRALinear<>>::learns_at<site::XProjC>);
static_assert(std::is_same_v<SelectionPhase<presets::BitFit>, presets::BitFit::placement_type>);
static_assert(std::is_same_v<SelectionPhase<Place<>>, Place<>>);
static_assert(std::is_same_v<SelectionPhase<Place<On<site::XProjB, SelectedDimensions<3>>>>, Place<>>);

}  // namespace

TEST_CASE("selection_phase: all of A_log learns and selected projections are frozen") {
  CHECK(Phase::learns_at<site::ALog>);
  CHECK(Phase::learns_at<site::OutProj>);
  CHECK(!Phase::learns_at<site::XProjB>);
  CHECK(!Phase::learns_at<site::XProjC>);
}
