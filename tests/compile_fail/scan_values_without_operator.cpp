// expect: sdlora::scan: only LinearStep values have an operator of their own
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>

using namespace sdlora;

struct Largest {
  using value_type = int;
  constexpr int operator()(int first, int second) const { return first < second ? second : first; }
  static constexpr int identity() { return -1; }
};

int main() {
  const int in[3] = {2, 7, 1};
  int out[3];
#ifdef SDLORA_EXPECT_FAILURE
  scan(Sequential{}, in, out);
#else
  scan(Sequential{}, in, out, {}, Largest{});
#endif
  return out[2] == 7 ? 0 : 1;
}
