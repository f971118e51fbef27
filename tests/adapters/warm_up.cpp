#include <sdlora/adapters/presets.hpp>
#include <sdlora/adapters/warm_up.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

namespace {

using Warm = WarmUp<presets::SDLoRA<8, 15, 4>>;
static_assert(std::is_same_v<Warm, Place<On<site::OutProj, LoRA<8>>, On<site::ALog, Full>>>);
static_assert(!Warm::selects && Warm::learns);
static_assert(
    std::is_same_v<WarmUp<presets::SDLoRA<>>, Place<On<site::OutProj, LoRA<>>, On<site::ALog, Full>>>);
// Where nothing is selected there is nothing to warm up: the placement itself.
static_assert(std::is_same_v<WarmUp<presets::BitFit>, presets::BitFit::placement_type>);
static_assert(std::is_same_v<WarmUp<Place<>>, Place<>>);
static_assert(std::is_same_v<WarmUp<Place<On<site::XProjB, SelectedDimensions<3>>>>, Place<>>);

}  // namespace

TEST_CASE("warm_up: all of A_log learns and selected projections are frozen") {
  CHECK(Warm::learns_at<site::ALog>);
  CHECK(Warm::learns_at<site::OutProj>);
  CHECK(!Warm::learns_at<site::XProjB>);
  CHECK(!Warm::learns_at<site::XProjC>);
}
