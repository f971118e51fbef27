#include <sdlora/error.hpp>
#include <sdlora/tensor/workspace.hpp>

#include "support/sanitized.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>
#include <new>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/resource.h>
#endif

using namespace sdlora;

namespace {
bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % alignment == 0; }
}  // namespace

TEST_CASE("workspace: spans are aligned, apart, and counted in whole multiples of the alignment") {
  Workspace workspace;
  CHECK(workspace.bytes_in_use() == 0);
  const auto a = workspace.take<float>(3);
  const auto b = workspace.take<char>(alignment + 1);
  const auto c = workspace.take<double>(0);
  const auto e = workspace.take<std::size_t>(8);
  CHECK(a.size() == 3);
  CHECK(c.empty());
  CHECK(aligned(a.data()));
  CHECK(aligned(b.data()));
  CHECK(aligned(e.data()));
  CHECK(workspace.bytes_in_use() == 4 * alignment);
  std::fill(a.begin(), a.end(), 1.0F);
  std::fill(b.begin(), b.end(), 'x');
  std::fill(e.begin(), e.end(), std::size_t{7});
  CHECK(std::accumulate(a.begin(), a.end(), 0.0F) == 3.0F);
  for (const char v : b) REQUIRE(v == 'x');
}

TEST_CASE("workspace: large arrays of whole pages begin at different places of a page") {
  Workspace workspace;
  constexpr std::size_t page = 4096, count = 6;
  workspace.take<char>(2 * count * 16 * page);
  workspace.reset();
  std::vector<std::uintptr_t> places;
  for (std::size_t i = 0; i < count; ++i) {
    const auto array = workspace.take<char>(16 * page);
    CHECK(aligned(array.data()));
    places.push_back(reinterpret_cast<std::uintptr_t>(array.data()) % page);
  }
  std::sort(places.begin(), places.end());
  // Each has a group of eight lines for itself, as the scans take rows.
  for (std::size_t i = 1; i < count; ++i) CHECK(places[i] - places[i - 1] >= 4 * alignment);
}

TEST_CASE("workspace: a scope gives back what was taken in it, also by scopes inside") {
  Workspace workspace;
  const auto outside = workspace.take<int>(10);
  outside[9] = 5;
  const int* first = nullptr;
  {
    const Workspace::Scope scope(workspace);
    first = workspace.take<int>(10).data();
    {
      const Workspace::Scope inner(workspace);
      workspace.take<int>(1'000'000);  // into another block
      CHECK(workspace.bytes_in_use() > 4'000'000);
    }
    CHECK(workspace.bytes_in_use() == 2 * alignment);
    workspace.take<int>(1'000'000);
  }
  CHECK(workspace.bytes_in_use() == alignment);
  CHECK(outside[9] == 5);
  CHECK(workspace.take<int>(10).data() == first);
}

TEST_CASE("workspace: a scope on an empty workspace") {
  Workspace workspace;
  {
    const Workspace::Scope scope(workspace);
    workspace.take<int>(100);
  }
  CHECK(workspace.bytes_in_use() == 0);
  CHECK(workspace.peak_bytes() == 4 * alignment);
}

TEST_CASE("workspace: growing moves nothing that is in use") {
  Workspace workspace;
  std::vector<std::span<int>> taken;
  for (int i = 0; i < 200; ++i) {
    taken.push_back(workspace.take<int>(1000));
    std::fill(taken.back().begin(), taken.back().end(), i);
  }
  for (int i = 0; i < 200; ++i) {
    for (const int v : taken[static_cast<std::size_t>(i)]) REQUIRE(v == i);
  }
}

TEST_CASE("workspace: large blocks ask for large pages") {
  Workspace workspace;
  const std::span<char> large = workspace.take<char>(std::size_t{8} << 20);
  CHECK(aligned(large.data()));
  // What Linux says of the mapping that holds the block's middle: "hg" where the advice was taken.
  std::ifstream mappings("/proc/self/smaps");
  const auto middle = reinterpret_cast<std::uintptr_t>(large.data() + large.size() / 2);
  bool inside = false;
  std::string flags;
  for (std::string line; std::getline(mappings, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= middle && middle < end;
    if (inside && line.starts_with("VmFlags:")) flags = line;
  }
  if (flags.empty() || !std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    MESSAGE("skipped: this system does not say, or has no large pages");
    return;
  }
  CHECK(flags.find(" hg") != std::string::npos);
}

TEST_CASE("workspace: a large block begins with a large page, whatever its size") {
  constexpr std::size_t page = std::size_t{2} << 20;
  Workspace workspace;
  for (const std::size_t bytes : {page, 3 * page / 2, 5 * page + 64}) {
    const std::span<char> large = workspace.take<char>(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(large.data()) % page == 0);
  }
  workspace.reset();
  CHECK(reinterpret_cast<std::uintptr_t>(workspace.take<char>(1).data()) % page == 0);
}

TEST_CASE("workspace: the peak, and joining the blocks after it") {
  Workspace workspace;
  for (int i = 0; i < 100; ++i) workspace.take<float>(4096);
  const std::size_t peak = workspace.peak_bytes();
  CHECK(peak == 100 * 4096 * sizeof(float));
  workspace.reset();
  CHECK(workspace.bytes_in_use() == 0);
  CHECK(workspace.peak_bytes() == peak);
  // One block holds it all now: everything lies one after another.
  const float* first = workspace.take<float>(4096).data();
  for (std::size_t i = 1; i < 100; ++i) REQUIRE(workspace.take<float>(4096).data() == first + i * 4096);
  workspace.reset();
  workspace.reset_peak();
  CHECK(workspace.peak_bytes() == 0);
  workspace.take<float>(16);
  CHECK(workspace.peak_bytes() == alignment);
}

TEST_CASE("workspace: moved with what it holds") {
  Workspace workspace;
  const auto a = workspace.take<int>(5);
  a[4] = 3;
  const Workspace moved = std::move(workspace);
  CHECK(a[4] == 3);
  CHECK(moved.bytes_in_use() == alignment);
}

TEST_CASE("workspace: one that was moved from is as a new one") {
  Workspace workspace, other;
  for (int i = 0; i < 100; ++i) workspace.take<float>(4096);  // several blocks
  const auto use = [](Workspace& empty) {
    CHECK(empty.bytes_in_use() == 0);
    CHECK(empty.peak_bytes() == 0);
    {
      const Workspace::Scope scope(empty);
      empty.take<float>(16);
    }
    CHECK(empty.bytes_in_use() == 0);
    const auto a = empty.take<int>(10), b = empty.take<int>(10);
    CHECK(a.data() != b.data());
    CHECK(empty.bytes_in_use() == 2 * alignment);
  };
  const Workspace constructed = std::move(workspace);
  use(workspace);  // NOLINT(bugprone-use-after-move)
  other = std::move(workspace);
  use(workspace);  // NOLINT(bugprone-use-after-move)
  CHECK(constructed.bytes_in_use() == 100 * 4096 * sizeof(float));
  CHECK(other.bytes_in_use() == 2 * alignment);
}

TEST_CASE("workspace: a scope may outlive a reset and a move") {
  for (const bool moved : {false, true}) {
    Workspace workspace, other;
    workspace.take<float>(1000);
    workspace.take<float>(100'000);
    {
      const Workspace::Scope scope(workspace);  // in the second block
      workspace.take<float>(1000);
      if (moved) {
        other = std::move(workspace);
      } else {
        workspace.reset();
      }
    }
    CHECK(workspace.bytes_in_use() == 0);
    const auto a = workspace.take<float>(1000), b = workspace.take<float>(1000);
    CHECK(b.data() == a.data() + 1024);
  }
}

#if defined(__linux__) && !defined(SDLORA_TEST_SANITIZED)
TEST_CASE("workspace: a reset that gets no memory leaves an empty one") {
  Workspace workspace;
  workspace.take<char>(std::size_t{64} << 20);
  workspace.take<char>(std::size_t{64} << 20);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 1;
  REQUIRE(setrlimit(RLIMIT_AS, &none) == 0);
  bool refused = false;
  try {
    workspace.reset();
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  REQUIRE(refused);
  CHECK(workspace.bytes_in_use() == 0);
  {
    const Workspace::Scope scope(workspace);
    workspace.take<float>(16);
  }
  const auto a = workspace.take<int>(10);
  a[9] = 1;
  CHECK(workspace.bytes_in_use() == alignment);
}
#endif

TEST_CASE("workspace: a matrix is one span, row after row") {
  Workspace workspace;
  const MatrixView<float> matrix = workspace.matrix<float>(3, 5);
  CHECK(matrix.rows == 3);
  CHECK(matrix.cols == 5);
  CHECK(matrix.contiguous());
  CHECK(workspace.bytes_in_use() == alignment);
  CHECK(workspace.take<float>(1).data() == matrix.data + alignment / sizeof(float));
  CHECK(workspace.matrix<double>(0, 7).rows == 0);
  // The number of values overflows, not the extents.
  CHECK_THROWS_WITH_AS(workspace.matrix<float>(std::size_t{1} << 40, std::size_t{1} << 30),
                       doctest::Contains("Workspace: extents (1099511627776, 1073741824)"), ShapeError);
}

TEST_CASE("workspace: counts that no memory holds are refused") {
  Workspace workspace;
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  for (const std::size_t count : {huge, huge / 2, huge / sizeof(double) + 2, huge / 2 / sizeof(double) + 1}) {
    CHECK_THROWS_AS(workspace.take<double>(count), ShapeError);
  }
  CHECK_THROWS_WITH_AS(workspace.take<char>(huge),
                       doctest::Contains("Workspace: extents (18446744073709551615) hold more values"),
                       ShapeError);
  CHECK(workspace.bytes_in_use() == 0);
}
