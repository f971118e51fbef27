// expect: sdlora::Weight: products are of the activations' type, or of BFloat16 beside float ones
#include <sdlora/tensor/weight.hpp>

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using Products = double;
#else
  using Products = float;
#endif
  const sdlora::Weight<sdlora::BFloat16, sdlora::Cpu, Products> weight;
  return weight ? 1 : 0;
}
