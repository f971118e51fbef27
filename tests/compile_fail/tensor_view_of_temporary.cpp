// expect: (use of deleted function|call to deleted member function).*view
#include <sdlora/tensor/tensor.hpp>

using Matrix = sdlora::Tensor<float, sdlora::Extents<sdlora::dyn, sdlora::dyn>>;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  const auto view = Matrix(3, 5).view();
#else
  Matrix tensor(3, 5);
  const auto view = tensor.view();
#endif
  return static_cast<int>(view.size()) - 15;
}
