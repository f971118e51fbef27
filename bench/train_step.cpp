// One training step at Mamba-130M's shape (random weights, B = 1, L = 512) beside a ceiling measured in the
// same run: the matrix operations that the placement needs at the rate of the backend's own products, and a
// bare scan.
//
//   train_step [steps] [layers] [threads]

#include <sdlora/adapters/presets.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <sdlora/training/adamw.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "support/bare_scan.hpp"

namespace {

using namespace sdlora;
using Clock = std::chrono::steady_clock;

constexpr std::size_t length = 512;
constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Function>
double seconds(const Function& f) {
  const auto begin = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// The ceiling's two parts, minima over all rounds.
class Ceiling {
 public:
  explicit Ceiling(const MambaDimensions& m)
      : E_(m.d_inner),
        x_(length * m.d_model, 0.5F),
        w_(2 * E_ * m.d_model, 0.01F),
        y_(length * 2 * E_),
        dt_(length * E_, 0.05F),
        bc_(length * 16, 0.1F),
        a_(E_ * 16, -1.0F) {}

  void measure(const MambaDimensions& m) {
    const MatrixView<const float> x(x_.data(), length, m.d_model);
    const MatrixView<const float> w(w_.data(), 2 * E_, m.d_model);
    const MatrixView<float> y(y_.data(), length, 2 * E_);
    const double product = seconds([&] { matmul(y, x, transposed(w)); });
    rate_ = std::max(rate_, 2.0 * length * 2.0 * static_cast<double>(E_ * m.d_model) / product);
    const MatrixView<const float> dt(dt_.data(), length, E_);
    const MatrixView<const float> bc(bc_.data(), length, 16);
    const MatrixView<float> out(y_.data(), length, E_);
    constexpr std::size_t block = 128;
    scan_ = std::min(scan_, seconds([&] {
                       parallel_for(E_ / block, [&](std::size_t i) {
                         bench::bare_scan<16>(dt, dt, bc, bc, a_.data(), out, i * block, (i + 1) * block);
                       });
                     }));
  }

  double rate() const { return rate_; }
  double scan() const { return scan_; }

 private:
  std::size_t E_;
  std::vector<float> x_, w_, y_, dt_, bc_, a_;
  double rate_ = 0.0;
  double scan_ = infinity;
};

template <class P>
class Subject {
 public:
  Subject(const char* name, const std::shared_ptr<const Base<presets::AnyMamba>>& base, const Batch& batch)
      : name_(name), model_(make(base)), optimizer_(model_.parameters()), batch_(batch) {}

  void step() {
    const MatmulStatistics before = matmul_statistics();
    time_ = std::min(time_, seconds([&] {
                       model_.parameters().zero_gradients();
                       model_.accumulate_gradients(batch_, 1.0 / static_cast<double>(batch_.loss_tokens()));
                       optimizer_.step(model_.parameters(), 1e-5);
                     }));
    flops_ = static_cast<double>(matmul_statistics().flops - before.flops);
  }

  void print(const Ceiling& ceiling) const {
    const double layers = static_cast<double>(model_.dimensions().n_layer);
    const double products = flops_ / ceiling.rate();
    const double scans = 2.0 * layers * ceiling.scan();  // one forward, one backward
    std::printf(
        "%-16s %11zu %8.3f s %7.0f tokens/s  %7.1f GFLOP  ceiling %.3f + %.3f s  reached %.2f  peak %.0f "
        "MB\n",
        name_, model_.parameters().size(), time_, length / time_, flops_ * 1e-9, products, scans,
        (products + scans) / time_, static_cast<double>(thread_workspace().peak_bytes()) / 1e6);
  }

 private:
  using Model = MambaModel<presets::AnyMamba, P>;

  static Model make(const std::shared_ptr<const Base<presets::AnyMamba>>& base) {
    const MambaDimensions& m = base->dimensions();
    Selection selection;
    if constexpr (P::selects) {
      selection.d_inner = m.d_inner;
      selection.d_state = m.d_state;
      LayerSelection layer;
      for (std::uint32_t c = 0; c < 15; ++c) {
        layer.channels.push_back(c * 101);
        for (std::uint32_t n = 0; n < 4; ++n) layer.states.push_back(n * 4);
      }
      selection.layers.assign(m.n_layer, layer);
    }
    return Model(base, selection);
  }

  const char* name_;
  Model model_;
  AdamW<float> optimizer_;
  const Batch& batch_;
  double time_ = infinity;
  double flops_ = 0.0;
};

}  // namespace

int main(int argc, char** argv) {
  const std::size_t steps = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 4;
  MambaDimensions m = dimensions(presets::Mamba130m::config);
  if (argc > 2) m.n_layer = std::strtoul(argv[2], nullptr, 10);
  if (argc > 3) set_thread_count(std::strtoul(argv[3], nullptr, 10));
  std::printf("Mamba-130M shape, %zu layers, B = 1, L = %zu, float, %zu threads\n", m.n_layer, length,
              thread_count());
  const auto base = std::make_shared<const Base<presets::AnyMamba>>(Base<presets::AnyMamba>::random(m, 1));
  Example example;
  const RandomStream random(1, 1);
  for (std::size_t i = 0; i < length; ++i) {
    example.ids.push_back(static_cast<std::int32_t>(random.below(i, m.vocab_size)));
  }
  example.labels = example.ids;
  const Batch batch(std::span<const Example>(&example, 1));

  Ceiling ceiling(m);
  Subject<presets::FullFineTune> full("FullFineTune", base, batch);
  Subject<presets::LoRALinear<8>> linear("LoRALinear<8>", base, batch);
  Subject<presets::SDLoRA<8, 15, 4>> sdlora("SDLoRA<8, 15, 4>", base, batch);
  for (std::size_t i = 0; i < std::max<std::size_t>(2, steps); ++i) {
    ceiling.measure(m);
    full.step();
    ceiling.measure(m);
    linear.step();
    ceiling.measure(m);
    sdlora.step();
  }
  std::printf("products run at %.1f GFLOP/s (512 x 3072 x 768); a bare scan of a layer takes %.2f ms\n",
              ceiling.rate() * 1e-9, ceiling.scan() * 1e3);
  full.print(ceiling);
  linear.print(ceiling);
  sdlora.print(ceiling);
}
