// expect only: sdlora::scan: in and out are contiguous ranges of values
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/sequential.hpp>

#include <Eigen/Core>
#include <functional>
#include <span>

using namespace sdlora;

int main() {
  Eigen::VectorXf x(3);
  x.setOnes();
#ifdef SDLORA_EXPECT_FAILURE
  scan(Sequential{}, x, x, {}, std::plus<>{});
#else
  const std::span values(x.data(), 3);
  scan(Sequential{}, values, values, {}, std::plus<>{});
#endif
  return x[2] == 3 ? 0 : 1;
}
