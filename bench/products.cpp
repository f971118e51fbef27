// Matrix products at Mamba-130M's shapes, as sdlora computes them, beside the bare backend on the same
// threads: the library's own call on as many blocks of rows as there are threads. GFLOP/s of the fastest of
// many interleaved runs, and its ratio to the bare rate of the same run.
//
//   products [rounds] [rows] [what the product's name contains]

#include <sdlora/tensor/matmul.hpp>
#include <sdlora/tensor/packed_weight.hpp>
#include <sdlora/tensor/weight.hpp>
#include <sdlora/tensor/weight_matmul.hpp>

#if defined(SDLORA_WITH_ONEDNN)
#include <sdlora/tensor/onednn.hpp>
#endif

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sdlora;
using Clock = std::chrono::steady_clock;

double seconds(const std::function<void()>& f) {
  const auto begin = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<float> numbers(std::size_t count, float scale) {
  std::vector<float> values(count);
  std::uint32_t state = 0x9E3779B9U;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = scale * (static_cast<float>(state >> 8) * 0x1p-24F - 0.5F);
  }
  return values;
}

/// A way to compute the product, and which other is its ceiling.
struct Candidate {
  std::string name;
  const MatmulBackend* backend;
  std::function<void()> run;
  std::size_t bare;
  double best = std::numeric_limits<double>::infinity();
};

/// f(first, count) for the rows of each thread.
template <class Function>
void by_threads(std::size_t rows, const Function& f) {
  const std::size_t threads = std::min(rows, thread_count());
  parallel_for(threads, [&](std::size_t t) {
    const std::size_t first = rows * t / threads;
    f(first, rows * (t + 1) / threads - first);
  });
}

/// One product, forward (x·Wᵀ) or backward (d_y·W), in every way that there is.
class Subject {
 public:
  Subject(const char* name, std::size_t rows, std::size_t outputs, std::size_t inputs, bool forward)
      : name_(name),
        forward_(forward),
        rows_(rows),
        outer_(forward ? outputs : inputs),
        inner_(forward ? inputs : outputs),
        x_(numbers(rows * inner_, 1.0F)),
        w_(numbers(outputs * inputs, 0.1F)),
        stored_(w_.size()),
        levels_(w_.size()),
        scales_(outputs),
        y_(rows * outer_),
        W_(w_.data(), outputs, inputs) {
    const MatrixView<BFloat16> stored(stored_.data(), outputs, inputs);
    const MatrixView<std::int8_t> levels(levels_.data(), outputs, inputs);
    store_values(stored, W_);
    store_values(levels, scales_, W_);
    bfloat16_ = Weight<BFloat16>(stored);
    int8_ = Weight<std::int8_t>(levels, {scales_.data(), 1, scales_.size()});
    add_eigen();
    add_onednn();
  }

  void measure(int rounds) {
    for (Candidate& each : candidates_) each.best = std::numeric_limits<double>::infinity();
    for (int round = 0; round <= rounds; ++round) {
      for (Candidate& each : candidates_) {
        use_matmul_backend(each.backend);
        const double time = seconds(each.run);
        if (round > 0) each.best = std::min(each.best, time);  // the first run makes primitives and memory
      }
    }
    use_matmul_backend(nullptr);
    const double operations = 2.0 * static_cast<double>(rows_ * outer_) * static_cast<double>(inner_);
    for (const Candidate& each : candidates_) {
      std::printf("| %s %s | %zu x %zu x %zu | %zu | %s | %.1f | %.2f |\n", name_,
                  forward_ ? "forward" : "backward", rows_, outer_, inner_, thread_count(), each.name.c_str(),
                  operations / each.best * 1e-9, candidates_[each.bare].best / each.best);
    }
    std::fflush(stdout);
  }

 private:
  MatrixView<const float> x() const { return {x_.data(), rows_, inner_}; }
  MatrixView<float> y() { return {y_.data(), rows_, outer_}; }

  template <class W>
  void multiply(const W& weight) {
    if (forward_) {
      matmul(y(), x(), transposed(weight));
    } else {
      matmul(y(), x(), weight);
    }
  }

  void add(std::string name, const MatmulBackend* backend, std::size_t bare, std::function<void()> run) {
    candidates_.push_back({std::move(name), backend, std::move(run), bare});
  }

  void add_eigen() {
    add("Eigen, bare float", nullptr, 0, [this] {
      by_threads(rows_, [this](std::size_t first, std::size_t count) {
        auto out = detail::eigen_map(y().rows_from(first, count));
        const auto left = detail::eigen_map(x().rows_from(first, count));
        const auto right = detail::eigen_map(W_);
        if (forward_) {
          out.noalias() = left * right.transpose();
        } else {
          out.noalias() = left * right;
        }
      });
    });
    add("sdlora on Eigen, float", nullptr, 0, [this] { multiply(Weight<float>(W_)); });
    add("sdlora on Eigen, bfloat16", nullptr, 0, [this] { multiply(bfloat16_); });
    add("sdlora on Eigen, int8", nullptr, 0, [this] { multiply(int8_); });
  }

#if defined(SDLORA_WITH_ONEDNN)
  void add_onednn() {
    const OneDnn& onednn = OneDnn::instance();
    const std::size_t bare = candidates_.size();
    add("oneDNN, bare float", &onednn, bare, [this, &onednn] {
      by_threads(rows_, [&](std::size_t first, std::size_t count) {
        onednn.multiply(y().rows_from(first, count), {x().rows_from(first, count)}, {W_, forward_},
                        Write::Overwrite, 1.0F);
      });
    });
    add("sdlora on oneDNN, float", &onednn, bare, [this] { multiply(Weight<float>(W_)); });
    std::size_t ceiling = bare;
    if (onednn.multiplies_bfloat16()) {
      ceiling = candidates_.size();
      rounded_.resize(x_.size());
      store_values(MatrixView<BFloat16>(rounded_.data(), rows_, inner_), x());
      whole_ = onednn.pack(MatmulOperand<BFloat16>{bfloat16_.stored(), forward_}, rows_);
      add("oneDNN, bare bfloat16, packed", &onednn, ceiling, [this, &onednn] {
        const MatrixView<const BFloat16> left(rounded_.data(), rows_, inner_);
        by_threads(rows_, [&](std::size_t first, std::size_t count) {
          onednn.multiply(y().rows_from(first, count), MatmulOperand<BFloat16>{left.rows_from(first, count)},
                          MatmulOperand<BFloat16>{bfloat16_.stored(), forward_, whole_.get()},
                          Write::Overwrite, 1.0F);
        });
      });
    }
    add("sdlora on oneDNN, bfloat16", &onednn, ceiling, [this] { multiply(bfloat16_); });
    if (onednn.multiplies_bfloat16()) {
      use_matmul_backend(&onednn);
      packed_ = PackedWeight<BFloat16>(bfloat16_, Packing::Both);
      use_matmul_backend(nullptr);
      add("sdlora on oneDNN, bfloat16, packed", &onednn, ceiling, [this] { multiply(packed_.weight()); });
    }
    add("sdlora on oneDNN, int8", &onednn, ceiling, [this] { multiply(int8_); });
  }

  std::vector<BFloat16> rounded_;
  std::unique_ptr<PackedOperand> whole_;
  PackedWeight<BFloat16> packed_;
#else
  void add_onednn() {}
#endif

  const char* name_;
  bool forward_;
  std::size_t rows_, outer_, inner_;
  std::vector<float> x_, w_;
  std::vector<BFloat16> stored_;
  std::vector<std::int8_t> levels_;
  std::vector<float> scales_, y_;
  MatrixView<const float> W_;
  Weight<BFloat16> bfloat16_;
  Weight<std::int8_t> int8_;
  std::vector<Candidate> candidates_;
};

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 20;
  const std::size_t rows = argc > 2 ? std::max<std::size_t>(1, std::strtoul(argv[2], nullptr, 10)) : 512;
#if defined(SDLORA_WITH_ONEDNN)
  const char* onednn =
      OneDnn::instance().multiplies_bfloat16()
          ? "oneDNN multiplies bfloat16 here"
          : "oneDNN has no bfloat16 products on this processor, so sdlora widens panels for it";
#else
  const char* onednn = "built without oneDNN";
#endif
  std::printf("%s\n\n", onednn);
  std::printf("| product | rows x outputs x inner | threads | how | GFLOP/s | of the bare rate |\n");
  std::printf("|---|---|---|---|---|---|\n");
  const std::string wanted = argc > 3 ? argv[3] : "";
  const std::size_t before = thread_count();
  const auto measure = [&](const char* name, std::size_t m, std::size_t outputs, std::size_t inputs,
                           bool forward, int turns) {
    if (std::string(name).find(wanted) == std::string::npos) return;
    Subject subject(name, m, outputs, inputs, forward);
    for (const std::size_t threads : {1U, 2U}) {
      set_thread_count(threads);
      subject.measure(turns);
    }
  };
  for (const bool forward : {true, false}) {
    measure("in_proj", rows, 3072, 768, forward, rounds);
    measure("x_proj", rows, 80, 1536, forward, rounds);
    measure("dt_proj", rows, 1536, 48, forward, rounds);
    measure("out_proj", rows, 768, 1536, forward, rounds);
  }
  measure("head", std::min<std::size_t>(rows, 64), 50280, 768, true, std::max(1, rounds / 4));
  measure("head", std::min<std::size_t>(rows, 64), 50280, 768, false, std::max(1, rounds / 4));
  measure("in_proj of one token", 1, 3072, 768, true, rounds);
  measure("head of one token", 1, 50280, 768, true, rounds);
  set_thread_count(before);
  return 0;
}
