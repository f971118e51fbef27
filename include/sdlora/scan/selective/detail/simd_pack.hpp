#pragma once

#include "../../../tensor/simd.hpp"

#include <cstddef>
#include <utility>

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// Several batches that take every step of a computation together. The elementary functions are long
/// chains of dependent operations; with a few of them in step, each waits less for the one before.
template <class V, std::size_t Count>
struct Pack {
  V part[Count];

  struct Parts {};
  Pack() = default;
  template <class... Values>
  SDLORA_INLINED Pack(Parts, const Values&... values) : part{values...} {}
  SDLORA_INLINED explicit Pack(SimdValue<V> value)
      : Pack(each([&](std::size_t) SDLORA_INLINED { return V(value); })) {}

  /// The pack of f(0) … f(Count − 1). Written out rather than a loop: only then is it kept in registers.
  template <class F>
  SDLORA_INLINED static Pack each(const F& f) {
    return [&]<std::size_t... I>(std::index_sequence<I...>)
               SDLORA_INLINED { return Pack(Parts{}, f(I)...); }(std::make_index_sequence<Count>{});
  }

  SDLORA_INLINED friend Pack operator+(const Pack& a, const Pack& b) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] + b.part[i]); });
  }
  SDLORA_INLINED friend Pack operator-(const Pack& a, const Pack& b) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] - b.part[i]); });
  }
  SDLORA_INLINED friend Pack operator*(const Pack& a, const Pack& b) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] * b.part[i]); });
  }
  SDLORA_INLINED friend Pack operator/(const Pack& a, const Pack& b) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] / b.part[i]); });
  }
  SDLORA_INLINED friend Pack operator&(const Pack& a, const Pack& b) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] & b.part[i]); });
  }
  SDLORA_INLINED friend Pack operator|(const Pack& a, const Pack& b) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] | b.part[i]); });
  }
  SDLORA_INLINED friend Pack operator<<(const Pack& a, int bits) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] << bits); });
  }
  SDLORA_INLINED friend Pack operator>>(const Pack& a, int bits) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(a.part[i] >> bits); });
  }
  SDLORA_INLINED friend Pack operator-(const Pack& a) {
    return each([&](std::size_t i) SDLORA_INLINED { return V(-a.part[i]); });
  }

  /// a < b, still to be used by `choose`.
  struct Less {
    Pack a, b;
  };
  SDLORA_INLINED friend Less operator<(const Pack& a, const Pack& b) { return {a, b}; }
};

template <class V, std::size_t Count>
struct SimdTraits<Pack<V, Count>> {
  using Value = SimdValue<V>;
  using Bits = Pack<SimdBits<V>, Count>;
};

template <class V, std::size_t Count>
SDLORA_INLINED inline Pack<V, Count> fused_multiply_add(Pack<V, Count> a, Pack<V, Count> b,
                                                        Pack<V, Count> c) {
  return Pack<V, Count>::each(
      [&](std::size_t i) SDLORA_INLINED { return fused_multiply_add(a.part[i], b.part[i], c.part[i]); });
}
template <class V, std::size_t Count>
SDLORA_INLINED inline Pack<V, Count> lesser(Pack<V, Count> a, Pack<V, Count> b) {
  return Pack<V, Count>::each([&](std::size_t i) SDLORA_INLINED { return lesser(a.part[i], b.part[i]); });
}
template <class V, std::size_t Count>
SDLORA_INLINED inline Pack<V, Count> greater(Pack<V, Count> a, Pack<V, Count> b) {
  return Pack<V, Count>::each([&](std::size_t i) SDLORA_INLINED { return greater(a.part[i], b.part[i]); });
}
template <class V, std::size_t Count>
SDLORA_INLINED inline Pack<V, Count> negative_absolute(Pack<V, Count> x) {
  return Pack<V, Count>::each([&](std::size_t i) SDLORA_INLINED { return negative_absolute(x.part[i]); });
}
template <class V, std::size_t Count>
SDLORA_INLINED inline Pack<V, Count> choose(const typename Pack<V, Count>::Less& less, Pack<V, Count> yes,
                                            Pack<V, Count> no) {
  return Pack<V, Count>::each([&](std::size_t i) SDLORA_INLINED {
    return choose(less.a.part[i] < less.b.part[i], yes.part[i], no.part[i]);
  });
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
