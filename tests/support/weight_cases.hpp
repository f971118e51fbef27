#pragma once

#include <sdlora/tensor/weight.hpp>
#include <sdlora/tensor/weight_matmul.hpp>

#include "numbers.hpp"
#include "padded.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace sdlora_test {

using sdlora::BFloat16;

/// A stored matrix in memory of its own, `shift` bytes behind an aligned address, with `gap` values between
/// rows that would show up in results.
template <class Stored>
class StoredMatrix {
 public:
  StoredMatrix(std::size_t rows, std::size_t cols, const std::vector<float>& values, std::size_t gap = 0,
               std::size_t shift = 0)
      : rows_(rows), cols_(cols), stride_(cols + gap), shift_(shift), scales_(rows, 1.0F) {
    using namespace sdlora;
    const std::size_t count = rows * stride_;
    std::vector<Stored> stored(count);
    std::memset(static_cast<void*>(stored.data()), 0x7f, count * sizeof(Stored));
    const MatrixView<const float> from(values.data(), rows, cols);
    const MatrixView<Stored> to(stored.data(), rows, cols, stride_);
    if constexpr (std::is_same_v<Stored, BFloat16>) {
      store_values(to, from);
    } else if constexpr (std::is_same_v<Stored, std::int8_t>) {
      store_values(to, scales_, from);
    } else {
      for (std::size_t i = 0; i < rows * cols; ++i) to(i / cols, i % cols) = static_cast<Stored>(values[i]);
    }
    memory_.resize(count * sizeof(Stored) / sizeof(double) + 4);
    if (count > 0) std::memcpy(bytes(), stored.data(), count * sizeof(Stored));
  }

  template <class Products = sdlora::default_products<Stored>>
  sdlora::Weight<Stored, sdlora::Cpu, Products> weight() const {
    sdlora::Weight<Stored, sdlora::Cpu, Products> result;
    result.data = bytes();
    result.rows = rows_;
    result.cols = cols_;
    result.stride = stride_;
    if constexpr (std::is_same_v<Stored, std::int8_t>) result.scales = scales_.data();
    return result;
  }
  const std::vector<float>& scales() const { return scales_; }

  /// The value that is stored.
  auto value(std::size_t i, std::size_t j) const {
    Stored stored;
    std::memcpy(&stored, bytes() + (i * stride_ + j) * sizeof stored, sizeof stored);
    if constexpr (std::is_same_v<Stored, std::int8_t>) {
      return static_cast<float>(stored) * scales_[i];
    } else if constexpr (std::is_same_v<Stored, BFloat16>) {
      return static_cast<float>(stored);
    } else {
      return stored;
    }
  }

 private:
  std::byte* bytes() const {
    return reinterpret_cast<std::byte*>(const_cast<double*>(memory_.data())) + shift_;
  }

  std::size_t rows_, cols_, stride_, shift_;
  std::vector<float> scales_;
  std::vector<double> memory_;
};

/// As a product takes an operand.
template <class Products>
double as_operand(double value) {
  if constexpr (std::is_same_v<Products, BFloat16>) {
    return static_cast<double>(static_cast<float>(BFloat16(static_cast<float>(value))));
  } else {
    return value;
  }
}

/// x · Wᵀ (or d_y · W) in double, of operands rounded as the product says.
template <class Products, bool Transpose, class Stored, class T>
std::vector<double> reference_product(const std::vector<T>& x, const StoredMatrix<Stored>& w, std::size_t m,
                                      std::size_t outer, std::size_t inner) {
  std::vector<double> out(m * outer), left(x.size()), right(outer * inner);
  for (std::size_t i = 0; i < x.size(); ++i) left[i] = as_operand<Products>(static_cast<double>(x[i]));
  for (std::size_t j = 0; j < outer; ++j) {
    for (std::size_t l = 0; l < inner; ++l) {
      right[j * inner + l] =
          as_operand<Products>(static_cast<double>(Transpose ? w.value(j, l) : w.value(l, j)));
    }
  }
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < outer; ++j) {
      double sum = 0;
      for (std::size_t l = 0; l < inner; ++l) sum += left[i * inner + l] * right[j * inner + l];
      out[i * outer + j] = sum;
    }
  }
  return out;
}

struct WeightShape {
  std::size_t m, n, k;  // rows of activations; rows and columns of the weight
};

/// Values whose products and sums floats hold exactly, of which some are no bfloat16.
inline std::vector<float> exact_values(std::size_t count, std::uint64_t seed) {
  Normals normals(seed);
  std::vector<float> values(count);
  for (float& value : values) value = std::nearbyint(static_cast<float>(3 * normals.next()));
  return values;
}

template <class Stored, class Products, bool Transpose>
void check_weight_product(const WeightShape& shape, std::size_t gap, std::size_t shift) {
  using namespace sdlora;
  using W = Weight<Stored, Cpu, Products>;
  using T = typename W::value_type;
  const auto [m, n, k] = shape;
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  CAPTURE(Transpose);
  const std::size_t outer = Transpose ? n : k, inner = Transpose ? k : n;
  const auto x = Normals(7 * m + n).vector<T>(m * inner);
  const StoredMatrix<Stored> stored(n, k, Normals(k + 3 * n).vector<float>(n * k), gap, shift);
  const W weight = stored.template weight<Products>();
  const std::vector<double> expected = reference_product<Products, Transpose>(x, stored, m, outer, inner);
  Padded<T> left(m, inner, gap, std::vector<double>(x.begin(), x.end()));
  Padded<T> out(m, outer, gap, std::vector<double>(m * outer, std::numeric_limits<double>::quiet_NaN()));
  const auto multiply = [&](Write write, T scale) {
    if constexpr (Transpose) {
      matmul(out.view, left.view, transposed(weight), write, scale);
    } else {
      matmul(out.view, left.view, weight, write, scale);
    }
  };
  const double unit = static_cast<double>(std::numeric_limits<T>::epsilon());
  // Where activations become integers of 16 bits.
  const bool integers =
      std::is_same_v<Stored, std::int8_t> && std::is_same_v<Products, float> && Transpose && m <= 8;
  const double tolerance = integers ? 1e-4 : unit * (1 + std::sqrt(static_cast<double>(inner)));
  multiply(Write::Overwrite, T(1));
  CHECK(relative_norm(out.values(), expected) <= tolerance);
  multiply(Write::Add, T(-2));
  std::vector<double> negative(expected);
  for (double& value : negative) value = -value;
  CHECK(relative_norm(out.values(), negative) <= 4 * tolerance);
  multiply(Write::Overwrite, T(0.5));
  for (double& value : negative) value *= -0.5;
  CHECK(relative_norm(out.values(), negative) <= tolerance);
  for (std::size_t i = 0; i < m; ++i) {  // nothing outside of the columns is written
    for (std::size_t j = outer; j < outer + gap; ++j) REQUIRE(out.memory[i * (outer + gap) + j] == T(1e30));
  }
  if constexpr (std::is_same_v<T, float>) {
    // Whole numbers: no sum is rounded.
    const auto whole = exact_values(m * inner, 11 * m);
    std::vector<float> matrix = exact_values(n * k, 5 * n);
    for (std::size_t i = 0; i < n; ++i) matrix[i * k] = 127;  // so that int8's scales are 1
    for (float& value : matrix) value = std::min(std::max(value, -100.0F), 127.0F);
    const StoredMatrix<Stored> numbers(n, k, matrix, gap, shift);
    const std::vector<double> sums = reference_product<Products, Transpose>(whole, numbers, m, outer, inner);
    std::vector<float> found(m * outer);
    const MatrixView<float> to(found.data(), m, outer);
    const MatrixView<const float> from(whole.data(), m, inner);
    if constexpr (Transpose) {
      matmul(to, from, transposed(numbers.template weight<Products>()));
    } else {
      matmul(to, from, numbers.template weight<Products>());
    }
    if (integers) {
      CHECK(relative_norm(found, sums) <= tolerance);
    } else {
      CHECK(std::vector<double>(found.begin(), found.end()) == sums);
    }
  }
}

/// Forward and backward of a stored type and a type of products.
template <class Stored, class Products>
void check_weight_products(const std::vector<WeightShape>& shapes) {
  std::size_t turn = 0;
  for (const WeightShape& shape : shapes) {
    const std::size_t shift = sizeof(Stored) > 2 ? 0 : turn % 2;  // bytes
    check_weight_product<Stored, Products, true>(shape, turn % 3, shift);
    check_weight_product<Stored, Products, false>(shape, turn % 3, shift);
    ++turn;
  }
}

/// The same bits for every number of threads, and wherever the weight lies.
template <class Stored, class Products>
void check_weight_bits(const WeightShape& shape) {
  using namespace sdlora;
  const auto [m, n, k] = shape;
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  const auto x = Normals(1).vector<float>(m * k), d_y = Normals(2).vector<float>(m * n);
  const auto values = Normals(3).vector<float>(n * k);
  const std::size_t before = thread_count();
  std::vector<float> first;
  for (const std::size_t threads : {1U, 2U, 3U, 5U, 16U}) {
    set_thread_count(threads);
    const std::size_t shift = sizeof(Stored) > 2 ? 0 : threads % 2;
    const StoredMatrix<Stored> stored(n, k, values, 0, shift);
    const auto weight = stored.template weight<Products>();
    std::vector<float> found(m * n + m * k);
    const MatrixView<float> y(found.data(), m, n), d_x(found.data() + m * n, m, k);
    matmul(y, MatrixView<const float>(x.data(), m, k), transposed(weight));
    matmul(d_x, MatrixView<const float>(d_y.data(), m, n), weight);
    if (first.empty()) first = found;
    CHECK_MESSAGE(std::memcmp(found.data(), first.data(), found.size() * sizeof(float)) == 0, "the bits of ",
                  threads, " threads differ from those of one");
  }
  set_thread_count(before);
}

}  // namespace sdlora_test
