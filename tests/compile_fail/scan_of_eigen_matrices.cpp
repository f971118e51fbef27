// expect only: sdlora::scan: a, b and h are MatrixViews
#include <sdlora/scan/menu/scan.hpp>
#include <sdlora/scan/menu/simd_channels.hpp>

#include <Eigen/Core>

using namespace sdlora;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

int main() {
  Matrix a(3, 2), b(3, 2), h(3, 2);
  a.setOnes();
  b.setOnes();
#ifdef SDLORA_EXPECT_FAILURE
  scan(SimdChannels{}, a, b, h);
#else
  scan(SimdChannels{}, MatrixView(a.data(), 3, 2), MatrixView(b.data(), 3, 2), MatrixView(h.data(), 3, 2));
#endif
  return h(2, 1) == 3 ? 0 : 1;
}
