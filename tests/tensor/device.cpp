#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <sdlora/error.hpp>
#include <sdlora/tensor/device.hpp>
#include <type_traits>
#include <utility>

using sdlora::Cpu;
using sdlora::ShapeError;
using sdlora::Storage;

static_assert(!std::is_copy_constructible_v<Storage<float, Cpu>> &&
              !std::is_copy_assignable_v<Storage<float, Cpu>>);
static_assert(std::is_nothrow_move_constructible_v<Storage<float, Cpu>>);
static_assert(std::is_nothrow_move_assignable_v<Storage<float, Cpu>>);

TEST_CASE("device: storage of the Cpu is aligned, movable, and empties what it is moved from") {
  for (const std::size_t count : {1U, 7U, 64U, 1009U}) {
    Storage<double, Cpu> a(count);
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % sdlora::alignment == 0);
    CHECK(a.capacity() == count);
    const double* memory = a.data();
    Storage<double, Cpu> b = std::move(a);
    CHECK(b.data() == memory);
    CHECK(a.data() == nullptr);  // NOLINT(bugprone-use-after-move)
    CHECK(a.capacity() == 0);
    a = std::move(b);
    CHECK(a.data() == memory);
    CHECK(b.capacity() == 0);  // NOLINT(bugprone-use-after-move)
  }
  CHECK(Storage<float, Cpu>(0).data() == nullptr);
}

TEST_CASE("device: counts that no memory holds are refused") {
  using Doubles = Storage<double, Cpu>;
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  for (const std::size_t count : {huge, huge / 2, huge / sizeof(double) + 2}) {
    CHECK_THROWS_AS(Doubles{count}, ShapeError);
  }
}

TEST_CASE("device: storage zeroes and copies, also onto itself") {
  Storage<int, Cpu> a(5);
  for (int i = 0; i < 5; ++i) a.data()[i] = i + 1;
  Storage<int, Cpu>::copy(a.data() + 1, a.data(), 4);
  CHECK(a.data()[0] == 1);
  CHECK(a.data()[1] == 1);
  CHECK(a.data()[4] == 4);
  Storage<int, Cpu>::zero(a.data() + 1, 3);
  CHECK(a.data()[0] == 1);
  CHECK(a.data()[1] == 0);
  CHECK(a.data()[3] == 0);
  CHECK(a.data()[4] == 4);
  Storage<int, Cpu>::copy(nullptr, nullptr, 0);
}
