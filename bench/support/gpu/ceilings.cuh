#pragma once

// Time on the device, and what the device reaches in loops that do nothing else.

#include "memory.cuh"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <sdlora/scan/cuda/detail/block.cuh>

namespace gpu_suite {

/// Keeps the device busy for so many of its clock's ticks.
static __global__ void spin_kernel(long long ticks) {
  const long long begin = clock64();
  while (clock64() - begin < ticks) {
  }
}

/// Seconds between two events on the default stream. The device is kept busy while the host queues what is
/// measured: else short work would be charged with its launches.
class Stopwatch {
 public:
  Stopwatch() {
    check_cuda(cudaEventCreate(&begin_), "cudaEventCreate");
    check_cuda(cudaEventCreate(&end_), "cudaEventCreate");
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  template <class F>
  double seconds_of(F&& run) {
    constexpr long long spin_ticks = 100'000;  // about 60 µs
    spin_kernel<<<1, 1>>>(spin_ticks);
    check_cuda(cudaEventRecord(begin_), "cudaEventRecord");
    run();
    check_cuda(cudaEventRecord(end_), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    // No run takes less than the events' resolution, half a microsecond; nought would divide by it later.
    return std::max(static_cast<double>(milliseconds), 5e-4) * 1e-3;
  }

 private:
  cudaEvent_t begin_{}, end_{};
};

/// Seconds of the fastest of 5 to 15 runs, as many as take 150 ms, after two that are not counted.
template <class F>
double best_seconds(F&& run) {
  Stopwatch watch;
  run();
  run();
  double best = std::numeric_limits<double>::infinity(), spent = 0;
  for (int i = 0; i < 15 && (i < 5 || spent < 0.15); ++i) {
    const double seconds = watch.seconds_of(run);
    best = std::min(best, seconds);
    spent += seconds;
  }
  return best;
}

/// Chains of one operation per thread, eight at once to cover its latency.
template <class Step>
__global__ void chains_kernel(typename Step::value_type* out, int rounds, Step step) {
  using T = typename Step::value_type;
  T x[8];
  for (int i = 0; i < 8; ++i) x[i] = Step::start(threadIdx.x + static_cast<unsigned>(i));
#pragma unroll 8
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = step(x[i]);
  }
  T sum = 0;
  for (int i = 0; i < 8; ++i) sum += x[i];
  if (sum == T(12345)) out[0] = sum;  // never, but the compiler cannot know
}
struct Exponential {
  using value_type = float;
  static __device__ float start(unsigned i) { return -static_cast<float>(i) * 1e-3F; }
  __device__ float operator()(float x) const { return sdlora::detail::CudaScanBlock(nullptr).exp2(x); }
};
/// The recurrence h ← a·h + b alone, its operands in registers.
template <class T>
struct BareStep {
  using value_type = T;
  T a, b;
  static __device__ T start(unsigned i) { return static_cast<T>(i); }
  __device__ T operator()(T h) const { return a * h + b; }
};

/// What this device reaches. Measured when first asked for.
class Ceilings {
 public:
  static Ceilings& instance() {
    static Ceilings ceilings;
    return ceilings;
  }

  /// Bytes a second, read and written, of copying far more than caches hold.
  double copy() {
    if (copy_ == 0) {
      copy_ = measure_copy(most_);
      by_bytes_[most_] = copy_;
    }
    return copy_;
  }
  /// The same of moving `bytes`, from 1 GiB half of them read and half written; what caches hold is copied
  /// faster. No less than copy(): a copy of little mostly waits for its launch.
  double copy(double bytes) {
    const std::size_t half = std::min(static_cast<std::size_t>(bytes / 2), most_);
    double& rate = by_bytes_[half];
    if (rate == 0) rate = half > most_ / 4 ? copy() : std::max(copy(), measure_copy(half));
    return rate;
  }
  /// Exponentials a second.
  double exponentials() {
    if (exponentials_ == 0) exponentials_ = measure_chains(Exponential{});
    return exponentials_;
  }
  /// Steps a second of h ← a·h + b alone, a multiply-add each, with states of type T.
  template <class T>
  double bare_steps() {
    double& rate = sizeof(T) == sizeof(double) ? bare_double_ : bare_float_;
    if (rate == 0) rate = measure_chains(BareStep<T>{T(0.999), T(0.5)});
    return rate;
  }

 private:
  static constexpr std::size_t most_ = std::size_t{1} << 31;

  static double measure_copy(std::size_t bytes) {
    bytes = std::max<std::size_t>(bytes, 1);
    const Memory<char> from(bytes), to(bytes);
    check_cuda(cudaMemset(from.get(), 1, bytes), "cudaMemset");
    return 2.0 * static_cast<double>(bytes) / best_seconds([&] {
             check_cuda(cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice),
                        "cudaMemcpyAsync");
           });
  }

  template <class Step>
  static double measure_chains(Step step) {
    const Memory<typename Step::value_type> out(1);
    cudaDeviceProp device{};
    check_cuda(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
    const auto blocks = static_cast<unsigned>(device.multiProcessorCount) * 8;
    constexpr int rounds = 4096;
    const double seconds = best_seconds([&] { chains_kernel<<<blocks, 256>>>(out.get(), rounds, step); });
    check_cuda(cudaGetLastError(), "chains_kernel");
    return static_cast<double>(blocks) * 256 * 8 * rounds / seconds;
  }

  double copy_ = 0, exponentials_ = 0, bare_float_ = 0, bare_double_ = 0;
  std::map<std::size_t, double> by_bytes_;
};

}  // namespace gpu_suite
