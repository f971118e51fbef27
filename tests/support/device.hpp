#pragma once

#include <cstdio>

namespace sdlora_test {

/// Test cases of this executable that were left out because the machine has no device.
inline int cases_without_device = 0;

/// First line of a test case that needs a GPU: `if (skip_without_device(count_devices() > 0)) return;`.
/// Says "skipped: no device" and makes the executable end with CTest's status for skipped.
inline bool skip_without_device(bool has_device) {
  if (has_device) return false;
  ++cases_without_device;
  std::puts("skipped: no device");
  return true;
}

}  // namespace sdlora_test
