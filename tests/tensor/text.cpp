#include <sdlora/text.hpp>

#include <doctest/doctest.h>

#include <limits>

using sdlora::detail::short_number;

TEST_CASE("short_number: as a person would write it, and the same double when read") {
  CHECK(short_number(1.0) == "1");
  CHECK(short_number(0.1) == "0.1");
  CHECK(short_number(-0.25) == "-0.25");
  CHECK(short_number(1e-5) == "1e-05");
  CHECK(short_number(1.0 / 3.0) == "0.3333333333333333");
  CHECK(short_number(std::numeric_limits<double>::max()) == "1.7976931348623157e+308");
  CHECK(short_number(std::numeric_limits<double>::quiet_NaN()) == "nan");
}
