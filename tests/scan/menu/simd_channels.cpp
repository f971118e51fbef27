#include <sdlora/scan/menu/simd_channels.hpp>
#include <sdlora/tensor/tensor.hpp>

#include <random>
#include <vector>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("SimdChannels: linear recurrences over columns") {
  scan_checks::check_column_policy(SimdChannels{});
}

TEST_CASE("SimdChannels: gradients") { scan_checks::check_backward(SimdChannels{}); }

TEST_CASE("SimdChannels: results beyond the caches, at any alignment, are those of small ones") {
  const std::size_t length = 131, columns = 8200, stride = 8208;  // 12 MB of a, b and h
  std::mt19937 random(21);
  std::uniform_real_distribution<float> decays(0.5F, 1.0F), values(-1.0F, 1.0F);
  const std::size_t size = (length + 1) * stride;
  using Buffer = Tensor<float, Extents<dyn>>;  // begins on a line, so that the shifts say it all
  Buffer a(size), b(size), h(size), d_a(size), d_b(size);
  for (std::size_t i = 0; i < size; ++i) a.data()[i] = decays(random);
  for (std::size_t i = 0; i < size; ++i) b.data()[i] = values(random);
  for (const std::size_t shift : {0U, 1U, 4U, 8U, 12U}) {  // 12: four columns before the first line
    for (const std::size_t step : {stride, stride - 5}) {
      const auto view = [&](auto& m) { return MatrixView<float>(m.data() + shift, length, columns, step); };
      const MatrixView<const float> initial(b.data(), 1, columns);
      const LinearScanOptions<float> options{.initial = initial};
      std::vector<float> d_initial(columns);
      scan(SimdChannels{}, view(a), view(b), view(h), options);
      scan_backward(SimdChannels{}, view(a), view(h), view(b), view(d_a), view(d_b),
                    {d_initial.data(), 1, columns}, options);
      std::size_t wrong = 0;
      for (const std::size_t first : {0U, 7U, 1020U, 8190U}) {
        const std::size_t some = 10;
        std::vector<float> small_h(length * some), small_a(small_h.size()), small_b(small_h.size());
        const auto part = [&](auto& m) { return view(m).cols_from(first, some); };
        const auto small = [&](std::vector<float>& m) { return MatrixView<float>(m.data(), length, some); };
        const LinearScanOptions<float> same{.initial = initial.cols_from(first, some)};
        std::vector<float> small_initial(some);
        scan(SimdChannels{}, part(a), part(b), small(small_h), same);
        scan_backward(SimdChannels{}, part(a), small(small_h), part(b), small(small_a), small(small_b),
                      {small_initial.data(), 1, some}, same);
        for (std::size_t j = 0; j < some; ++j) wrong += small_initial[j] != d_initial[first + j];
        for (std::size_t t = 0; t < length; ++t) {
          for (std::size_t j = 0; j < some; ++j) {
            wrong += part(h)(t, j) != small(small_h)(t, j);
            wrong += part(d_a)(t, j) != small(small_a)(t, j);
            wrong += part(d_b)(t, j) != small(small_b)(t, j);
          }
        }
      }
      CHECK(wrong == 0);
    }
  }
}
