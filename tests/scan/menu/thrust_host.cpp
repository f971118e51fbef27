// Built once for each of Thrust's host systems: THRUST_HOST_SYSTEM says which.
#if __has_include(<thrust/scan.h>)

#include <sdlora/scan/menu/thrust_host.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("ThrustHost: any operator") { scan_checks::check_element_policy(ThrustHost{}); }

TEST_CASE("ThrustHost: columns") { scan_checks::check_column_policy(ThrustHost{}); }

TEST_CASE("ThrustHost: gradients") { scan_checks::check_backward(ThrustHost{}); }

#else

#include <doctest/doctest.h>

#include <cstdio>

#include "support/device.hpp"

TEST_CASE("ThrustHost") {
  ++sdlora_test::cases_without_device;
  std::puts("skipped: Thrust's headers are not in the include path");
}

#endif
