#include <sdlora/scan/menu/blelloch.hpp>
#include <sdlora/scan/menu/block_scan.hpp>
#include <sdlora/scan/menu/chunked.hpp>
#include <sdlora/scan/menu/sequential.hpp>
#include <sdlora/scan/selective/fused_segments.hpp>
#include <sdlora/scan/selective/materialized.hpp>
#include <sdlora/tensor/emulated.hpp>

#include "support/model_device_cases.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("a model whose blocks scan in the open has the gradients of the fused scan") {
  using P = presets::SDLoRA<2, 3, 2>;
  check_model_on<Run<>::with_scan<Materialized<Sequential>>, P>("sequential");
  check_model_on<Run<>::with_scan<Materialized<Blelloch>>, P>("Blelloch");
  check_model_on<Run<>::with_scan<FusedSegments<4>>, P>("segments");
  check_model_on<Run<>::with_scan<Materialized<Chunked<>>>, Everything>("everything learns");
}
TEST_CASE("a model on the emulated device whose blocks scan by a block scan") {
  using Scan = Materialized<BlockScan<>>;
  check_model_on<Run<Emulated>::with_scan<Scan>, presets::SDLoRA<2, 3, 2>>("SDLoRA");
  check_model_on<Run<Emulated>::with_scan<Scan>, presets::InitialState>("InitialState");
}
