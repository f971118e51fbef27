#pragma once

#include "expression.hpp"
#include "simd.hpp"

#include <cmath>
#include <cstddef>
#include <utility>

// The operators and functions of element-wise expressions. Arguments are tensors, views, expressions
// and numbers, at least one not a number; numbers take the type of the tensors.

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
    return a > b ? a : b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return greater(a, b);
  }
};

struct Minimum {
  static constexpr const char* name = "min";
  static constexpr std::size_t cost = 1;
  static constexpr bool is_mask = false;
  template <class T>
  static constexpr T scalar(T a, T b) {
    return a < b ? a : b;
  }
  template <class V>
  static V batch(const V& a, const V& b) {
    return lesser(a, b);
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

inline namespace SDLORA_SIMD_TAG {

/// Sums, differences, products and quotients, element by element.
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator+(A&& a, B&& b) {
  return detail::make_map<detail::Add>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator-(A&& a, B&& b) {
  return detail::make_map<detail::Subtract>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator*(A&& a, B&& b) {
  return detail::make_map<detail::Multiply>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator/(A&& a, B&& b) {
  return detail::make_map<detail::Divide>(std::forward<A>(a), std::forward<B>(b));
}
template <detail::Operand A>
constexpr auto operator-(A&& a) {
  return detail::make_map<detail::Negate>(std::forward<A>(a));
}

/// Comparisons give masks, which only `select` takes.
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator<(A&& a, B&& b) {
  return detail::make_map<detail::Less>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator<=(A&& a, B&& b) {
  return detail::make_map<detail::LessEqual>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator>(A&& a, B&& b) {
  return detail::make_map<detail::Less>(std::forward<B>(b), std::forward<A>(a));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto operator>=(A&& a, B&& b) {
  return detail::make_map<detail::LessEqual>(std::forward<B>(b), std::forward<A>(a));
}

/// `yes` where the condition (a comparison) holds, else `no`. Both are computed everywhere.
template <detail::Mask Condition, class A, class B>
  requires detail::Operands<A, B>
constexpr auto select(Condition&& condition, A&& yes, B&& no) {
  return detail::make_map<detail::Select>(std::forward<Condition>(condition), std::forward<A>(yes),
                                          std::forward<B>(no));
}

/// a·b + c with one rounding where the machine has the instruction.
template <class A, class B, class C>
  requires detail::Operands<A, B, C>
constexpr auto fma(A&& a, B&& b, C&& c) {
  return detail::make_map<detail::MultiplyAdd>(std::forward<A>(a), std::forward<B>(b), std::forward<C>(c));
}

/// The larger (smaller) of two, element by element; of one argument, see reduce.hpp.
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto max(A&& a, B&& b) {
  return detail::make_map<detail::Maximum>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::Operands<A, B>
constexpr auto min(A&& a, B&& b) {
  return detail::make_map<detail::Minimum>(std::forward<A>(a), std::forward<B>(b));
}

template <detail::Operand A>
constexpr auto abs(A&& a) {
  return detail::make_map<detail::Absolute>(std::forward<A>(a));
}
template <detail::Operand A>
constexpr auto square(A&& a) {
  return detail::make_map<detail::Square>(std::forward<A>(a));
}
template <detail::Operand A>
constexpr auto sqrt(A&& a) {
  return detail::make_map<detail::SquareRoot>(std::forward<A>(a));
}
/// 1 / √x, not an approximation.
template <detail::Operand A>
constexpr auto rsqrt(A&& a) {
  return detail::make_map<detail::InverseSquareRoot>(std::forward<A>(a));
}
template <detail::Operand A>
constexpr auto exp(A&& a) {
  return detail::make_map<detail::Exponential>(std::forward<A>(a));
}
template <detail::Operand A>
constexpr auto log(A&& a) {
  return detail::make_map<detail::Logarithm>(std::forward<A>(a));
}
template <detail::Operand A>
constexpr auto tanh(A&& a) {
  return detail::make_map<detail::HyperbolicTangent>(std::forward<A>(a));
}
/// 1 / (1 + e^−x).
template <detail::Operand A>
constexpr auto sigmoid(A&& a) {
  return detail::make_map<detail::Sigmoid>(std::forward<A>(a));
}
/// x · sigmoid(x).
template <detail::Operand A>
constexpr auto silu(A&& a) {
  return detail::make_map<detail::Silu>(std::forward<A>(a));
}
/// log(1 + e^x).
template <detail::Operand A>
constexpr auto softplus(A&& a) {
  return detail::make_map<detail::Softplus>(std::forward<A>(a));
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora
