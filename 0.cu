#include <sdlora/cuda.cuh>
using namespace sdlora;

using Rows = Tensor<BFloat16, Extents<dyn, dyn>, Cuda>;  // (L, channels), B and C (L, 16)
using Values = Tensor<float, Extents<dyn>, Cuda>;        // A (channels · 16)

// y of one sequence, then for its gradient d_y those of u, dt and A; the others cost nothing.
void forward_and_back(const Rows& u, const Rows& dt, const Rows& B, const Rows& C, const Values& A,
                      const Rows& d_y, Rows& y, Rows& d_u, Rows& d_dt, Values& d_A) {
  const auto L = static_cast<std::int64_t>(u.extent(0));
  const KernelScanPlan plan(
      {.rows = L, .sequences = 1, .longest = L, .channels = static_cast<int>(u.extent(1)), .states = 16});
  Tensor<std::int64_t, Extents<2>> offsets;  // sequence s owns rows [offsets(s), offsets(s + 1))
  offsets(1) = L;
  const auto sequences = to_device(offsets);

  KernelScanInputs<BFloat16> in;
  in.u = device_matrix(u.const_view());
  in.dt = device_matrix(dt.const_view());
  in.B = device_matrix(B.const_view());
  in.C = device_matrix(C.const_view());
  in.A = A.data();
  in.offsets = sequences.data();

  const cudaStream_t stream = CudaStream::current().get();
  Values kept(plan.checkpoint_floats()), scratch(plan.forward_workspace_floats());
  cuda_selective_scan_forward<16>(
      stream, plan, in, {.out = device_matrix(y.view()), .checkpoints = kept.data()}, scratch.data());

  using Wanted = KernelScanGradient;
  constexpr unsigned wanted = Wanted::u | Wanted::dt | Wanted::A;
  Values more_scratch(plan.backward_workspace_floats(wanted));
  KernelScanGradients<BFloat16> gradients;
  gradients.d_u = device_matrix(d_u.view());
  gradients.d_dt = device_matrix(d_dt.view());
  gradients.d_A = d_A.data();
  cuda_selective_scan_backward<wanted, 16>(stream, plan, in, kept.data(), device_matrix(d_y.const_view()),
                                           nullptr, gradients, more_scratch.data());
}
