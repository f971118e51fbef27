#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sdlora/tensor/float16.hpp>

using namespace sdlora::detail;

TEST_CASE("every binary16 goes to float and back unchanged") {
  int wrong = 0;  // counted: doctest's checks are slow by the hundred thousand
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = float16_to_float(half);
    if ((bits & 0x7FFFu) > 0x7C00u) {
      wrong += !std::isnan(value) || !std::isnan(float16_to_float(float_to_float16(value)));
      continue;
    }
    const int exponent = static_cast<int>((bits >> 10) & 31u);
    const auto fraction = static_cast<float>(bits & 0x3FFu);
    float expected = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) expected = std::numeric_limits<float>::infinity();
    if ((bits & 0x8000u) != 0) expected = -expected;
    wrong += std::bit_cast<std::uint32_t>(value) != std::bit_cast<std::uint32_t>(expected);
    wrong += float_to_float16(value) != half;
  }
  CHECK(wrong == 0);
}

TEST_CASE("floats between two binary16 go to the nearer, ties to the even one") {
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < 0x7BFF; ++bits) {
    const auto low = static_cast<std::uint16_t>(bits), high = static_cast<std::uint16_t>(bits + 1);
    const float middle = 0.5f * (float16_to_float(low) + float16_to_float(high));  // exact
    const std::uint16_t even = bits % 2 == 0 ? low : high;
    wrong += float_to_float16(middle) != even;
    wrong += float_to_float16(std::nextafter(middle, 0.0f)) != low;
    wrong += float_to_float16(std::nextafter(middle, 1e9f)) != high;
    wrong += float_to_float16(-middle) != (even | 0x8000);
  }
  CHECK(wrong == 0);
  CHECK(float_to_float16(65519.0f) == 0x7BFF);
  CHECK(float_to_float16(65520.0f) == 0x7C00);
  CHECK(float_to_float16(65536.0f) == 0x7C00);
  CHECK(float_to_float16(std::numeric_limits<float>::max()) == 0x7C00);
  CHECK(float_to_float16(std::numeric_limits<float>::denorm_min()) == 0);
}
