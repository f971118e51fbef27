#pragma once

#include "../simd.hpp"

#include <cmath>
#include <cstddef>

// What operators and functions do to numbers and to batches of them: the `Operation` of a Map
// (expression.hpp).

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

struct Add {
  static constexpr const char* name = "operator+";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a + b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return a + b;
  }
};

struct Subtract {
  static constexpr const char* name = "operator-";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a - b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return a - b;
  }
};

struct Multiply {
  static constexpr const char* name = "operator*";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a * b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return a * b;
  }
};

struct Divide {
  static constexpr const char* name = "operator/";
  static constexpr std::size_t cost = 3;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a / b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return a / b;
  }
};

struct MultiplyAdd {
  static constexpr const char* name = "fma";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b, T c) {
    return std::fma(a, b, c);
  }
  template <class V>
  static V batch(const V& a, const V& b, const V& c) {
    return sdlora::fma(a, b, c);
  }
};

struct Maximum {
  static constexpr const char* name = "max";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a > b || a != a ? a : b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return maximum(a, b);
  }
};

struct Minimum {
  static constexpr const char* name = "min";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a < b || a != a ? a : b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return minimum(a, b);
  }
};

struct Less {
  static constexpr const char* name = "operator<";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = true;
  template <class T>
  static constexpr bool scalar(T a, T b) {
    return a < b;
  }
  template <class V>
  static auto batch(const V& a, const V& b) {
    return a < b;
  }
};

struct LessEqual {
  static constexpr const char* name = "operator<=";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = true;
  template <class T>
  static constexpr bool scalar(T a, T b) {
    return a <= b;
  }
  template <class V>
  static auto batch(const V& a, const V& b) {
    return a <= b;
  }
};

struct Select {
  static constexpr const char* name = "select";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(bool condition, T yes, T no) {
    return condition ? yes : no;
  }
  template <class Condition, class V>
  static V batch(const Condition& condition, const V& yes, const V& no) {
    return choose(condition, yes, no);
  }
};

struct Negate {
  static constexpr const char* name = "operator-";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return -x;
  }
  template <class V>
  static V batch(const V& x) {
    return -x;
  }
};

struct Absolute {
  static constexpr const char* name = "abs";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return std::fabs(x);
  }
  template <class V>
  static V batch(const V& x) {
    return absolute(x);
  }
};

struct Square {
  static constexpr const char* name = "square";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return x * x;
  }
  template <class V>
  static V batch(const V& x) {
    return x * x;
  }
};

struct SquareRoot {
  static constexpr const char* name = "sqrt";
  static constexpr std::size_t cost = 4;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return std::sqrt(x);
  }
  template <class V>
  static V batch(const V& x) {
    return xsimd::sqrt(x);
  }
};

struct InverseSquareRoot {
  static constexpr const char* name = "rsqrt";
  static constexpr std::size_t cost = 7;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return T(1) / std::sqrt(x);
  }
  template <class V>
  static V batch(const V& x) {
    return V(typename V::value_type(1)) / xsimd::sqrt(x);
  }
};

struct Exponential {
  static constexpr const char* name = "exp";
  static constexpr std::size_t cost = 8;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return std::exp(x);
  }
  template <class V>
  static V batch(const V& x) {
    return sdlora::exp(x);
  }
};

struct Logarithm {
  static constexpr const char* name = "log";
  static constexpr std::size_t cost = 12;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return std::log(x);
  }
  template <class V>
  static V batch(const V& x) {
    return sdlora::log(x);
  }
};

struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr std::size_t cost = 12;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return T(1) / (T(1) + std::exp(-x));
  }
  template <class V>
  static V batch(const V& x) {
    return sdlora::sigmoid(x);
  }
};

struct Silu {
  static constexpr const char* name = "silu";
  static constexpr std::size_t cost = 12;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return x / (T(1) + std::exp(-x));
  }
  template <class V>
  static V batch(const V& x) {
    return sdlora::silu(x);
  }
};

struct Softplus {
  static constexpr const char* name = "softplus";
  static constexpr std::size_t cost = 16;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return (x > T(0) ? x : T(0)) + std::log1p(std::exp(-std::fabs(x)));
  }
  template <class V>
  static V batch(const V& x) {
    return sdlora::softplus(x);
  }
};

struct HyperbolicTangent {
  static constexpr const char* name = "tanh";
  static constexpr std::size_t cost = 16;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T x) {
    return std::tanh(x);
  }
  template <class V>
  static V batch(const V& x) {
    return xsimd::tanh(x);
  }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail
}  // namespace sdlora
