#pragma once

#include "../error.hpp"
#include "detail/assign_kernel.hpp"
#include "device.hpp"
#include "emulator.hpp"
#include "extents.hpp"
#include "tensor.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>

namespace sdlora {

namespace detail {

/// The memory of the emulated device: one range of addresses that can be neither read nor written but by
/// kernels and copies, so that a function of the host that forgets where its values lie ends the program.
class EmulatedMemory {
 public:
  static EmulatedMemory& instance() {
    static auto& memory = *new EmulatedMemory;  // never ends: static tensors may outlive others
    return memory;
  }

  /// Opens the memory from its beginning to its end. Opens nest.
  class Access {
   public:
    Access() { instance().open(1); }
    ~Access() { instance().open(-1); }
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;
  };

  std::byte* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    bytes = round_up(bytes, alignment);
    for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
      if (hole->second < bytes) continue;
      const auto [first, size] = *hole;
      holes_.erase(hole);
      if (size > bytes) holes_[first + bytes] = size - bytes;
      if (first + bytes > reached_) {
        reached_ = round_up(first + bytes, large_page);
        if (opened_ > 0) protect(PROT_READ | PROT_WRITE);
      }
      return begin_ + first;
    }
    throw Error("Emulated: the device's memory of " + std::to_string(reserved >> 20U) +
                " MiB is full; use smaller sizes");
  }

  void give_back(std::byte* memory, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    auto first = static_cast<std::size_t>(memory - begin_);
    bytes = round_up(bytes, alignment);
    const auto next = holes_.find(first + bytes);
    if (next != holes_.end()) {
      bytes += next->second;
      holes_.erase(next);
    }
    const auto after = holes_.lower_bound(first);
    if (after != holes_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == first) {
        before->second += bytes;
        return;
      }
    }
    holes_[first] = bytes;
  }

 private:
  static constexpr std::size_t reserved = std::size_t{1} << 32;

  EmulatedMemory() {
    void* memory = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    begin_ = static_cast<std::byte*>(memory);
    holes_[0] = reserved;
  }
  void open(int change) {
    const std::lock_guard lock(mutex_);
    const int before = std::exchange(opened_, opened_ + change);
    if (before == 0) protect(PROT_READ | PROT_WRITE);
    if (opened_ == 0) protect(PROT_NONE);
  }
  void protect(int what) const {
    if (reached_ > 0 && mprotect(begin_, reached_, what) != 0) throw std::bad_alloc();
  }

  std::mutex mutex_;
  std::byte* begin_ = nullptr;
  std::size_t reached_ = 0;
  int opened_ = 0;
  std::map<std::size_t, std::size_t> holes_;  // where memory is free, and how much
};

}  // namespace detail

/// Memory of a tensor on the emulated device. Throws Error where that has no more.
template <class T>
class Storage<T, Emulated> {
  static_assert(std::is_trivially_copyable_v<T>, "sdlora::Storage: holds trivially copyable values only");

 public:
  Storage() = default;
  explicit Storage(std::size_t count) : capacity_(count) {
    if (count == 0) return;
    const std::size_t bytes = detail::checked_bytes(count, sizeof(T), "Storage");
    std::byte* memory = detail::EmulatedMemory::instance().take(bytes);
    data_ = reinterpret_cast<T*>(memory);
    // Not a number, and no index, so that what nothing has written is seen.
    const detail::EmulatedMemory::Access access;
    std::memset(memory, 0xff, bytes);
  }
  Storage(Storage&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  Storage& operator=(Storage&& other) noexcept {
    if (this != &other) {
      release();
      data_ = std::exchange(other.data_, nullptr);
      capacity_ = std::exchange(other.capacity_, 0);
    }
    return *this;
  }
  ~Storage() { release(); }

  T* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }

  static void zero(T* p, std::size_t count) {
    if (count == 0) return;
    const detail::EmulatedMemory::Access access;
    for (std::size_t i = 0; i < count; ++i) p[i] = T{};
  }
  static void copy(T* to, const T* from, std::size_t count) {
    if (count == 0) return;
    const detail::EmulatedMemory::Access access;
    std::memmove(to, from, count * sizeof(T));
  }
  static void write(T* to, const T* from, std::size_t count) { copy(to, from, count); }
  static void read(T* to, const T* from, std::size_t count) { copy(to, from, count); }

 private:
  void release() noexcept {
    if (data_ != nullptr) {
      detail::EmulatedMemory::instance().give_back(reinterpret_cast<std::byte*>(data_),
                                                   capacity_ * sizeof(T));
    }
    data_ = nullptr;
  }

  T* data_ = nullptr;
  std::size_t capacity_ = 0;
};

/// Runs kernels on the emulated device, in the thread that asks for it. Throws EmulatorError.
template <>
class Launcher<Emulated> {
 public:
  explicit Launcher(const char* /*name*/) {}

  template <class Kernel>
  void run(std::int64_t blocks, std::size_t shared_floats, const typename Kernel::Arguments& arguments) {
    if (blocks == 0) return;
    const detail::EmulatedMemory::Access access;
    ++launches();
    emulator().run<Kernel>(blocks, shared_floats, arguments);
  }

  /// How many kernels this thread has run.
  static std::uint64_t& launches() {
    static thread_local std::uint64_t count = 0;
    return count;
  }

 private:
  static Emulator& emulator() {
    static thread_local Emulator emulator;
    return emulator;
  }
};

namespace detail {
template <>
struct Evaluator<Emulated> : KernelEvaluator<Emulated> {};
}  // namespace detail

}  // namespace sdlora
