#include <sdlora/scan/menu/blelloch.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("Blelloch: any operator, exactly as defined") { scan_checks::check_element_policy(Blelloch{}); }

TEST_CASE("Blelloch: linear recurrences over columns") { scan_checks::check_column_policy(Blelloch{}); }

TEST_CASE("Blelloch: gradients") { scan_checks::check_backward(Blelloch{}); }
