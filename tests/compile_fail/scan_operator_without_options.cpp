// expect only: sdlora::scan: behind in and out come the options, then the operator
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>

#include <functional>
#include <vector>

using namespace sdlora;

int main() {
  const std::vector<float> in{2, 7, 1};
  std::vector<float> out(3);
#ifdef SDLORA_EXPECT_FAILURE
  scan(Sequential{}, in, out, std::plus<>{});
#else
  scan(Sequential{}, in, out, {}, std::plus<>{});
#endif
  return out[2] == 10 ? 0 : 1;
}
