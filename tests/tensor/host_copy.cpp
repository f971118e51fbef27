#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/host_copy.hpp>

#include "support/device_copies.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("the host reads a matrix of every device; its own is not copied") {
  Tensor<float, Extents<3, 5>> host;
  host(2, 4) = 7;
  host(1, 0) = 3;
  const HostCopy same(host.matrix());
  CHECK(same.values().data() == host.data());
  const auto there = CopyThrough<Emulated>{}.put(host);
  const HostCopy copy(there.matrix().rows_from(1, 2));
  CHECK(copy.values().size() == 10);
  CHECK(copy.view()(0, 0) == 3);
  CHECK(copy.view()(1, 4) == 7);
}
