// examples/06_gpu.cu: the same model on a GPU. Its third type says where it runs; nothing else changes.
//
// nvcc -std=c++20 --expt-relaxed-constexpr compiles it.
#include <cmath>
#include <iostream>
#include <sdlora/cuda.cuh>
#include <sdlora/sdlora.hpp>
using namespace sdlora;

// Trains a model on examples/base and returns the losses of the steps. `Where` is Run<Cpu> or Run<Cuda>.
template <class Where>
std::vector<double> train(const std::vector<Example>& data) {
  using Model = MambaModel<presets::AnyMamba, presets::LoRALinear<8>, Where>;
  using Device = typename Where::device_type;
  Model model{load_base<presets::AnyMamba, float, Device>(SDLORA_SOURCE_DIR "/examples/base")};
  Trainer<Model> trainer{model, {.steps = 20, .learning_rate = 5e-3, .progress = false}};
  return trainer.fit(data).losses;
}

int main() try {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::cout << "no device\n";
    return 0;
  }
  std::vector<Example> data;
  for (const char* text :
       {"The same source trains on both devices.", "Only the type of the model differs."}) {
    const auto ids = ByteTokenizer{}.encode(text);
    data.push_back({ids, ids});
  }
  const std::vector<double> host = train<Run<Cpu>>(data), gpu = train<Run<Cuda>>(data);
  std::cout << "loss on the CPU " << host.front() << " -> " << host.back() << ", on the GPU " << gpu.front()
            << " -> " << gpu.back() << '\n';
  // Sums are rounded in another order.
  return std::abs(host.back() - gpu.back()) < 0.01 * host.back() && gpu.back() < gpu.front() ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "06_gpu: " << e.what() << '\n';
  return 1;
}
