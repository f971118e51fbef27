// One training step on a GPU at Mamba-130M's shape (random weights, B = 1, L = 512): seconds of the median
// step, tokens per second, and the memory of activations, on weights of float and of bfloat16. Without a GPU
// it says so and ends with 77.
//
//   train_step_cuda [--products tiled|cublaslt|cublaslt-tf32] [steps] [layers]
//
// --products says what multiplies matrices: sdlora's tiled kernel, or cuBLASLt where the program was built
// with it.

#include <sdlora/cuda.cuh>

#ifdef SDLORA_WITH_CUBLASLT
#include <sdlora/tensor/cuda/cublaslt.cuh>
#endif

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <sdlora/training/adamw.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sdlora;
using GpuBase = Base<presets::AnyMamba, float, Cuda>;

constexpr std::size_t length = 512;

Batch some_batch() {
  Example example;
  for (std::size_t t = 0; t < length; ++t) {
    example.ids.push_back(static_cast<std::int32_t>(t * 7919 % 50280));
    example.labels.push_back(example.ids.back());
  }
  return Batch(std::vector<Example>{example});
}

template <class Model>
void time_steps(const char* name, Model model, std::size_t steps) {
  const Batch batch = some_batch();
  AdamW<float, Cuda> optimizer(model.parameters());
  thread_workspace<Cuda>().reset_peak();
  std::vector<double> seconds;
  for (std::size_t step = 0; step < steps + 2; ++step) {  // two to warm up
    const auto begin = std::chrono::steady_clock::now();
    model.parameters().zero_gradients();
    model.accumulate_gradients(batch, 1.0 / static_cast<double>(length));
    clip_gradients(model.parameters(), 1.0);
    optimizer.step(model.parameters(), 1e-3);
    CudaStream::current().wait();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    if (step >= 2) seconds.push_back(took.count());
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  std::printf("%-12s %9.4f s a step  %9.0f tokens/s  %8.1f MB of activations\n", name, median,
              static_cast<double>(length) / median,
              static_cast<double>(thread_workspace<Cuda>().peak_bytes()) / 1e6);
}

#ifdef SDLORA_WITH_CUBLASLT
constexpr const char* further_products = ", cublaslt or cublaslt-tf32";
#else
constexpr const char* further_products = " (the program was built without cuBLASLt)";
#endif

/// False where there is no backend of that name.
bool use_products(const std::string& name) {
#ifdef SDLORA_WITH_CUBLASLT
  if (name == "cublaslt" || name == "cublaslt-tf32") {
    use_cublaslt({.tf32 = name == "cublaslt-tf32"});
    return true;
  }
#endif
  return name == "tiled";
}

int run(int argc, char** argv) {
  std::string products = "tiled";
  if (argc > 2 && std::string(argv[1]) == "--products") {
    products = argv[2];
    argc -= 2;
    argv += 2;
  }
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: no device");
    return 77;
  }
  if (!use_products(products)) {
    std::fprintf(stderr, "train_step_cuda: expected --products tiled%s; found %s\n", further_products,
                 products.c_str());
    return 2;
  }
  const std::size_t steps = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10;
  MambaDimensions m = dimensions(presets::Mamba130m::config);
  if (argc > 2) m.n_layer = std::strtoul(argv[2], nullptr, 10);
  std::printf("products: %s\n", matmul_backend_name<Cuda>());
  Selection selection{m.d_inner, m.d_state, {}};
  for (std::size_t l = 0; l < m.n_layer; ++l) {
    LayerSelection layer;
    for (std::uint32_t c = 0; c < 15; ++c) {
      layer.channels.push_back(100 * c);
      for (std::uint32_t n = 0; n < 4; ++n) layer.states.push_back(4 * n);
    }
    selection.layers.push_back(layer);
  }
  const GpuBase floats = GpuBase::random(m, 1);
  for (const StoredType weights : {StoredType::Scalar, StoredType::BFloat16}) {
    const auto base = std::make_shared<const GpuBase>(floats.stored_as(weights));
    std::printf("weights: %s\n", weights == StoredType::Scalar ? "float32" : "bfloat16");
    time_steps("lora-linear", MambaModel<presets::AnyMamba, presets::LoRALinear<8>, Run<Cuda>>(base),
               std::max<std::size_t>(steps, 1));
    time_steps("sdlora", MambaModel<presets::AnyMamba, presets::SDLoRA<8, 15, 4>, Run<Cuda>>(base, selection),
               std::max<std::size_t>(steps, 1));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try { return run(argc, argv); } catch (const std::exception& e) {
  std::fprintf(stderr, "train_step_cuda: %s\n", e.what());
  return 1;
}
