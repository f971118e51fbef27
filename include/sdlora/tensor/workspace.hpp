#pragma once

#include "extents.hpp"
#include "matrix_view.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

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

/// Memory for the intermediate values of a step, handed out as a stack. Grows in blocks while a
/// step meets its largest shapes; `reset` then joins the blocks into one, so later steps whose
/// shapes fit allocate nothing. Spans stay valid until their `Scope` ends or `reset`; a move takes them along
/// and leaves an empty workspace.
class Workspace {
 public:
  Workspace() = default;
  Workspace(Workspace&& other) noexcept
      : blocks_(std::move(other.blocks_)),
        current_(std::exchange(other.current_, 0)),
        in_use_(std::exchange(other.in_use_, 0)),
        peak_(std::exchange(other.peak_, 0)) {}
  Workspace& operator=(Workspace&& other) noexcept {
    if (this != &other) {
      blocks_ = std::exchange(other.blocks_, {});
      current_ = std::exchange(other.current_, 0);
      in_use_ = std::exchange(other.in_use_, 0);
      peak_ = std::exchange(other.peak_, 0);
    }
    return *this;
  }

  /// `count` uninitialised values, aligned to `alignment` bytes. Throws ShapeError where no memory can hold
  /// them.
  template <class T>
  std::span<T> take(std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>, "sdlora::Workspace: holds trivially copyable values only");
    const std::size_t values = detail::checked_bytes(count, sizeof(T), "Workspace");
    const std::size_t bytes = detail::round_up(values, alignment);
    const std::size_t room = bytes + (bytes < staggered_from ? 0 : stagger);
    while (current_ < blocks_.size() && blocks_[current_].used + room > blocks_[current_].size) {
      if (current_ + 1 == blocks_.size()) break;
      blocks_[++current_].used = 0;
    }
    if (blocks_.empty() || blocks_[current_].used + room > blocks_[current_].size) {
      const std::size_t size =
          std::max<std::size_t>(room, blocks_.empty() ? 1 << 16 : 2 * blocks_.back().size);
      blocks_.push_back(allocate(size));
      current_ = blocks_.size() - 1;
    }
    Block& block = blocks_[current_];
    T* result = reinterpret_cast<T*>(block.memory.get() + block.used);
    block.used += room;
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    return {result, count};
  }

  /// The same for a matrix (rows, cols), its rows one after another.
  template <class T>
  MatrixView<T> matrix(std::size_t rows, std::size_t cols) {
    const std::size_t count = detail::checked_size(Extents<dyn, dyn>(rows, cols), sizeof(T), "Workspace");
    return {take<T>(count).data(), rows, cols};
  }

  /// Gives back, at its end, what was taken since its beginning. Scopes nest. After a `reset` or a move of
  /// the workspace, which leave nothing of its beginning, it does nothing.
  class Scope {
   public:
    explicit Scope(Workspace& workspace)
        : workspace_(workspace),
          block_(workspace.current_),
          used_(workspace.blocks_.empty() ? 0 : workspace.blocks_[workspace.current_].used),
          in_use_(workspace.in_use_) {}
    ~Scope() {
      if (block_ >= workspace_.blocks_.size() || workspace_.in_use_ < in_use_) return;
      workspace_.current_ = block_;
      workspace_.blocks_[block_].used = used_;
      workspace_.in_use_ = in_use_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    std::size_t block_, used_, in_use_;
  };

  /// Forgets everything taken; joins the blocks into one that holds the peak.
  void reset() {
    // Before the allocation: where that throws, the workspace is empty.
    current_ = 0;
    in_use_ = 0;
    if (blocks_.size() > 1) {
      std::size_t total = 0;
      for (const Block& block : blocks_) total += block.size;
      blocks_.clear();
      blocks_.push_back(allocate(total));
    }
    if (!blocks_.empty()) blocks_.front().used = 0;
  }

  std::size_t bytes_in_use() const { return in_use_; }
  /// The most bytes in use at once since construction or `reset_peak`.
  std::size_t peak_bytes() const { return peak_; }
  void reset_peak() { peak_ = in_use_; }

 private:
  // Large arrays, whose sizes are often multiples of a page, begin at different places of one: side by side,
  // their rows would share a few sets of the caches.
  static constexpr std::size_t staggered_from = std::size_t{1} << 15, stagger = 5 * alignment;

  struct Block {
    detail::AlignedBytes memory;
    std::size_t size;
    std::size_t used;
  };
  // Large blocks begin with a large page: one that begins anywhere has none at its ends, a block of 3 MiB
  // perhaps none at all. Tensors begin anywhere, so that their rows do not share sets of the caches.
  static Block allocate(std::size_t size) {
    return {detail::allocate_aligned(size, size < detail::large_page ? alignment : detail::large_page), size,
            0};
  }

  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace sdlora
