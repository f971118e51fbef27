// expect: sdlora::Weight: weights are stored as float, double, BFloat16 or std::int8_t
#include <sdlora/tensor/weight.hpp>

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using Stored = int;
#else
  using Stored = sdlora::BFloat16;
#endif
  const sdlora::Weight<Stored> weight;
  return weight ? 1 : 0;
}
