#include <sdlora/scan/menu/sequential.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("Sequential: any operator, exactly as defined") { scan_checks::check_element_policy(Sequential{}); }

TEST_CASE("Sequential: linear recurrences over columns") { scan_checks::check_column_policy(Sequential{}); }

TEST_CASE("Sequential: gradients") { scan_checks::check_backward(Sequential{}); }
