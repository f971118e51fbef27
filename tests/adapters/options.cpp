#include <sdlora/adapters/methods.hpp>
#include <sdlora/adapters/options.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

TEST_CASE("options: sites without a range learn in every layer") {
  const AdapterOptions options{Layers<site::OutProj>{2, 4}, Layers<site::D>{3}};
  CHECK(options.active("A_log", 0));
  CHECK(options.active("A_log", 1000));
  CHECK(!options.active("out_proj", 1));
  CHECK(options.active("out_proj", 2));
  CHECK(options.active("out_proj", 3));
  CHECK(!options.active("out_proj", 4));
  CHECK(!options.active("D", 2));
  CHECK(options.active("D", 1000));
  const AdapterOptions several{Layers<site::D>{5}, Layers<site::D>{0, 1}, Layers<site::D>{2, 3}};
  for (std::size_t l = 0; l < 7; ++l) CHECK(several.active("D", l) == (l == 0 || l == 2 || l > 4));
}

TEST_CASE("options: for all sites, for one, and their defaults") {
  const AdapterOptions options{LoRAOptions{.rank = 16, .alpha = 32.0}, Seed{7},
                               options_at<site::InProjX>(LoRAOptions{.rank = 4})};
  CHECK(options.seed == 7);
  CHECK(options.of<LoRAOptions>("out_proj").rank == 16);
  CHECK(options.of<LoRAOptions>("out_proj").alpha == 32.0);
  CHECK(options.of<LoRAOptions>("in_proj_x").rank == 4);
  CHECK(options.of<LoRAOptions>("in_proj_x").alpha == 0.0);  // a part for one site says everything
  CHECK(options.of<LoRAOptions>().dropout == 0.0);
  CHECK(options.of<DoRAOptions>("out_proj").rank == 8);  // LoRA's are not DoRA's
  CHECK(options.of<SelectedOptions>().states == 4);
  CHECK(options.number("alpha", 1.0) == 32.0);
  CHECK(options.number("rank", 1.0, "in_proj_x") == 4.0);
  CHECK(options.number("rank", 1.0, "out_proj") == 16.0);
  CHECK(options.number("prompt_length", 16.0) == 16.0);
}

TEST_CASE("options: later parts change what they differ in") {
  AdapterOptions options{LoRAOptions{.rank = 16, .alpha = 32.0}};
  options.set(LoRAOptions{.dropout = 0.1}).set("rank", 5.0);
  CHECK(options.of<LoRAOptions>().rank == 16);  // a part says more than a name
  CHECK(options.of<DoRAOptions>().rank == 5);
  options.set("rank", 8.0, {}, LoRAOptions::name);
  CHECK(options.of<LoRAOptions>().rank == 8);
  CHECK(options.of<LoRAOptions>().alpha == 32.0);
  CHECK(options.of<LoRAOptions>().dropout == 0.1);
  options.set(options_at<site::D>(LoRAOptions{.rank = 2})).set(Layers<site::D>{0, 1});
  options.forget("D");
  CHECK(options.of<LoRAOptions>("D").rank == 8);
  CHECK(options.layers.empty());
}

TEST_CASE("options: numbers that an option does not take are named with what it takes") {
  const auto refuses = [](AdapterOptions options, const char* text) {
    CHECK_THROWS_WITH_AS(options.of<LoRAOptions>("out_proj"), doctest::Contains(text), ArgumentError);
  };
  refuses(AdapterOptions().set("rank", 2.5), "expected a rank of at least 1, found 2.5; correct rank");
  refuses(AdapterOptions().set("rank", -1.0), "found -1");
  refuses(AdapterOptions().set("rank", 1e300), "found 1e+300");
  refuses(AdapterOptions().set("dropout", 1.0, "out_proj"), "correct out_proj's dropout");
  refuses(AdapterOptions().set("lookup_only", 2.0), "expected 0 or 1, found 2");
}

static_assert(!std::is_constructible_v<AdapterOptions, int>);
static_assert(!std::is_constructible_v<AdapterOptions, LoRAOptions, double>);
static_assert(std::is_constructible_v<AdapterOptions, Seed, LoRAOptions>);
