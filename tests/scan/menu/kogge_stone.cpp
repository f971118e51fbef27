#include <sdlora/scan/menu/kogge_stone.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("KoggeStone: any operator, exactly as defined") {
  scan_checks::check_element_policy(KoggeStone<>{});
}

TEST_CASE("KoggeStone: linear recurrences over columns") { scan_checks::check_column_policy(KoggeStone<>{}); }

TEST_CASE("KoggeStone: gradients") { scan_checks::check_backward(KoggeStone<>{}); }

TEST_CASE("KoggeStone: any width") {
  scan_checks::check_exactly<scan_checks::ModularMatrix>(KoggeStone<2>{}, 7);
  scan_checks::check_exactly<scan_checks::ModularMatrix>(KoggeStone<64>{}, 1000);
}
