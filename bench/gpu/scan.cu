// Times the fused selective scan and the menu of linear scans on a GPU, beside the ceilings that the
// same run measures. Writes JSON to the file given and a page in Markdown to the second.
#include <sdlora/scan/cuda/policies.cuh>
#include <sdlora/scan/cuda/selective_scan.cuh>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

using namespace sdlora;
using detail::check_cuda;

namespace {

template <class T>
class Memory {
 public:
  explicit Memory(std::size_t count) : count_(count) {
    check_cuda(cudaMalloc(&data_, std::max<std::size_t>(count, 1) * sizeof(T)), "cudaMalloc");
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  T* get() const { return data_; }
  std::size_t count() const { return count_; }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

template <class T>
__global__ void fill_kernel(T* to, std::size_t count, float low, float high, unsigned seed) {
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    unsigned x = static_cast<unsigned>(i) * 2654435761U + seed;
    x = (x ^ (x >> 16)) * 0x7feb352dU;
    x = (x ^ (x >> 15)) * 0x846ca68bU;
    x ^= x >> 16;
    to[i] = T(low + (high - low) * static_cast<float>(x >> 8) * 0x1p-24F);
  }
}
template <class T>
void fill(const Memory<T>& memory, float low, float high, unsigned seed) {
  fill_kernel<<<2048, 256>>>(memory.get(), memory.count(), low, high, seed);
  check_cuda(cudaGetLastError(), "fill");
}

/// Median milliseconds of one run, timed by events.
double time_of(const std::function<void()>& run, int most = 15) {
  cudaEvent_t begin{}, end{};
  check_cuda(cudaEventCreate(&begin), "event");
  check_cuda(cudaEventCreate(&end), "event");
  run();
  run();
  check_cuda(cudaDeviceSynchronize(), "warm-up");
  std::vector<double> times;
  double spent = 0;
  for (int i = 0; i < most && (i < 5 || spent < 150); ++i) {
    check_cuda(cudaEventRecord(begin), "event");
    run();
    check_cuda(cudaEventRecord(end), "event");
    check_cuda(cudaEventSynchronize(end), "event");
    float elapsed = 0;
    check_cuda(cudaEventElapsedTime(&elapsed, begin, end), "event");
    times.push_back(static_cast<double>(elapsed));
    spent += times.back();
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

__global__ void exp_kernel(float* out, int rounds) {
  const detail::CudaScanBlock block(nullptr);
  float x[8];
  for (int i = 0; i < 8; ++i) x[i] = -static_cast<float>(threadIdx.x + static_cast<unsigned>(i)) * 1e-3F;
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = block.exp2(x[i]);
  }
  float sum = 0;
  for (int i = 0; i < 8; ++i) sum += x[i];
  if (sum == 12345.0F) out[0] = sum;
}

__global__ void fma_kernel(float* out, int rounds) {
  float x[8];
  for (int i = 0; i < 8; ++i) x[i] = static_cast<float>(threadIdx.x + static_cast<unsigned>(i));
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = x[i] * 0.999F + 0.5F;
  }
  float sum = 0;
  for (int i = 0; i < 8; ++i) sum += x[i];
  if (sum == 12345.0F) out[0] = sum;
}

struct Ceilings {
  double copy_gb = 0;  // GB/s, read plus written
  double exp_g = 0;    // 10^9 exponentials a second
  double fma_g = 0;    // 10^9 thread instructions a second
};

Ceilings measure_ceilings() {
  Ceilings ceilings;
  {
    constexpr std::size_t bytes = std::size_t{1} << 31;
    Memory<char> from(bytes), to(bytes);
    check_cuda(cudaMemset(from.get(), 1, bytes), "memset");
    const double ms =
        time_of([&] { cudaMemcpyAsync(to.get(), from.get(), bytes, cudaMemcpyDeviceToDevice); });
    ceilings.copy_gb = 2.0 * static_cast<double>(bytes) / ms * 1e-6;
  }
  Memory<float> out(1);
  cudaDeviceProp device{};
  check_cuda(cudaGetDeviceProperties(&device, 0), "device");
  const unsigned blocks = static_cast<unsigned>(device.multiProcessorCount) * 8;
  constexpr int rounds = 4096;
  const double work = static_cast<double>(blocks) * 256 * 8 * rounds;
  ceilings.exp_g = work / time_of([&] { exp_kernel<<<blocks, 256>>>(out.get(), rounds); }) * 1e-6;
  ceilings.fma_g = work / time_of([&] { fma_kernel<<<blocks, 256>>>(out.get(), rounds); }) * 1e-6;
  return ceilings;
}

struct Row {
  std::string what, io;
  std::int64_t sequences, length, channels, states;
  int interval;
  std::int64_t segments;
  double ms, gpos, gb, share;  // share of the nearer ceiling
};

std::ostringstream json;
std::ostringstream page;
bool first_entry = true;
Ceilings ceilings;

void report(const Row& r) {
  json << (first_entry ? "" : ",\n") << R"(    {"name": ")" << r.what << R"(", "io": ")" << r.io
       << R"(", "S": )" << r.sequences << R"(, "L": )" << r.length << R"(, "E": )" << r.channels
       << R"(, "N": )" << r.states << R"(, "checkpoint_interval": )" << r.interval << R"(, "segments": )"
       << r.segments << R"(, "ms": )" << r.ms << R"(, "gpos_per_s": )" << r.gpos << R"(, "gb_per_s": )"
       << r.gb << R"(, "share_of_ceiling": )" << r.share << "}";
  first_entry = false;
  char line[256];
  std::snprintf(
      line, sizeof line, "| %s | %s | %lld | %lld | %lld | %lld | %d | %lld | %.3f | %.1f | %.0f | %.2f |\n",
      r.what.c_str(), r.io.c_str(), static_cast<long long>(r.sequences), static_cast<long long>(r.length),
      static_cast<long long>(r.channels), static_cast<long long>(r.states), r.interval,
      static_cast<long long>(r.segments), r.ms, r.gpos, r.gb, r.share);
  page << line;
  std::fputs(line, stdout);
  std::fflush(stdout);
}

template <class IO, int N>
void bench_selective(std::int64_t S, std::int64_t L, int E, const KernelScanOptions& options,
                     bool inference_too) {
  const std::int64_t M = S * L;
  const auto wide = static_cast<std::size_t>(M) * static_cast<std::size_t>(E);
  const auto narrow = static_cast<std::size_t>(M) * N;
  const auto rows = static_cast<std::size_t>(M), cols = static_cast<std::size_t>(E);
  Memory<IO> u(wide), dt(wide), z(wide), d_out(wide), B(narrow), C(narrow), out(wide);
  Memory<float> A(cols * N), D(cols), bias(cols);
  fill(u, -1, 1, 1);
  fill(dt, -6, 1, 2);
  fill(z, -4, 4, 3);
  fill(d_out, -1, 1, 4);
  fill(B, -1, 1, 5);
  fill(C, -1, 1, 6);
  fill(A, -16, -0.5F, 7);
  fill(D, -1, 1, 8);
  fill(bias, -1, 1, 9);
  std::vector<std::int64_t> host_offsets;
  for (std::int64_t s = 0; s <= S; ++s) host_offsets.push_back(s * L);
  Memory<std::int64_t> offsets(host_offsets.size());
  check_cuda(cudaMemcpy(offsets.get(), host_offsets.data(), host_offsets.size() * sizeof(std::int64_t),
                        cudaMemcpyHostToDevice),
             "offsets");
  KernelScanInputs<IO> in;
  in.u = {u.get(), rows, cols};
  in.dt = {dt.get(), rows, cols};
  in.z = {z.get(), rows, cols};
  in.B = {B.get(), rows, N};
  in.C = {C.get(), rows, N};
  in.A = A.get();
  in.D = D.get();
  in.dt_bias = bias.get();
  in.offsets = offsets.get();
  const KernelScanPlan plan({M, S, L, E, N}, options);
  Memory<float> checkpoints(plan.checkpoint_floats()), workspace(plan.forward_workspace_floats());
  const double positions = static_cast<double>(wide);
  const std::string io = sizeof(IO) == 2 ? "bf16" : "fp32";
  const auto add = [&](const char* what, double ms, double bytes_per_pos, double exps_per_pos) {
    const double gpos = positions / ms * 1e-6;
    const double limit = std::min(ceilings.copy_gb / bytes_per_pos, ceilings.exp_g / exps_per_pos);
    report({what, io, S, L, E, N, plan.checkpoint_interval, plan.segments, ms, gpos, gpos * bytes_per_pos,
            gpos / limit});
  };
  constexpr double size = sizeof(IO);
  const double kept = 4.0 * N / plan.checkpoint_interval;
  const double shared = 2.0 * N * size / E;
  if (inference_too) {
    add("forward, nothing kept", time_of([&] {
          cuda_selective_scan_forward<N>(nullptr, plan, in, {{out.get(), rows, cols}, nullptr, nullptr},
                                         workspace.get());
        }),
        4 * size + shared, N + 3);
  }
  add("forward", time_of([&] {
        cuda_selective_scan_forward<N>(
            nullptr, plan, in, {{out.get(), rows, cols}, nullptr, checkpoints.get()}, workspace.get());
      }),
      4 * size + shared + kept, N + 3);

  using Bit = KernelScanGradient;
  constexpr unsigned mask = Bit::all & ~Bit::initial;
  Memory<float> backward_workspace(plan.backward_workspace_floats(mask));
  Memory<IO> du(wide), ddt(wide), dz(wide), dB(narrow), dC(narrow);
  Memory<float> dA(cols * N), dD(cols), dbias(cols);
  KernelScanGradients<IO> gradients;
  gradients.d_u = {du.get(), rows, cols};
  gradients.d_dt = {ddt.get(), rows, cols};
  gradients.d_z = {dz.get(), rows, cols};
  gradients.d_B = {dB.get(), rows, N};
  gradients.d_C = {dC.get(), rows, N};
  gradients.d_A = dA.get();
  gradients.d_D = dD.get();
  gradients.d_dt_bias = dbias.get();
  add("backward", time_of([&] {
        cuda_selective_scan_backward<mask, N>(nullptr, plan, in, checkpoints.get(), {d_out.get(), rows, cols},
                                              nullptr, gradients, backward_workspace.get());
      }),
      7 * size + 2 * shared + kept, N + 4);
}

/// y = Σ_n C·h from the states of all (channel, state) recurrences laid out one after another.
template <class IO>
__global__ void prepare_kernel(KernelScanInputs<IO> x, int E, int N, std::int64_t L, float* a, float* b) {
  const detail::CudaScanBlock block(nullptr);
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= L * E * N) return;
  const std::int64_t t = i % L, n = i / L % N, e = i / L / N;
  const auto at = static_cast<std::size_t>(t * E + e);
  const float delta = detail::kernel_softplus(block, static_cast<float>(x.dt.data[at]) + x.dt_bias[e]);
  a[i] = block.exp2(delta * x.A[e * N + n] * detail::log2_e);
  b[i] = delta * static_cast<float>(x.u.data[at]) * static_cast<float>(x.B.data[t * N + n]);
}
template <class IO>
__global__ void finish_kernel(KernelScanInputs<IO> x, int E, int N, std::int64_t L, const float* h, IO* out) {
  const detail::CudaScanBlock block(nullptr);
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= L * E) return;
  const std::int64_t t = i % L, e = i / L;
  const auto at = static_cast<std::size_t>(t * E + e);
  float y = x.D[e] * static_cast<float>(x.u.data[at]);
  for (int n = 0; n < N; ++n) y += static_cast<float>(x.C.data[t * N + n]) * h[(e * N + n) * L + t];
  const float z = static_cast<float>(x.z.data[at]);
  out[at] = block.template narrow<IO>(y * z * detail::sigmoid(block, z));
}

/// The selective scan by way of a library scan: (a, b) of every state are written, scanned, and read.
void bench_device_scan(std::int64_t L, int E) {
  constexpr int N = 16;
  const auto wide = static_cast<std::size_t>(L) * static_cast<std::size_t>(E);
  const auto rows = static_cast<std::size_t>(L), cols = static_cast<std::size_t>(E);
  Memory<BFloat16> u(wide), dt(wide), z(wide), B(rows * N), C(rows * N), out(wide);
  Memory<float> A(cols * N), D(cols), bias(cols), a(wide * N), b(wide * N), h(wide * N);
  fill(u, -1, 1, 1);
  fill(dt, -6, 1, 2);
  fill(z, -4, 4, 3);
  fill(B, -1, 1, 5);
  fill(C, -1, 1, 6);
  fill(A, -16, -0.5F, 7);
  fill(D, -1, 1, 8);
  fill(bias, -1, 1, 9);
  KernelScanInputs<BFloat16> in;
  in.u = {u.get(), rows, cols};
  in.dt = {dt.get(), rows, cols};
  in.z = {z.get(), rows, cols};
  in.B = {B.get(), rows, N};
  in.C = {C.get(), rows, N};
  in.A = A.get();
  in.D = D.get();
  in.dt_bias = bias.get();
  LinearScanProblem<float> x;
  x.length = L;
  x.columns = std::int64_t{E} * N;
  x.column_stride = L;
  x.a = a.get();
  x.b = b.get();
  x.h = h.get();
  const auto whole = [&](auto policy) {
    const std::size_t bytes = policy.workspace_bytes(x);
    Memory<char> workspace(bytes);
    const double ms = time_of([&] {
      prepare_kernel<<<detail::blocks_for(x.length * x.columns, 256), 256>>>(in, E, N, L, a.get(), b.get());
      cuda_scan(policy, nullptr, x, workspace.get(), bytes);
      finish_kernel<<<detail::blocks_for(L * E, 256), 256>>>(in, E, N, L, h.get(), out.get());
    });
    const double gpos = static_cast<double>(wide) / ms * 1e-6;
    constexpr double bytes_per_pos = 8 + 5 * 4 * N;
    report({"forward by " + std::string(policy.name), "bf16", 1, L, E, N, 0, 1, ms, gpos,
            gpos * bytes_per_pos, gpos * bytes_per_pos / ceilings.copy_gb});
  };
  whole(CudaDeviceScan{});
  whole(CudaDeviceScanByKey{});
  whole(CudaLookBack{});
  whole(CudaBlockScan<cub::BLOCK_SCAN_WARP_SCANS>{});
}

void bench_menu(std::int64_t L, std::int64_t columns) {
  const auto size = static_cast<std::size_t>(L * columns);
  Memory<float> a(size), b(size), h(size);
  fill(a, 0.5F, 1, 1);
  fill(b, -1, 1, 2);
  for_each_cuda_scan([&](auto policy) {
    for (const bool time_contiguous : {true, false}) {
      LinearScanProblem<float> x;
      x.length = L;
      x.columns = columns;
      x.time_stride = time_contiguous ? 1 : columns;
      x.column_stride = time_contiguous ? L : 1;
      x.a = a.get();
      x.b = b.get();
      x.h = h.get();
      const bool by_columns = std::is_same_v<decltype(policy), CudaThreadPerChannel> ||
                              std::is_same_v<decltype(policy), CudaSplitTime>;
      if (by_columns == time_contiguous) continue;  // each policy in the layout that it is made for
      const std::size_t bytes = policy.workspace_bytes(x);
      Memory<char> workspace(bytes);
      const double ms = time_of([&] { cuda_scan(policy, nullptr, x, workspace.get(), bytes); });
      const double rate = static_cast<double>(size) / ms * 1e-6;
      report({std::string(policy.name) + (time_contiguous ? " (columns, L)" : " (L, columns)"), "fp32",
              columns, L, 1, 1, 0, 1, ms, rate, rate * 12, rate * 12 / ceilings.copy_gb});
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("skipped: no device");
    return 77;
  }
  const bool quick = argc > 3 && std::string(argv[3]) == "--quick";
  cudaDeviceProp device{};
  check_cuda(cudaGetDeviceProperties(&device, 0), "device");
  ceilings = measure_ceilings();
  char line[1024];
  std::snprintf(
      line, sizeof line,
      "# Scans on %s\n\n%d multiprocessors, compute capability %d.%d. Measured in this run: copy %.0f GB/s "
      "(read plus written), exponentials %.0f G/s, multiply-adds %.0f G/s.\n\n"
      "Gpos/s counts (row, channel) positions, all states of each; GB/s the bytes that must move; the last "
      "column is the share of the nearer of the copy and exponential ceilings. Medians of event times.\n\n",
      device.name, device.multiProcessorCount, device.major, device.minor, ceilings.copy_gb, ceilings.exp_g,
      ceilings.fma_g);
  page << line;
  std::fputs(line, stdout);
  const char* head =
      "| variant | I/O | S | L | E | N | kept every | segments | ms | Gpos/s | GB/s | share |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  page << "## Fused selective scan, with gate and softplus\n\n" << head;
  std::fputs(head, stdout);
  for (const int interval : {8, 16, 32, 64}) {
    bench_selective<BFloat16, 16>(64, 2048, 2048, {.checkpoint_interval = interval}, interval == 8);
    if (quick) break;
  }
  if (!quick) {
    bench_selective<float, 16>(64, 2048, 2048, {}, true);
    bench_selective<BFloat16, 16>(16, 2048, 1536, {}, true);
    bench_selective<BFloat16, 16>(4, 2048, 1536, {}, true);
    bench_selective<BFloat16, 16>(1, 2048, 1536, {}, true);
    bench_selective<BFloat16, 16>(1, 2048, 1536, {.segment_length = 2048}, true);
    bench_selective<BFloat16, 16>(1, 65536, 1536, {}, true);
    bench_selective<BFloat16, 16>(1, 65536, 256, {}, true);
    bench_selective<BFloat16, 16>(32, 1023, 5120, {}, true);
    bench_selective<BFloat16, 1>(64, 2048, 2048, {}, true);
    bench_selective<BFloat16, 4>(64, 2048, 2048, {}, true);
    bench_selective<BFloat16, 8>(64, 2048, 2048, {}, true);
    bench_selective<BFloat16, 64>(32, 2048, 1024, {}, true);
    bench_selective<BFloat16, 256>(16, 2048, 512, {}, true);
  }
  page << "\n## The selective scan by way of library scans (a and b of every state written to memory)\n\n"
       << head;
  bench_device_scan(2048, 1536);
  bench_selective<BFloat16, 16>(1, 2048, 1536, {}, true);
  page << "\n## Linear recurrences, a and b given (columns under S)\n\n" << head;
  bench_menu(2048, 65536);
  if (!quick) {
    bench_menu(128, 1048576);
    bench_menu(65536, 256);
  }
  if (argc > 1) {
    std::ofstream(argv[1]) << "{\n  \"device\": \"" << device.name
                           << "\",\n  \"copy_gb_per_s\": " << ceilings.copy_gb
                           << ",\n  \"exp_g_per_s\": " << ceilings.exp_g
                           << ",\n  \"fma_g_per_s\": " << ceilings.fma_g << ",\n  \"results\": [\n"
                           << json.str() << "\n  ]\n}\n";
  }
  if (argc > 2) std::ofstream(argv[2]) << page.str();
  return 0;
}
