#include <sdlora/tensor/matrix_view.hpp>

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;

static_assert(std::is_convertible_v<MatrixView<float>, MatrixView<const float>>);
static_assert(!std::is_convertible_v<MatrixView<const float>, MatrixView<float>>);
static_assert(std::is_same_v<MatrixView<const float>::value_type, float>);

TEST_CASE("matrix_view: elements, rows and blocks") {
  int memory[3 * 5];
  for (int i = 0; i < 15; ++i) memory[i] = i;
  const MatrixView<int> view(memory, 3, 4, 5);
  CHECK(view(2, 3) == 13);
  CHECK(view.row(1) == memory + 5);
  CHECK(!view.contiguous());
  CHECK(view.rows_from(1, 1).contiguous());  // a single row is
  CHECK(MatrixView<int>(memory, 3, 5).contiguous());

  const MatrixView<int> block = view.rows_from(1, 2).cols_from(2, 2);
  CHECK(block.rows == 2);
  CHECK(block.cols == 2);
  CHECK(block(1, 1) == 13);
  block(0, 0) = 70;
  CHECK(memory[7] == 70);
  const MatrixView<const int> read = block;
  CHECK(read(0, 0) == 70);
  CHECK(read.stride == 5);
}

TEST_CASE("matrix_view: absent until given") {
  constexpr MatrixView<float> none;
  static_assert(!none && none.rows == 0 && none.cols == 0);
  float value = 1.0F;
  CHECK(static_cast<bool>(MatrixView<float>(&value, 1, 1)));
}
