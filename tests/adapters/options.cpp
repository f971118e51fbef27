#include <sdlora/adapters/options.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

TEST_CASE("options: sites without a range learn in every layer") {
  const AdapterOptions options{.layers = {{"out_proj", 2, 4}, {"D", 3}}};
  CHECK(options.active("A_log", 0));
  CHECK(options.active("A_log", 1000));
  CHECK(!options.active("out_proj", 1));
  CHECK(options.active("out_proj", 2));
  CHECK(options.active("out_proj", 3));
  CHECK(!options.active("out_proj", 4));
  CHECK(!options.active("D", 2));
  CHECK(options.active("D", 1000));
}
