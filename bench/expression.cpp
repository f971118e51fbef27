// Fused element-wise expressions beside the same loop by hand and beside Eigen's arrays: one thread,
// the fastest of many interleaved runs. Ratios are time ÷ time of the loop by hand.

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 takes its own AVX-512 intrinsics, inlined into Eigen's exp, for uninitialised.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <Eigen/Core>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <sdlora/tensor/evaluate.hpp>

using sdlora::dyn;
using sdlora::Extents;
using sdlora::Simd;
using sdlora::Tensor;

namespace {

using Matrix = Tensor<float, Extents<dyn, dyn>>;
using Vector = Tensor<float, Extents<dyn>>;
using EigenMatrix = Eigen::Map<Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
using EigenRow = Eigen::Map<Eigen::Array<float, 1, Eigen::Dynamic>>;

EigenMatrix eigen(Matrix& m) {
  return {m.data(), static_cast<Eigen::Index>(m.extent(0)), static_cast<Eigen::Index>(m.extent(1))};
}
EigenRow eigen(Vector& v) { return {v.data(), static_cast<Eigen::Index>(v.extent(0))}; }

template <class Function>
double seconds(std::size_t repeats, const Function& f) {
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < repeats; ++i) f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
         static_cast<double>(repeats);
}

void keep_smallest(double& best, double value) {
  if (best == 0 || value < best) best = value;
}

/// The largest difference of two results, relative to 1 + their size.
double difference(const Matrix& a, const Matrix& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a.data()[i]);
    const double y = static_cast<double>(b.data()[i]);
    const double d = (x > y ? x - y : y - x) / (1 + (x > 0 ? x : -x));
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

template <class Ours, class Hand, class Eigens>
bool compare(const char* name, Matrix& out, const Ours& ours, const Hand& hand, const Eigens& eigens) {
  ours();
  const Matrix first = out;
  hand();
  const Matrix second = out;
  eigens();
  const double worst =
      difference(first, second) > difference(first, out) ? difference(first, second) : difference(first, out);
  const std::size_t repeats = 1 + 2'000'000 / out.size();
  double best[3] = {};
  for (int round = 0; round < 25; ++round) {
    keep_smallest(best[0], seconds(repeats, ours));
    keep_smallest(best[1], seconds(repeats, hand));
    keep_smallest(best[2], seconds(repeats, eigens));
  }
  const double elements = static_cast<double>(out.size()) * 1e-9;
  std::printf("  %-34s %7.3f %7.3f %7.3f   %5.2f %5.2f   %.0e\n", name, best[0] / elements,
              best[1] / elements, best[2] / elements, best[0] / best[1], best[2] / best[1], worst);
  return worst < 1e-4;
}

bool run(std::size_t rows, std::size_t cols) {
  Matrix a(rows, cols), b(rows, cols), c(rows, cols), y(rows, cols);
  Vector w(cols);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.data()[i] = static_cast<float>(i % 1009) / 200.0F - 2.5F;
    b.data()[i] = static_cast<float>(i % 503) / 100.0F - 2.5F;
    c.data()[i] = static_cast<float>(i % 251) / 50.0F - 2.5F;
  }
  for (std::size_t j = 0; j < cols; ++j) w.data()[j] = static_cast<float>(j % 7);

  std::printf("%zu x %zu, one thread\n  %-34s %7s %7s %7s   %5s %5s   %s\n", rows, cols,
              "nanoseconds per element", "sdlora", "hand", "Eigen", "ratio", "Eigen", "difference");
  auto ea = eigen(a), eb = eigen(b), ec = eigen(c), ey = eigen(y);
  const auto ew = eigen(w);
  const std::size_t n = a.size();
  constexpr std::size_t width = sdlora::simd_width<float>;
  bool well = true;

  well &= compare(
      "y = a * b + c", y, [&] { y = a * b + c; },
      [&] {
        float* out = y.data();
        const float *p = a.data(), *q = b.data(), *r = c.data();
        for (std::size_t i = 0; i < n; ++i) out[i] = p[i] * q[i] + r[i];
      },
      [&] { ey = ea * eb + ec; });

  well &= compare(
      "y = silu(a) * b", y, [&] { y = silu(a) * b; },
      [&] {
        float* out = y.data();
        const float *p = a.data(), *q = b.data();
        for (std::size_t i = 0; i < n; i += width) {
          const auto x = Simd<float>::load_aligned(p + i);
          (sdlora::silu(x) * Simd<float>::load_aligned(q + i)).store_aligned(out + i);
        }
      },
      [&] { ey = ea / (1 + (-ea).exp()) * eb; });

  well &= compare(
      "y = a * row + exp(b) * c", y, [&] { y = a * w + exp(b) * c; },
      [&] {
        for (std::size_t i = 0; i < rows; ++i) {
          float* out = y.data() + i * cols;
          const float *p = a.data() + i * cols, *q = b.data() + i * cols, *r = c.data() + i * cols,
                      *s = w.data();
          for (std::size_t j = 0; j < cols; j += width) {
            const auto product = Simd<float>::load_aligned(p + j) * Simd<float>::load_aligned(s + j);
            sdlora::fma(sdlora::exp(Simd<float>::load_aligned(q + j)), Simd<float>::load_aligned(r + j),
                        product)
                .store_aligned(out + j);
          }
        }
      },
      [&] {
        for (Eigen::Index i = 0; i < ey.rows(); ++i) ey.row(i) = ea.row(i) * ew + eb.row(i).exp() * ec.row(i);
      });

  well &= compare(
      "y = a * rsqrt(mean(a^2) + e) * row", y, [&] { y = a * rsqrt(mean(square(a)) + 1e-5) * w; },
      [&] {
        for (std::size_t i = 0; i < rows; ++i) {
          float* out = y.data() + i * cols;
          const float *p = a.data() + i * cols, *s = w.data();
          Simd<float> total[4] = {Simd<float>(0), Simd<float>(0), Simd<float>(0), Simd<float>(0)};
          for (std::size_t j = 0; j < cols; j += 4 * width) {
            for (std::size_t k = 0; k < 4; ++k) {
              const auto x = Simd<float>::load_aligned(p + j + k * width);
              total[k] = sdlora::fma(x, x, total[k]);
            }
          }
          alignas(64) float lanes[width];
          ((total[0] + total[1]) + (total[2] + total[3])).store_aligned(lanes);
          float squares = 0;
          for (const float lane : lanes) squares += lane;
          const Simd<float> scale(1 / std::sqrt(squares / static_cast<float>(cols) + 1e-5F));
          for (std::size_t j = 0; j < cols; j += width) {
            (Simd<float>::load_aligned(p + j) * scale * Simd<float>::load_aligned(s + j))
                .store_aligned(out + j);
          }
        }
      },
      [&] {
        for (Eigen::Index i = 0; i < ey.rows(); ++i) {
          const float scale = 1 / std::sqrt(ea.row(i).square().mean() + 1e-5F);
          ey.row(i) = ea.row(i) * scale * ew;
        }
      });

  return well;
}

}  // namespace

int main() {
  sdlora::set_thread_count(1);
  bool well = run(16, 768);       // in the first caches
  well = run(512, 1536) && well;  // one layer's activations of Mamba-130M
  if (!well) std::puts("the results differ by more than 1e-4");
  return well ? 0 : 1;
}
