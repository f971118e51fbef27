#include <sdlora/scan/menu/sklansky.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("Sklansky: any operator, exactly as defined") { scan_checks::check_element_policy(Sklansky{}); }

TEST_CASE("Sklansky: linear recurrences over columns") { scan_checks::check_column_policy(Sklansky{}); }

TEST_CASE("Sklansky: gradients") { scan_checks::check_backward(Sklansky{}); }
