#pragma once

#include "alignment.hpp"
#include "device.hpp"
#include "extents.hpp"
#include "matrix_view.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace sdlora {

template <class Device>
class WorkspaceScope;
template <class Device>
class WorkspaceOn;

/// The host's.
using Workspace = WorkspaceOn<Cpu>;

/// Memory of a device for the intermediate values of a step, handed out as a stack. Grows in blocks while a
/// step meets its largest shapes; `reset` then joins the blocks into one, so later steps whose
/// shapes fit allocate nothing. Spans stay valid until their `Scope` ends or `reset`; a move takes them along
/// and leaves an empty workspace.
template <class Device>
class WorkspaceOn {
 public:
  using device_type = Device;
  using Scope = WorkspaceScope<Device>;

  WorkspaceOn() = default;
  WorkspaceOn(WorkspaceOn&& other) noexcept
      : blocks_(std::move(other.blocks_)),
        current_(std::exchange(other.current_, 0)),
        in_use_(std::exchange(other.in_use_, 0)),
        peak_(std::exchange(other.peak_, 0)),
        host_(std::move(other.host_)) {}
  WorkspaceOn& operator=(WorkspaceOn&& other) noexcept {
    if (this != &other) {
      blocks_ = std::exchange(other.blocks_, {});
      current_ = std::exchange(other.current_, 0);
      in_use_ = std::exchange(other.in_use_, 0);
      peak_ = std::exchange(other.peak_, 0);
      host_ = std::move(other.host_);
    }
    return *this;
  }

  /// `count` uninitialised values, aligned to `alignment` bytes. Throws ShapeError where no memory can hold
  /// them.
  template <class T>
    requires is_host<Device>
  std::span<T> take(std::size_t count) {
    return {take_memory<T>(count), count};
  }

  /// The same for a matrix (rows, cols), its rows one after another.
  template <class T>
  MatrixView<T, Device> matrix(std::size_t rows, std::size_t cols) {
    const std::size_t count = detail::checked_size(Extents<dyn, dyn>(rows, cols), sizeof(T), "Workspace");
    return {take_memory<T>(count), rows, cols};
  }

  /// Values of the host where the device reads them, (1, count): a copy, or on the `Cpu` those values
  /// themselves.
  template <class T>
  MatrixView<const T, Device> placed(std::span<const T> values) {
    if constexpr (is_host<Device>) {
      return {values.data(), 1, values.size()};
    } else {
      const MatrixView<T, Device> copy = matrix<T>(1, values.size());
      Storage<T, Device>::write(copy.data, values.data(), values.size());
      return copy;
    }
  }

  /// Scratch memory of the host beside that of the device: on the `Cpu` this very workspace.
  Workspace& host() {
    if constexpr (is_host<Device>) {
      return *this;
    } else {
      return host_;
    }
  }

  /// Where nothing is in use, joins the blocks into one that holds the peak, so that a step like the last one
  /// allocates nothing.
  void join() {
    if (in_use_ == 0) reset();
  }

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
    Storage<std::byte, Device> memory;
    std::size_t size;
    std::size_t used;
  };

  template <class T>
  T* take_memory(std::size_t count) {
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
    T* result = reinterpret_cast<T*>(block.memory.data() + block.used);
    block.used += room;
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    return result;
  }

  // Large blocks begin with a large page: one that begins anywhere has none at its ends, a block of 3 MiB
  // perhaps none at all. Tensors begin anywhere, so that their rows do not share sets of the caches.
  static Block allocate(std::size_t size) {
    if constexpr (is_host<Device>) {
      return {Storage<std::byte, Cpu>(size, size < detail::large_page ? alignment : detail::large_page), size,
              0};
    } else {
      return {Storage<std::byte, Device>(size), size, 0};
    }
  }

  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  struct NoHost {};
  [[no_unique_address]] std::conditional_t<is_host<Device>, NoHost, WorkspaceOn<Cpu>> host_;

  friend class WorkspaceScope<Device>;
};

/// Gives back, at its end, what was taken from a workspace since its beginning. Scopes nest. After a `reset`
/// or a move of the workspace, which leave nothing of its beginning, it does nothing.
template <class Device>
class WorkspaceScope {
 public:
  explicit WorkspaceScope(WorkspaceOn<Device>& workspace)
      : workspace_(workspace),
        block_(workspace.current_),
        used_(workspace.blocks_.empty() ? 0 : workspace.blocks_[workspace.current_].used),
        in_use_(workspace.in_use_) {}
  ~WorkspaceScope() {
    if (block_ >= workspace_.blocks_.size() || workspace_.in_use_ < in_use_) return;
    workspace_.current_ = block_;
    workspace_.blocks_[block_].used = used_;
    workspace_.in_use_ = in_use_;
  }
  WorkspaceScope(const WorkspaceScope&) = delete;
  WorkspaceScope& operator=(const WorkspaceScope&) = delete;

 private:
  WorkspaceOn<Device>& workspace_;
  std::size_t block_, used_, in_use_;
};

/// The workspace that calls of this thread use where they are given none.
template <class Device = Cpu>
WorkspaceOn<Device>& thread_workspace() {
  static thread_local WorkspaceOn<Device> workspace;
  return workspace;
}

}  // namespace sdlora
