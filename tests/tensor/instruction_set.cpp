#include <doctest/doctest.h>

#include <sdlora/tensor/instruction_set.hpp>
#include <string_view>

#define SDLORA_TEST_TEXT_OF(x) #x
#define SDLORA_TEST_TEXT(x) SDLORA_TEST_TEXT_OF(x)

TEST_CASE("instruction set: the tag names what the vectors are") {
  constexpr std::string_view tag = SDLORA_TEST_TEXT(SDLORA_SIMD_TAG);
  CHECK(tag.starts_with("simd_"));
  constexpr std::size_t floats = xsimd::batch<float>::size;
  if (tag.starts_with("simd_avx512")) {
    CHECK(floats == 16);
  } else if (tag.starts_with("simd_avx")) {
    CHECK(floats == 8);
  } else if (tag.starts_with("simd_sse") || tag == "simd_neon64") {
    CHECK(floats == 4);
  }
#if defined(__AVX512BW__)
  CHECK(tag == "simd_avx512bw");
#elif defined(__AVX2__) && defined(__FMA__)
  CHECK(tag == "simd_avx2_fma");
#endif
}
