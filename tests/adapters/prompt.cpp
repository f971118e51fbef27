#include <sdlora/adapters/prompt.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <cmath>

using namespace sdlora;

static_assert(PromptTuning<5>::is_static && !PromptTuning<>::is_static && !PromptTuning<5>::mergeable);
constexpr SiteInfo prompt_site{"prompt", SiteKind::Prompt, {1, 24}};
static_assert(PromptTuning<5>::count(prompt_site, PromptTuning<5>::resolved({}, prompt_site)) == 120 &&
              PromptTuning<>::count(prompt_site, {.prompt_length = 3}) == 72);
static_assert(!PrefixTuning<>::mergeable && PrefixTuning<2>::learns);

TEST_CASE_TEMPLATE("prompt: rows begin small, random, the same for the same seed", Policy, PromptTuning<>,
                   PrefixTuning<>) {
  const auto rows_of = [](std::uint64_t seed, const char* name, bool active = true) {
    const AdapterOptions options{RowsOptions{.prompt_length = 25}, Seed{seed}};
    ParameterStore<double> store(1000);
    const typename Policy::template Rows<double> rows(
        store, SitePlace<double>{.name = name,
                                 .site = {"prompt", SiteKind::Prompt, {1, 40}},
                                 .active = active,
                                 .options = &options});
    CHECK(rows.active() == active);
    CHECK(rows.length() == (active ? 25U : 0U));
    CHECK(rows.values().data == (active ? store.values().data() : nullptr));
    return std::vector<double>(store.values().begin(), store.values().end());
  };
  const std::vector<double> values = rows_of(1, "here");
  REQUIRE(values.size() == 1000);
  double square = 0.0;
  for (const double v : values) square += v * v;
  CHECK(std::sqrt(square / 1000.0) == doctest::Approx(0.02).epsilon(0.1));
  CHECK(rows_of(1, "here") == values);
  CHECK(rows_of(2, "here") != values);
  CHECK(rows_of(1, "there") != values);
  CHECK(rows_of(1, "here", false).empty());
}

TEST_CASE("prompt: the same rows on every device") {
  const auto rows_on = []<class Device>(Device) {
    const AdapterOptions options{RowsOptions{.prompt_length = 3}, Seed{3}};
    ParameterStore<float, Device> store(15);
    const PromptTuning<>::Rows<float, Device> rows(
        store, SitePlace<float, Device>{
                   .name = "here", .site = {"prompt", SiteKind::Prompt, {1, 5}}, .options = &options});
    CHECK(rows.length() == 3);
    CHECK(rows.values().data == store.value_row().data);
    CHECK(rows.gradient().data == store.gradient_row().data);
    return store.host_values();
  };
  CHECK(rows_on(Emulated{}) == rows_on(Cpu{}));
}
