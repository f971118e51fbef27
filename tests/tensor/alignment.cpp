#include <sdlora/tensor/alignment.hpp>

#include <doctest/doctest.h>

#include <cstdint>

using namespace sdlora;

TEST_CASE("memory is aligned as asked") {
  for (const std::size_t aligned_to : {alignment, detail::large_page}) {
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{4097}, 3 * detail::large_page}) {
      const detail::AlignedBytes memory = detail::allocate_aligned(bytes, aligned_to);
      CHECK(reinterpret_cast<std::uintptr_t>(memory.get()) % aligned_to == 0);
      memory[bytes - 1] = std::byte{1};
    }
  }
}
