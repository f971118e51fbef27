#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <sdlora/model/coverage.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <sstream>
#include <string>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("coverage: sites, layers and parameters of a store") {
  ParameterStore<float> store(100);
  store.add("embedding", "embedding", 3, 4, true);
  store.add("layers.10.out_proj.lora_A", "out_proj", 2, 5, true, 10);
  store.add("layers.0.out_proj.lora_A", "out_proj", 2, 5, true, 0);
  store.add("layers.0.out_proj.lora_B", "out_proj", 3, 2, true, 0);
  store.add("layers.3.D", "D", 1, 7, false, 2);  // the name says nothing
  const std::vector<SiteCoverage> found = coverage(store);
  REQUIRE(found.size() == 3);
  CHECK(found[0] == SiteCoverage{"embedding", {}, 12});
  CHECK(found[1] == SiteCoverage{"out_proj", {0, 10}, 26});
  CHECK(found[2] == SiteCoverage{"D", {2}, 7});
}

TEST_CASE("coverage: every parameter of a model says its layer, as its name does") {
  const auto check = []<class P>(P) {
    CAPTURE(P::template policy_at<site::OutProj>::name);
    const auto model = make_model<P, TinyAny, float>(
        std::shared_ptr<const Base<TinyAny, float>>(rough_base<TinyAny, float>(tiny_with_layers(3))));
    REQUIRE(!model.parameters().entries().empty());
    for (const ParameterInfo& entry : model.parameters().entries()) {
      const std::string layer = entry.layer ? "layers." + std::to_string(*entry.layer) + "." : "";
      CHECK(entry.name.starts_with(layer + entry.site));
    }
  };
  check(presets::FullFineTune{});
  check(presets::SDLoRA<2, 3, 2>{});
  check(presets::Prompt<3>{});
  check(presets::Prefix<2>{});
}

TEST_CASE("coverage: numbers and ranges as text") {
  CHECK(detail::grouped_digits(0) == "0");
  CHECK(detail::grouped_digits(999) == "999");
  CHECK(detail::grouped_digits(1000) == "1,000");
  CHECK(detail::grouped_digits(455'328) == "455,328");
  CHECK(detail::grouped_digits(2'768'345'600) == "2,768,345,600");
  CHECK(detail::joined_ranges({}).empty());
  CHECK(detail::joined_ranges({4}) == "4");
  CHECK(detail::joined_ranges({0, 1, 2, 5, 7, 8}) == "0-2,5,7-8");
  CHECK(detail::percentage(1, 8) == "12.5000 %");
  CHECK(detail::percentage(0, 0) == "0.0000 %");
}

TEST_CASE("coverage: printed for a model") {
  // d 10, E 20, N 16, 3 layers: out_proj rank 2: 2·(10 + 20) = 60 in each of two layers; A_log 3 channels
  // of 2 states: 6 in one; x_proj_B and _C: 16·3 = 48 in each of three. The checkpoint has 5,690.
  AdapterOptions options = some_options();
  options.layers = {{"out_proj", 0, 2}, {"A_log", 2, 3}};
  const auto model = make_model<presets::SDLoRA<2, 3, 2>, TinyAny, float>(
      std::shared_ptr<const Base<TinyAny, float>>(rough_base<TinyAny, float>(tiny_with_layers(3))), options);
  REQUIRE(model.total_parameters() == 190 + 3 * (10 + 400 + 80 + 20 + 700 + 60 + 20 + 320 + 20 + 200) + 10);
  std::ostringstream text;
  text << std::hex;  // whatever the stream was left at
  print_coverage(text, model);
  CHECK(text.str() ==
        "site      layers  parameters  of the checkpoint\n"
        "x_proj_B  0-2            144           2.5308 %\n"
        "x_proj_C  0-2            144           2.5308 %\n"
        "out_proj  0-1            120           2.1090 %\n"
        "A_log     2                6           0.1054 %\n"
        "all                      414           7.2759 %\n"
        "without effect in this placement: rows prompt_length = 3\n");
}
