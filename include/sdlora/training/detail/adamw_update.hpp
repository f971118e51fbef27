#pragma once

#include "../../tensor/simd.hpp"

#include <cmath>

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// The constants of one update, of a scalar or a batch.
template <class V>
struct AdamWFactors {
  V beta1, beta2, rest1, rest2, keep, scale, root, epsilon;
};

template <class V>
void adamw_update(V& value, V& first, V& second, V g, const AdamWFactors<V>& f) {
  using std::sqrt;
  using xsimd::sqrt;
  first = fused_multiply_add(f.beta1, first, f.rest1 * g);
  second = fused_multiply_add(f.beta2, second, f.rest2 * (g * g));
  value = f.keep * value - f.scale * first / fused_multiply_add(V(sqrt(second)), f.root, f.epsilon);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
