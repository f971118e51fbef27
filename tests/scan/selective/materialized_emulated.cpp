#include <doctest/doctest.h>

#include <sdlora/scan/menu/block_scan.hpp>
#include <sdlora/tensor/emulated.hpp>

#include "support/materialized_cases.hpp"

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("Materialized: BlockScan in the memory of the emulated device") {
  check_materialized_on_device<Emulated, BlockScan<>>();
}

TEST_CASE("Materialized: the same of double") {
  const RandomScan<double> p({3, 1, 9}, 3, 2);
  check_materialized<Emulated, BlockScan<>, SelectiveScanGradients::all()>(p, 1);
}
