#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "sanitized.hpp"

// operator new and malloc of the whole executable are replaced by ones that count: to be included in one of
// its sources. A sanitizer has replacements of its own; there all counts stay 0.
namespace sdlora_test {

/// Since the program began; what was freed stays counted.
inline std::atomic<std::size_t> news{0};
inline std::atomic<std::size_t> new_bytes{0};
inline std::atomic<std::size_t> mallocs{0};  // those of operator new included

inline constexpr bool counting = !sanitized;

}  // namespace sdlora_test

#if !defined(SDLORA_TEST_SANITIZED)

#if defined(__GLIBC__)
extern "C" void* __libc_malloc(std::size_t bytes);  // NOLINT(bugprone-reserved-identifier)
extern "C" void* malloc(std::size_t bytes) {
  sdlora_test::mallocs.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
#endif

namespace {
void* counted_new(std::size_t bytes) {
  sdlora_test::news.fetch_add(1, std::memory_order_relaxed);
  sdlora_test::new_bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes == 0 ? 1 : bytes)) return p;
  throw std::bad_alloc();
}
void* counted_new(std::size_t bytes, std::align_val_t align) {
  sdlora_test::news.fetch_add(1, std::memory_order_relaxed);
  sdlora_test::new_bytes.fetch_add(bytes, std::memory_order_relaxed);
  const auto a = static_cast<std::size_t>(align);
  if (void* p = std::aligned_alloc(a, (bytes + a - 1) / a * a)) return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t bytes) { return counted_new(bytes); }
void* operator new[](std::size_t bytes) { return counted_new(bytes); }
void* operator new(std::size_t bytes, std::align_val_t align) { return counted_new(bytes, align); }
void* operator new[](std::size_t bytes, std::align_val_t align) { return counted_new(bytes, align); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

#endif
