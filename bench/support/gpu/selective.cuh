#pragma once

// The fused selective scan on the GPU, with gate and softplus.

#include "suite.cuh"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sdlora/scan/cuda/selective_scan.cuh>
#include <string>
#include <vector>

namespace gpu_suite {

/// What a selective scan reads, in device memory.
template <class IO>
struct SelectiveInputs {
  std::size_t rows, channels, states;
  Memory<IO> u, dt, z, B, C;
  Memory<float> A, D, bias;
  Memory<std::int64_t> offsets;

  explicit SelectiveInputs(const Shape& shape)
      : rows(static_cast<std::size_t>(shape.B * shape.L)),
        channels(static_cast<std::size_t>(shape.D)),
        states(static_cast<std::size_t>(shape.N)),
        u(rows * channels),
        dt(rows * channels),
        z(rows * channels),
        B(rows * states),
        C(rows * states),
        A(channels * states),
        D(channels),
        bias(channels),
        offsets(offsets_of(shape)) {
    fill(u, -1, 1, 1);
    fill(dt, -6, 1, 2);
    fill(z, -4, 4, 3);
    fill(B, -1, 1, 5);
    fill(C, -1, 1, 6);
    fill(A, -16, -0.5F, 7);
    fill(D, -1, 1, 8);
    fill(bias, -1, 1, 9);
  }

  detail::KernelInputs<IO> view() const {
    detail::KernelInputs<IO> in;
    in.u = {u.get(), rows, channels};
    in.dt = {dt.get(), rows, channels};
    in.z = {z.get(), rows, channels};
    in.B = {B.get(), rows, states};
    in.C = {C.get(), rows, states};
    in.A = A.get();
    in.D = D.get();
    in.dt_bias = bias.get();
    in.offsets = offsets.get();
    return in;
  }

 private:
  static std::vector<std::int64_t> offsets_of(const Shape& shape) {
    std::vector<std::int64_t> offsets;
    for (std::int64_t s = 0; s <= shape.B; ++s) offsets.push_back(s * shape.L);
    return offsets;
  }
};

/// The fused scan of one shape, N known at compile time, with memory for both directions.
template <class IO, int N>
class FusedScan {
 public:
  FusedScan(const Shape& shape, const detail::KernelScanPlan& plan)
      : plan_(plan),
        inputs_(shape),
        d_out_(wide()),
        out_(wide()),
        d_u_(wide()),
        d_dt_(wide()),
        d_z_(wide()),
        d_B_(narrow()),
        d_C_(narrow()),
        checkpoints_(plan.checkpoint_floats()),
        forward_workspace_(plan.forward_workspace_floats()),
        backward_workspace_(plan.backward_workspace_floats(wanted)),
        d_A_(inputs_.channels * N),
        d_D_(inputs_.channels),
        d_bias_(inputs_.channels) {
    fill(d_out_, -1, 1, 4);
    forward(true);  // the backward reads its checkpoints
  }

  void forward(bool keep) {
    detail::CudaScanLauncher launcher(nullptr, "the fused scan");
    const detail::KernelOutputs<IO> outputs{
        {out_.get(), inputs_.rows, inputs_.channels}, nullptr, keep ? checkpoints_.get() : nullptr};
    detail::run_scan_forward<IO, N, true>(launcher, plan_, inputs_.view(), outputs, forward_workspace_.get());
  }

  void backward() {
    const std::size_t rows = inputs_.rows, channels = inputs_.channels;
    detail::KernelGradients<IO> gradients;
    gradients.u = {d_u_.get(), rows, channels};
    gradients.dt = {d_dt_.get(), rows, channels};
    gradients.z = {d_z_.get(), rows, channels};
    gradients.B = {d_B_.get(), rows, N};
    gradients.C = {d_C_.get(), rows, N};
    gradients.A = d_A_.get();
    gradients.D = d_D_.get();
    gradients.dt_bias = d_bias_.get();
    detail::CudaScanLauncher launcher(nullptr, "the fused scan");
    detail::run_scan_backward<IO, N, true, wanted>(launcher, plan_, inputs_.view(), checkpoints_.get(),
                                                   {d_out_.get(), rows, channels}, {}, gradients,
                                                   backward_workspace_.get());
  }

 private:
  static constexpr SelectiveScanGradients wanted = [] {
    SelectiveScanGradients gradients = SelectiveScanGradients::all();
    gradients.initial_state = false;
    return gradients;
  }();

  std::size_t wide() const { return inputs_.rows * inputs_.channels; }
  std::size_t narrow() const { return inputs_.rows * inputs_.states; }

  detail::KernelScanPlan plan_;
  SelectiveInputs<IO> inputs_;
  Memory<IO> d_out_, out_, d_u_, d_dt_, d_z_, d_B_, d_C_;
  Memory<float> checkpoints_, forward_workspace_, backward_workspace_, d_A_, d_D_, d_bias_;
};

/// What the fused scan must do at the least: the bytes of its operands, each once, and the exponentials of
/// the decays, of softplus and of the gate.
template <class IO>
Work fused_work(const Shape& shape, Direction direction, int kept_every) {
  constexpr double size = sizeof(IO);
  const double positions = static_cast<double>(shape.B * shape.L * shape.D);
  const double N = static_cast<double>(shape.N);
  const double kept = kept_every > 0 ? 4 * N / kept_every : 0;
  const double shared = 2 * N * size / static_cast<double>(shape.D);
  const bool forward = direction == Direction::forward;
  return {.elements = positions * N,
          .bytes = positions * ((forward ? 4 : 7) * size + (forward ? 1 : 2) * shared + kept),
          .positions = positions,
          .exponentials = positions * (forward ? N + 3 : N + 4)};
}

/// Adds the fused scan of one shape: forward and backward, and forward with nothing kept for a backward
/// (kept_every:0) where `inference` asks for it.
template <class IO, int N>
void add_fused(Suite& suite, Shape shape, const detail::KernelScanOptions& options = {},
               bool inference = true) {
  shape.N = N;
  const detail::KernelScanPlan plan({shape.B * shape.L, shape.B, shape.L, static_cast<int>(shape.D), N},
                                    options);
  const auto add = [&](Direction direction, int kept_every) {
    const std::string cut = "/segments:" + std::to_string(plan.segments);
    const std::string name = variant_name("selective", "fused", direction, scalar_name<IO>(), shape) +
                             "/kept_every:" + std::to_string(kept_every) + cut;
    const std::string key = "fused/" + std::string(scalar_name<IO>()) + shape.text() + cut + "/" +
                            std::to_string(plan.checkpoint_interval);
    suite.add(name, [=](benchmark::State& state) {
      auto& scan =
          Kept::get<FusedScan<IO, N>>(key, [&] { return std::make_shared<FusedScan<IO, N>>(shape, plan); });
      measure<IO>(state, fused_work<IO>(shape, direction, kept_every), [&] {
        if (direction == Direction::forward) {
          scan.forward(kept_every > 0);
        } else {
          scan.backward();
        }
      });
    });
  };
  if (inference) add(Direction::forward, 0);
  add(Direction::forward, plan.checkpoint_interval);
  add(Direction::backward, plan.checkpoint_interval);
}

/// Adds the fused scan on all selected shapes.
inline void add_all_fused(Suite& suite) {
  for (const int interval : {8, 16, 32, 64}) {
    add_fused<BFloat16, 16>(suite, {64, 2048, 2048}, {.checkpoint_interval = interval}, interval == 8);
    if (!suite.all()) break;
  }
  add_fused<BFloat16, 16>(suite, {1, 2048, 1536});
  if (!suite.all()) return;
  add_fused<BFloat16, 16>(suite, {1, 2048, 1536}, {.segment_length = 2048});
  add_fused<float, 16>(suite, {64, 2048, 2048});
  for (const Shape& shape :
       {Shape{64, 128, 2048}, Shape{64, 512, 2048}, Shape{1, 512, 1536}, Shape{16, 2048, 1536},
        Shape{4, 2048, 1536}, Shape{1, 65536, 1536}, Shape{1, 65536, 256}, Shape{32, 1023, 5120}}) {
    add_fused<BFloat16, 16>(suite, shape);
  }
  add_fused<BFloat16, 1>(suite, {64, 2048, 2048});
  add_fused<BFloat16, 4>(suite, {64, 2048, 2048});
  add_fused<BFloat16, 8>(suite, {64, 2048, 2048});
  add_fused<BFloat16, 64>(suite, {32, 2048, 1024});
  add_fused<BFloat16, 256>(suite, {16, 2048, 512});
}

}  // namespace gpu_suite
