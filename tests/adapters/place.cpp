#include <sdlora/adapters/place.hpp>
#include <sdlora/adapters/presets.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

namespace {

using Two = Place<On<site::OutProj, LoRA<8>>, On<site::D, Full>>;
static_assert(std::is_same_v<Two::policy_at<site::OutProj>, LoRA<8>>);
static_assert(std::is_same_v<Two::policy_at<site::D>, Full>);
static_assert(std::is_same_v<Two::policy_at<site::ALog>, Frozen>);
static_assert(Two::learns && Two::mergeable && Two::is_static && !Two::selects);
static_assert(Two::learns_at<site::D> && !Two::learns_at<site::ALog>);

static_assert(!Place<>::learns && Place<>::mergeable && Place<>::is_static);
static_assert(!Place<On<site::D, Frozen>>::learns);
static_assert(!Place<On<site::D, Frozen>>::learns_at<site::D>);
static_assert(!Place<On<site::OutProj, LoRA<>>>::is_static);

// What has no place among a checkpoint's weights cannot be merged; frozen there it does no harm.
static_assert(!Place<On<site::H0, Full>>::mergeable && Place<On<site::H0, Frozen>>::mergeable);
static_assert(!Place<On<site::Prompt, PromptTuning<3>>>::mergeable);
static_assert(!Place<On<site::OutProj, LoRA<8>>, On<site::Prefix, PrefixTuning<3>>>::mergeable);

// One channel count for all selected sites, static or not.
using Selects = Place<On<site::ALog, SelectedDimensions<15, 4>>, On<site::XProjB, SelectedDimensions<15>>>;
static_assert(Selects::selects && Selects::is_static);
// The states of a channel matter on A_log alone.
static_assert(!Place<On<site::ALog, SelectedDimensions<15>>>::is_static);
static_assert(Place<On<site::XProjC, SelectedDimensions<15>>>::is_static);
static_assert(
    !Place<On<site::ALog, SelectedDimensions<>>, On<site::XProjC, SelectedDimensions<>>>::is_static);

// Which policy can sit where.
static_assert(detail::can_sit_at<site::InProjX, LoRA<1>>() && detail::can_sit_at<site::DtProj, Full>());
static_assert(detail::can_sit_at<site::ALog, LoRA<1>>() && detail::can_sit_at<site::Embedding, LoRA<1>>());
static_assert(!detail::can_sit_at<site::XProjDt, SelectedDimensions<1, 1>>());
static_assert(!detail::can_sit_at<site::Prompt, Full>() &&
              !detail::can_sit_at<site::Prompt, PrefixTuning<2>>());
static_assert(!detail::can_sit_at<site::Prefix, PromptTuning<2>>() &&
              !detail::can_sit_at<site::Norm, LoRA<1>>());
static_assert(detail::can_sit_at<site::Prefix, Frozen>() && detail::can_sit_at<site::Prompt, Frozen>());

static_assert(detail::can_sit_at<site::Scan, StateOffset>() &&
              !detail::can_sit_at<site::ALog, StateOffset>());
static_assert(detail::can_sit_at<site::DtProj, DoRA<2>>() && !detail::can_sit_at<site::ALog, DoRA<2>>());
static_assert(detail::can_sit_at<site::XProjB, IA3>() && !detail::can_sit_at<site::Scan, Full>());

// A named type stands for the placement that it derives from.
struct Named : Two {};
static_assert(Placement<Two> && Placement<Named> && Placement<Place<>>);
static_assert(!Placement<int> && !Placement<On<site::D, Full>>);

}  // namespace

TEST_CASE("place: a named placement is the same") { CHECK(std::is_same_v<Named::placement_type, Two>); }
