#include <doctest/doctest.h>

#include <sdlora/scan/menu/block_scan.hpp>
#include <sdlora/tensor/emulated.hpp>

#include "support/materialized_cases.hpp"

using namespace sdlora;
using namespace sdlora_test;

static_assert(SelectiveScan<Materialized<BlockScan<>>, Emulated>);

TEST_CASE("Materialized: BlockScan in the memory of the emulated device") {
  check_materialized_on_device<Emulated, BlockScan<>>();
}
