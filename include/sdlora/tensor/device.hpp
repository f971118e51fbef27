#pragma once

#include "alignment.hpp"
#include "extents.hpp"

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

namespace sdlora {

/// The host: memory is reachable by every function, expressions run as SIMD loops.
struct Cpu {};

/// An NVIDIA GPU: memory is reachable by kernels only. Its `Storage` and evaluator are in `.cuh`
/// headers; naming the device needs none of them.
struct Cuda {};

/// The GPU's kernels, run by the emulator on the host: what every machine can test in a GPU's place. As on a
/// GPU, memory is reachable by kernels and copies only. Its `Storage` and evaluator are in emulated.hpp.
struct Emulated {};

/// Whether functions of the host may read and write a device's memory.
template <class Device>
inline constexpr bool is_host = std::is_same_v<Device, Cpu>;

/// Memory of one tensor on one device; the hook through which a device is added. A specialisation
/// is movable (the source left empty), not copyable, and has
///   Storage()                      nothing allocated
///   explicit Storage(count)        `count` uninitialised values, aligned to `alignment` bytes; throws
///                                  ShapeError where no memory can hold them
///   data(), capacity()             the memory and how many values it holds
///   static zero(p, count)          sets values to zero
///   static copy(to, from, count)   copies values on the device; the ranges may overlap
///   static write(to, from, count)  copies values of the host to the device
///   static read(to, from, count)   copies values of the device to the host, and returns when they are there
template <class T, class Device>
class Storage;

/// The host's memory.
template <class T>
class Storage<T, Cpu> {
  static_assert(std::is_trivially_copyable_v<T>, "sdlora::Storage: holds trivially copyable values only");

 public:
  Storage() = default;
  explicit Storage(std::size_t count, std::size_t aligned_to = alignment)
      : memory_(count == 0 ? nullptr
                           : detail::allocate_aligned(detail::checked_bytes(count, sizeof(T), "Storage"),
                                                      aligned_to)),
        capacity_(count) {}
  Storage(Storage&& other) noexcept
      : memory_(std::move(other.memory_)), capacity_(std::exchange(other.capacity_, 0)) {}
  Storage& operator=(Storage&& other) noexcept {
    memory_ = std::move(other.memory_);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  T* data() const { return reinterpret_cast<T*>(memory_.get()); }
  std::size_t capacity() const { return capacity_; }

  static void zero(T* p, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) p[i] = T{};
  }
  static void copy(T* to, const T* from, std::size_t count) {
    if (count > 0) std::memmove(to, from, count * sizeof(T));
  }
  static void write(T* to, const T* from, std::size_t count) { copy(to, from, count); }
  static void read(T* to, const T* from, std::size_t count) { copy(to, from, count); }

 private:
  detail::AlignedBytes memory_;
  std::size_t capacity_ = 0;
};

namespace detail {
/// Runs an expression on a device: `Evaluator<Device>::template assign<Mode>(destination, expression)`.
/// The one of `Cpu` is in evaluate.hpp.
template <class Device>
struct Evaluator;
}  // namespace detail

/// Starts kernels on a device other than the `Cpu`, which has none:
///   explicit Launcher(name)                               `name` begins the text of errors
///   run<Kernel>(blocks, shared_floats, arguments)         runs Kernel::run(block, arguments) in every thread
/// A kernel is written against a block policy; emulator.hpp says what that has.
template <class Device>
class Launcher;

}  // namespace sdlora
