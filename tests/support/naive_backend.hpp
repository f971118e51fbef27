#pragma once

#include <sdlora/tensor/matmul_backend.hpp>

#include "use_backend.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

namespace sdlora_test {

/// A backend by the definition, with a layout of its own (the other order) and every kind of refusal.
class NaiveBackend : public sdlora::MatmulBackend {
 public:
  template <class T>
  using Operand = sdlora::MatmulOperand<T>;
  using View = sdlora::MatrixView<float>;

  bool bfloat16 = false;
  bool refuses = false;
  bool refuses_packed = false;
  bool refuses_bfloat16 = false;
  mutable std::atomic<std::size_t> packed_products{0};
  mutable std::atomic<std::size_t> products{0};

  const char* name() const override { return "naive"; }
  bool multiplies_bfloat16() const override { return bfloat16; }
  bool multiply(View out, Operand<float> a, Operand<float> b, sdlora::Write write,
                float scale) const override {
    return !refuses && run(out, a, b, write, scale);
  }
  bool multiply(View out, Operand<sdlora::BFloat16> a, Operand<sdlora::BFloat16> b, sdlora::Write write,
                float scale) const override {
    return !refuses_bfloat16 && run(out, a, b, write, scale);
  }
  std::unique_ptr<sdlora::PackedOperand> pack(Operand<float> b, std::size_t) const override {
    return packed(b);
  }
  std::unique_ptr<sdlora::PackedOperand> pack(Operand<sdlora::BFloat16> b, std::size_t) const override {
    return packed(b);
  }

 private:
  template <class T>
  struct Packed : sdlora::PackedOperand {
    std::size_t bytes() const override { return values.size() * sizeof(T); }
    std::vector<T> values;  // column after column of op(b)
    std::size_t inner = 0;
  };

  template <class T>
  static float at(const Operand<T>& x, std::size_t i, std::size_t j) {
    return static_cast<float>(x.transposed ? x.values(j, i) : x.values(i, j));
  }

  template <class T>
  static std::unique_ptr<sdlora::PackedOperand> packed(const Operand<T>& b) {
    auto result = std::make_unique<Packed<T>>();
    result->inner = b.transposed ? b.values.cols : b.values.rows;
    const std::size_t columns = b.transposed ? b.values.rows : b.values.cols;
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t k = 0; k < result->inner; ++k) result->values.push_back(T(at(b, k, j)));
    }
    return result;
  }

  template <class T>
  bool run(View out, const Operand<T>& a, const Operand<T>& b, sdlora::Write write, float scale) const {
    if (b.packed != nullptr && refuses_packed) return false;
    ++products;
    if (b.packed != nullptr) ++packed_products;
    const auto* layout = static_cast<const Packed<T>*>(b.packed);
    const std::size_t inner = a.transposed ? a.values.rows : a.values.cols;
    for (std::size_t i = 0; i < out.rows; ++i) {
      for (std::size_t j = 0; j < out.cols; ++j) {
        float sum = 0;
        for (std::size_t k = 0; k < inner; ++k) {
          const float right =
              layout == nullptr ? at(b, k, j) : static_cast<float>(layout->values[j * layout->inner + k]);
          sum += at(a, i, k) * right;
        }
        out(i, j) = write == sdlora::Write::Add ? out(i, j) + scale * sum : scale * sum;
      }
    }
    return true;
  }
};

}  // namespace sdlora_test
