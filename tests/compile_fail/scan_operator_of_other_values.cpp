// expect only: sdlora::scan: the operator is one of values of another type than in and out hold
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>

#include <functional>
#include <vector>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  constexpr auto zero = 0;
#else
  constexpr auto zero = 0.0F;
#endif
  const std::vector<float> in{2, 7, 1};
  std::vector<float> out(3);
  scan(Sequential{}, in, out, {}, with_identity(std::plus<>{}, zero));
  return out[2] == 10 ? 0 : 1;
}
