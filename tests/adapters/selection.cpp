#include <sdlora/adapters/selection.hpp>

#include <doctest/doctest.h>

#include <sstream>

using namespace sdlora;

namespace {

const std::vector<double> change{0.1,  -0.1, 0.0,   // channel 0: 0.02
                                 -2.0, 0.0,  0.5,   // channel 1: 4.25
                                 0.0,  1.0,  1.0,   // channel 2: 2
                                 0.0,  0.0,  -3.0,  // channel 3: 9
                                 1.0,  -1.0, 0.0};  // channel 4: 2, a tie with channel 2
MatrixView<const double> view() { return {change.data(), 5, 3}; }

Selection valid() { return {8, 4, {{{1, 5}, {0, 3, 1, 2}}, {{0, 7}, {2, 3, 0, 1}}}}; }

}  // namespace

TEST_CASE("selection: the best channels by the sum of squares, and the best states of each") {
  CHECK(select_layer(view(), 2, 1) == LayerSelection{{1, 3}, {0, 2}});
  CHECK(select_layer(view(), 3, 2) ==
        LayerSelection{{1, 2, 3}, {0, 2, 1, 2, 0, 2}});  // ties: the lower index
  CHECK(select_layer(view(), 5, 3).channels.size() == 5);
  CHECK(select_layer(view(), 0, 0) == LayerSelection{});
  CHECK(select_layer(view(), 2, 1).states_per_channel() == 1);
  CHECK(LayerSelection{}.states_per_channel() == 0);
}

TEST_CASE("selection: another score") {
  const auto smallest = [](double c) { return -std::abs(c); };
  CHECK(select_layer(view(), 1, 1, smallest) == LayerSelection{{0}, {2}});
}

TEST_CASE("selection: more than there is") {
  CHECK_THROWS_WITH_AS(select_layer(view(), 6, 1), doctest::Contains("cannot choose 6 of 5 channels"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(select_layer(view(), 1, 4), doctest::Contains("4 of 3 states"), ArgumentError);
}

TEST_CASE("selection: what is not valid is named with its layer and place") {
  valid().validate();
  Selection{}.validate();
  const auto check = [](const Selection& s, const char* text) {
    CHECK_THROWS_WITH_AS(s.validate(), doctest::Contains(text), ArgumentError);
  };
  Selection s = valid();
  s.layers[1].channels[1] = 8;
  check(s, "layer 1: expected ascending channel indices below 8, found 8 at position 1");
  s = valid();
  s.layers[0].channels = {5, 5};
  check(s, "layer 0: expected ascending channel");
  s = valid();
  s.layers[0].states = {3, 0, 1, 2};
  check(s, "layer 0: expected ascending state indices below 4, found 0 at position 1");
  s = valid();
  s.layers[1].states[3] = 4;
  check(s, "state indices below 4, found 4");
  s = valid();
  s.layers[1] = {{0}, {2, 3}};
  check(s, "layer 1: expected 2 channels with 2 states each as in layer 0, found 1 channels");
  s = valid();
  s.layers[0].states.push_back(3), s.layers[1].states.push_back(3);
  check(s, "not a multiple of the number of channels");
  s = valid();
  for (LayerSelection& layer : s.layers) layer.channels.clear();
  check(s, "states");  // states of no channel
}

TEST_CASE("selection: printed, a line for each layer") {
  std::ostringstream text;
  text << valid();
  CHECK(text.str() == "layer 0: 1(0,3) 5(1,2)\nlayer 1: 0(2,3) 7(0,1)\n");
}
