#include <sdlora/tensor/matmul.hpp>
#include <sdlora/tensor/write.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

static_assert(std::is_enum_v<Write> && !std::is_convertible_v<Write, bool>);
static_assert(Write{} == Write::Overwrite);  // nothing is added to unless it is asked for

TEST_CASE("write: what is there is left out or added to") {
  const float a[] = {2, 3}, b[] = {5, 7};
  float out[] = {100};
  const MatrixView<float> to(out, 1, 1);
  const MatrixView<const float> left(a, 1, 2), right(b, 2, 1);
  matmul(to, left, right, Write::Add);
  CHECK(out[0] == 131);
  matmul(to, left, right, Write::Overwrite);
  CHECK(out[0] == 31);
  matmul(to, left, right);
  CHECK(out[0] == 31);
}
