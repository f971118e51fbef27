// expect only: sdlora::scan: the operator has no identity that is known over these values; name it
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>

#include <vector>

using namespace sdlora;

int main() {
  const std::vector<float> in{2, 7, 1};
  std::vector<float> out(3);
  const auto larger = [](float first, float second) { return first < second ? second : first; };
#ifdef SDLORA_EXPECT_FAILURE
  scan(Sequential{}, in, out, {}, larger);
#else
  scan(Sequential{}, in, out, {}, with_identity(larger, 0.0F));
#endif
  return out[2] == 7 ? 0 : 1;
}
