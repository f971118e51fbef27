#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SDLORA_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SDLORA_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(SDLORA_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace sdlora::detail {

/// Tells the address sanitizer that the stack changes: it takes the frames of one stack for those of
/// another otherwise. Does nothing without it. Constructed before the switch, `arrived` called after
/// the switch back.
class FibreSwitch {
 public:
#if defined(SDLORA_ADDRESS_SANITIZER)
  FibreSwitch(const void* to, std::size_t bytes) { __sanitizer_start_switch_fiber(&frames_, to, bytes); }

  /// As the constructor, from a fibre that ends: its frames are given back.
  static void last(const void* to, std::size_t bytes) { __sanitizer_start_switch_fiber(nullptr, to, bytes); }

  /// Stores which stack control came from, where asked to.
  void arrived(const void** from = nullptr, std::size_t* bytes = nullptr) {
    __sanitizer_finish_switch_fiber(frames_, from, bytes);
  }

  /// The first thing that a new fibre does.
  static void started(const void** from, std::size_t* bytes) {
    __sanitizer_finish_switch_fiber(nullptr, from, bytes);
  }

  /// The frames on this stack are left for good: it will be used anew.
  static void forget(void* stack, std::size_t bytes) { __asan_unpoison_memory_region(stack, bytes); }

 private:
  void* frames_ = nullptr;
#else
  FibreSwitch(const void* /*to*/, std::size_t /*bytes*/) {}
  static void last(const void* /*to*/, std::size_t /*bytes*/) {}
  void arrived(const void** /*from*/ = nullptr, std::size_t* /*bytes*/ = nullptr) {}
  static void started(const void** /*from*/, std::size_t* /*bytes*/) {}
  static void forget(void* /*stack*/, std::size_t /*bytes*/) {}
#endif
};

}  // namespace sdlora::detail

#undef SDLORA_ADDRESS_SANITIZER
