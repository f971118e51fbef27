// Placements that mix policies, run-time sizes, layer ranges and dropout, against finite differences.
#include "support/gradient_check.hpp"
#include "support/placements.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// What a prefix meets when little else learns: h0 before it, frozen projections after it.
struct PrefixAndState
    : Place<On<site::Prefix, PrefixTuning<>>, On<site::H0, Full>, On<site::OutProj, LoRA<>>> {};

}  // namespace

TEST_CASE("gradients: every kind of policy at once") { check_placement_gradients<Everything>(); }

TEST_CASE("gradients: a prefix shorter than the convolution's window, on a learned initial state") {
  AdapterOptions options = some_options();
  options.set(RowsOptions{.prompt_length = 2});
  check_placement_gradients<PrefixAndState>(options);
}

TEST_CASE("gradients: sizes read at run time") {
  auto model = stirred_model<Everything, TinyAny>();
  check_model_gradients(model);
}

TEST_CASE("gradients: sites that learn in some layers only") {
  AdapterOptions options = some_options();
  options.layers = {{"in_proj_x", 1, 2}, {"in_proj_z", 0, 1}, {"A_log", 2, 3},   {"x_proj_B", 1, 2},
                    {"norm", 1},         {"h0", 1, 2},        {"prefix", 0, 2},  {"conv1d", 1, 3},
                    {"conv_bias", 0, 1}, {"D", 2, 3},         {"dt_bias", 0, 2}, {"dt_proj", 1, 2},
                    {"out_proj", 0, 2}};
  auto model = stirred_model<Everything, TinyAny>(tiny_with_layers(3), options);
  check_model_gradients(model);
}

TEST_CASE("gradients: nothing learns below the first layer of the ranges") {
  AdapterOptions options = some_options();
  options.layers = {{"out_proj", 2, 3}, {"h0", 1, 2}, {"prefix", 2, 4}};
  auto model = stirred_model<PrefixAndState, TinyAny>(tiny_with_layers(4), options);
  check_model_gradients(model);
}

TEST_CASE("gradients: LoRA with the dropout of one pass") {
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.dropout = 0.4});
  options.seed = 9;
  auto model = stirred_model<presets::LoRAAll<2>>(tiny_dimensions, options);
  check_model_gradients(model, {.training = true, .step = 7});
}
