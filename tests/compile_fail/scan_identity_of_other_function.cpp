// expect only: sdlora::with_identity: the function is called with two values of the identity
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>

#include <vector>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  const auto sum = with_identity([](float first) { return first; }, 0.0F);
#else
  const auto sum = with_identity([](float first, float second) { return first + second; }, 0.0F);
#endif
  return sum.identity() == 0.0F ? 0 : 1;
}
