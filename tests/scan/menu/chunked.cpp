#include <sdlora/scan/menu/chunked.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("Chunked: any operator, exactly as defined") { scan_checks::check_element_policy(Chunked<>{}); }

TEST_CASE("Chunked: linear recurrences over columns") { scan_checks::check_column_policy(Chunked<>{}); }

TEST_CASE("Chunked: gradients") { scan_checks::check_backward(Chunked<>{}); }

TEST_CASE("Chunked: any chunk length") {
  scan_checks::check_exactly<scan_checks::ModularMatrix>(Chunked<1>{}, 7);
  scan_checks::check_exactly<scan_checks::ModularMatrix>(Chunked<7>{}, 1000);
  scan_checks::check_gradients(Chunked<2>{}, 5, 3, {}, ScanDirection::Forward, true);
}
