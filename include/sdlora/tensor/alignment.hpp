#pragma once

#include "extents.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sdlora {

/// Bytes of a cache line, and of the longest vector.
inline constexpr std::size_t cache_line = 64;
/// Bytes that owning tensors and workspaces align to: two cache lines, because processors fetch lines in such
/// pairs, and two threads that work in one pair hinder each other.
inline constexpr std::size_t alignment = 2 * cache_line;

namespace detail {
inline constexpr std::size_t large_page = std::size_t{1} << 21;

struct AlignedDelete {
  std::size_t alignment = sdlora::alignment;
  void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{alignment}); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;

/// Asks the system to back large memory with large pages, where it leaves that to programs: rows of wide
/// matrices lie on pages of their own, more of them than the processor keeps translations of.
inline void prefer_large_pages([[maybe_unused]] std::byte* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = detail::round_up(address, large_page),
                       end = (address + bytes) / large_page * large_page;
  // A hint: where it is refused, all works as before.
  if (begin < end) static_cast<void>(madvise(memory + (begin - address), end - begin, MADV_HUGEPAGE));
#endif
}

inline AlignedBytes allocate_aligned(std::size_t bytes, std::size_t aligned_to = alignment) {
  AlignedBytes memory(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{aligned_to})),
                      AlignedDelete{aligned_to});
  prefer_large_pages(memory.get(), bytes);
  return memory;
}
}  // namespace detail

}  // namespace sdlora
