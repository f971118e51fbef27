#pragma once

// Whether the address or thread sanitizer runs with the tests.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SDLORA_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SDLORA_TEST_SANITIZED 1
#endif
#endif

namespace sdlora_test {

#if defined(SDLORA_TEST_SANITIZED)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace sdlora_test
