// expect: sdlora::SelectiveScanInputs: values are float or double
#include <sdlora/scan/selective/selective_scan.hpp>
#include <sdlora/tensor/bfloat16.hpp>

using namespace sdlora;

int main() {
#ifdef SDLORA_EXPECT_FAILURE
  using T = BFloat16;
#else
  using T = float;
#endif
  SelectiveScanInputs<T> in;
  in.A.rows = 4;
  in.A.cols = 16;
  ScanState<T> values[64] = {};
  in.A.data = values;
  in.A.stride = 16;
  in.u.cols = in.dt.cols = 4;
  in.B.cols = in.C.cols = 16;
  Workspace workspace;
  selective_scan_forward<16>(in, {nullptr, 0, 4}, {}, nullptr, workspace);
  return 0;
}
