#include <sdlora/io/tensor_info.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

using namespace sdlora;

TEST_CASE("tensor info: names and sizes of the element types") {
  CHECK(dtype_name(Dtype::Bool) == "BOOL");
  CHECK(dtype_name(Dtype::F8_E4M3) == "F8_E4M3");
  CHECK(dtype_name(Dtype::F16) == "F16");
  CHECK(dtype_name(Dtype::BF16) == "BF16");
  CHECK(dtype_name(Dtype::F64) == "F64");
  CHECK(dtype_name(Dtype::I64) == "I64");
  for (int i = 0; i <= static_cast<int>(Dtype::U64); ++i) {
    // A name ends in its bits, but for booleans and 8-bit floats.
    const std::string name(dtype_name(static_cast<Dtype>(i)));
    CAPTURE(name);
    std::size_t bits = 8;
    for (const std::size_t each : {16U, 32U, 64U}) {
      if (name.ends_with(std::to_string(each))) bits = each;
    }
    CHECK(dtype_bytes(static_cast<Dtype>(i)) == bits / 8);
  }
}

TEST_CASE("tensor info: elements and bytes follow from the shape") {
  CHECK(TensorInfo{Dtype::BF16, {768, 3}}.elements() == 2304);
  CHECK(TensorInfo{Dtype::BF16, {768, 3}}.bytes() == 4608);
  CHECK(TensorInfo{Dtype::F64, {}}.bytes() == 8);
  CHECK(TensorInfo{Dtype::F64, {5, 0, 7}}.bytes() == 0);
}

TEST_CASE("tensor info: shapes as text") {
  CHECK(shape_text({}) == "[]");
  CHECK(shape_text(std::vector<std::size_t>{7}) == "[7]");
  CHECK(shape_text(std::vector<std::size_t>{768, 1, 4}) == "[768, 1, 4]");
}
