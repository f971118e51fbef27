#include <sdlora/tensor/bfloat16.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using sdlora::BFloat16;

static_assert(static_cast<double>(BFloat16(1.5F)) == 1.5);

TEST_CASE("BFloat16: every value survives the way to float and back") {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    BFloat16 value{};
    value.bits = static_cast<std::uint16_t>(bits);
    const float wide = static_cast<float>(value);
    if (std::isnan(wide)) {
      CHECK(std::isnan(static_cast<float>(BFloat16(wide))));
    } else {
      CHECK(BFloat16(wide).bits == value.bits);
    }
  }
}

TEST_CASE("BFloat16: rounds to nearest, ties to even, and overflows to infinity") {
  CHECK(static_cast<float>(BFloat16(1.0F + 0x1p-8F)) == 1.0F);
  CHECK(static_cast<float>(BFloat16(1.0F + 0x3p-8F)) == 1.0F + 0x1p-6F);
  CHECK(static_cast<float>(BFloat16(1.0F + 0x1.1p-8F)) == 1.0F + 0x1p-7F);
  CHECK(std::isinf(static_cast<float>(BFloat16(std::numeric_limits<float>::max()))));
}

TEST_CASE("BFloat16: equal as the floats they stand for") {
  const BFloat16 zero(0.0F), minus_zero(-0.0F), nan(std::numeric_limits<float>::quiet_NaN()), one(1.0F);
  CHECK(zero.bits != minus_zero.bits);
  CHECK(zero == minus_zero);
  CHECK(nan.bits == BFloat16(nan).bits);
  CHECK_FALSE(nan == nan);
  CHECK(nan != nan);
  CHECK(one == BFloat16(1.0F));
  CHECK(one != zero);
}
