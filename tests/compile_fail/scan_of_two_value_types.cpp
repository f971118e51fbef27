// expect only: sdlora::scan: in and out hold values of two types; convert one of them
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>

#include <functional>
#include <vector>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  const std::vector<float> in{2, 7, 1};
#else
  const std::vector<double> in{2, 7, 1};
#endif
  std::vector<double> out(3);
  scan(Sequential{}, in, out, {}, std::plus<>{});
  return out[2] == 10 ? 0 : 1;
}
