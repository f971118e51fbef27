#include <sdlora/adapters/methods.hpp>
#include <sdlora/adapters/place.hpp>
#include <sdlora/layers/s4d/tensors.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;

namespace {

constexpr DeepS4Dimensions plain{.d_model = 64, .n_layer = 4, .d_state = 16};
constexpr DeepS4Dimensions with_head{.d_model = 5, .n_layer = 2, .d_state = 3, .outputs = 7};

// The published experiment's frozen model.
static_assert(total_parameters(plain) == 4 * (4 * 64 * 16 + 3 * 64 + 64 * 64));
static_assert(total_parameters(with_head) == 2 * (4 * 15 + 15 + 25) + 7 * 5 + 7);

constexpr bool is(SiteShape shape, std::size_t rows, std::size_t cols) {
  return shape.rows == rows && shape.cols == cols;
}
static_assert(is(site_info<site::LogAReal>(with_head).shape, 5, 3));
static_assert(is(site_info<site::C>(with_head).shape, 5, 6) &&
              site_info<site::C>(with_head).values_per_state == 2);
static_assert(is(site_info<site::D>(with_head).shape, 1, 5));
static_assert(is(site_info<site::OutProj>(with_head).shape, 5, 5));
static_assert(is(site_info<site::H0>(with_head).shape, 5, 6));
static_assert(is(site_info<site::Head>(with_head).shape, 7, 5));
static_assert(is(site_info<site::HeadBias>(with_head).shape, 1, 7));
static_assert(detail::S4dSite<site::OutProj>::decay && !detail::S4dSite<site::C>::decay);
static_assert(!detail::S4dSite<site::ALog>::exists && !detail::S4dSite<site::InProjX>::exists);

// Two values of C for each selected (channel, state), one of A's parts.
static_assert(SelectedDimensions<2, 3>::count(site_info<site::C>(plain), {.channels = 2, .states = 3}) == 12);
static_assert(SelectedDimensions<2, 3>::count(site_info<site::AImag>(plain), {.channels = 2, .states = 3}) ==
              6);
static_assert(StateSite<site::C> && !StateSite<site::LogDt> && !StateSite<site::ALog>);
static_assert(
    Place<On<site::C, LoRA<2>>, On<site::AImag, SelectedDimensions<2, 3>>, On<site::LogDt, Full>>::learns);

}  // namespace

TEST_CASE("s4d tensors: a site's values are its tensor; h0 has none") {
  std::vector<float> memory(64);
  S4dWeights<const float> w;
  w.C = {memory.data(), 5, 6};
  w.D = {memory.data() + 30, 1, 5};
  CHECK(site_values<site::C>(w).data == memory.data());
  CHECK(site_values<site::D>(w).data == memory.data() + 30);
  CHECK_FALSE(site_values<site::LogDt>(w));
  CHECK_FALSE(site_values<site::H0>(w));
  const DeepS4Head<const float> head{{memory.data(), 2, 5}, {memory.data() + 10, 1, 2}};
  CHECK(site_values<site::HeadBias>(head).data == memory.data() + 10);
}
