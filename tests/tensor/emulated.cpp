#include <sdlora/tensor/emulated.hpp>
#include <sdlora/tensor/workspace.hpp>

#include "support/device_copies.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("memory of the emulated device: what was written is read again, and zeros are zeros") {
  const std::vector<float> values{1, 2, 3, 4, 5};
  Storage<float, Emulated> a(5), b(5);
  Storage<float, Emulated>::write(a.data(), values.data(), 5);
  Storage<float, Emulated>::copy(b.data(), a.data(), 5);
  std::vector<float> found(5);
  Storage<float, Emulated>::read(found.data(), b.data(), 5);
  CHECK(found == values);
  Storage<float, Emulated>::zero(b.data(), 4);
  Storage<float, Emulated>::read(found.data(), b.data(), 5);
  CHECK(found == std::vector<float>{0, 0, 0, 0, 5});
}

TEST_CASE("new memory of the emulated device holds no numbers, also where it was used before") {
  for (int i = 0; i < 3; ++i) {
    const Storage<float, Emulated> memory(100);
    float value = 0;
    Storage<float, Emulated>::read(&value, memory.data() + 99, 1);
    CHECK(std::isnan(value));
    Storage<float, Emulated>::zero(memory.data(), 100);
  }
}

TEST_CASE("memory that is given back is handed out again") {
  const void* first = nullptr;
  {
    const Storage<double, Emulated> a(1000), b(10);
    first = a.data();
  }
  const Storage<double, Emulated> whole(1010);
  CHECK(whole.data() == first);
  CHECK_THROWS_AS((Storage<double, Emulated>(std::size_t{1} << 40)), Error);
}

// The point of it: a loop of the host over a device's memory must not pass a test.
TEST_CASE("a function of the host that reads the emulated device's memory ends the program") {
  const Storage<float, Emulated> memory(16);
  Storage<float, Emulated>::zero(memory.data(), 16);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);  // not the test program's, which reports it
    const volatile float* p = memory.data();
    const float value = *p;
    _exit(value == 0 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) <= 1));
}

TEST_CASE("a workspace on the emulated device") {
  WorkspaceOn<Emulated> workspace;
  const std::vector<float> values{3, 1, 4, 1, 5};
  {
    const WorkspaceScope scope(workspace);
    const MatrixView<const float, Emulated> there = workspace.placed<float>(values);
    const MatrixView<float, Emulated> twice = workspace.matrix<float>(1, 5);
    assign(twice, 2.0F * there);
    std::vector<float> found(5);
    Storage<float, Emulated>::read(found.data(), twice.data, 5);
    CHECK(found == std::vector<float>{6, 2, 8, 2, 10});
    CHECK(workspace.bytes_in_use() > 0);
  }
  CHECK(workspace.bytes_in_use() == 0);
  Workspace host;
  CHECK(host.placed<float>(values).data == values.data());
}

TEST_CASE("matrices of the emulated device whose rows lie apart") {
  const CopyThrough<Emulated> transfer;
  Tensor<float, Extents<5, 7>> host;
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 7; ++j) host(i, j) = static_cast<float>(10 * i + j);
  }
  auto device = transfer.put(host);
  const auto left = device.matrix().cols_from(1, 2), right = device.matrix().cols_from(4, 2);
  assign(left, right + 0.5F);
  assign<AssignMode::Multiply>(device.matrix().rows_from(2, 1), 3);
  // Read where it is written for others.
  assign(device.matrix().rows_from(3, 2), device.matrix().rows_from(2, 2));
  const auto found = transfer.get(device);
  CHECK(found(0, 0) == 0);
  CHECK(found(0, 1) == 4.5F);
  CHECK(found(1, 2) == 15.5F);
  CHECK(found(1, 3) == 13);
  CHECK(found(2, 6) == 78);
  CHECK(found(3, 6) == 78);
  CHECK(found(4, 1) == 34.5F);
}
