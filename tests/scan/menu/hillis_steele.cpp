#include <sdlora/scan/menu/hillis_steele.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("HillisSteele: any operator, exactly as defined") {
  scan_checks::check_element_policy(HillisSteele{});
}

TEST_CASE("HillisSteele: linear recurrences over columns") {
  scan_checks::check_column_policy(HillisSteele{});
}

TEST_CASE("HillisSteele: gradients") { scan_checks::check_backward(HillisSteele{}); }
