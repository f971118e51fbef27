#pragma once

#include "../adapters/parameter_store.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/simd.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// Overrides for the parameters of one site, e.g. a higher rate for A_log.
struct ParameterGroup {
  std::string site;            ///< a site's name, as "A_log"
  double rate_factor = 1.0;    ///< times the learning rate
  double weight_decay = -1.0;  ///< instead of the common one; negative: keep that
};

/// Settings of AdamW. Decay never touches A_log, D, h0, biases and norms unless a group says so.
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  std::vector<ParameterGroup> groups = {};
};

namespace detail {
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

template <class T>
void adamw_update(T* values, T* first, T* second, const T* gradients, std::size_t count,
                  const AdamWFactors<T>& f) {
  using V = Simd<T>;
  const AdamWFactors<V> wide{V(f.beta1), V(f.beta2), V(f.rest1), V(f.rest2),
                             V(f.keep),  V(f.scale), V(f.root),  V(f.epsilon)};
  std::size_t i = 0;
  for (; i + simd_width<T> <= count; i += simd_width<T>) {
    V value = V::load_unaligned(values + i);
    V m = V::load_unaligned(first + i);
    V v = V::load_unaligned(second + i);
    adamw_update(value, m, v, V::load_unaligned(gradients + i), wide);
    value.store_unaligned(values + i);
    m.store_unaligned(first + i);
    v.store_unaligned(second + i);
  }
  for (; i < count; ++i) adamw_update(values[i], first[i], second[i], gradients[i], f);
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101): Adam with decay decoupled from the gradient.
/// The update is that of torch.optim.AdamW. Moments exist only for what learns; the result is the
/// same for any number of threads.
template <class T>
class AdamW {
 public:
  /// Throws ArgumentError where a group names a site that the store has no parameter of or that another
  /// group names, or has a rate factor or a decay that makes no sense.
  explicit AdamW(const ParameterStore<T>& store, AdamWOptions options = {})
      : options_(std::move(options)), first_(store.size(), T(0)), second_(store.size(), T(0)) {
    for (const ParameterGroup& group : options_.groups) require_group(store, group);
    for (const ParameterInfo& entry : store.entries()) {
      Range range{entry.offset, entry.size(), 1.0, entry.decay ? options_.weight_decay : 0.0};
      for (const ParameterGroup& group : options_.groups) {
        if (group.site != entry.site) continue;
        range.rate_factor = group.rate_factor;
        if (group.weight_decay >= 0.0) range.decay = group.weight_decay;
      }
      ranges_.push_back(range);
    }
  }

  /// One update of the store's values from its gradients. Throws ShapeError where the store is of another
  /// size than the one that this was made for.
  void step(ParameterStore<T>& store, double learning_rate) {
    require_size(store);
    ++steps_;
    const double correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(steps_));
    const double correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(steps_));
    T* values = store.values().data();
    const T* gradients = store.gradients().data();
    for (const Range& range : ranges_) {
      const double rate = learning_rate * range.rate_factor;
      const detail::AdamWFactors<T> factors{static_cast<T>(options_.beta1),
                                            static_cast<T>(options_.beta2),
                                            static_cast<T>(1.0 - options_.beta1),
                                            static_cast<T>(1.0 - options_.beta2),
                                            static_cast<T>(1.0 - rate * range.decay),
                                            static_cast<T>(rate / correction1),
                                            static_cast<T>(1.0 / std::sqrt(correction2)),
                                            static_cast<T>(options_.epsilon)};
      constexpr std::size_t block = 1 << 14;
      parallel_for(detail::ceil_div(range.size, block), [&](std::size_t task) {
        const std::size_t first = range.offset + task * block;
        const std::size_t count = std::min(block, range.offset + range.size - first);
        detail::adamw_update(values + first, first_.data() + first, second_.data() + first, gradients + first,
                             count, factors);
      });
    }
  }

  /// Throws ShapeError unless the store has as many values as the one that this was made for.
  void require_size(const ParameterStore<T>& store) const {
    if (store.size() == first_.size()) return;
    throw ShapeError("AdamW: expected the store of " + std::to_string(first_.size()) +
                     " values that it was made for, found one of " + std::to_string(store.size()) +
                     "; make an optimizer for each model");
  }

  std::uint64_t steps() const { return steps_; }
  std::span<const T> first_moments() const { return first_; }
  std::span<const T> second_moments() const { return second_; }

  /// Continues from moments saved after `steps` steps. Throws ShapeError where sizes differ.
  void restore(std::span<const T> first, std::span<const T> second, std::uint64_t steps) {
    if (first.size() != first_.size() || second.size() != second_.size()) {
      throw ShapeError("AdamW: expected moments of " + std::to_string(first_.size()) + " values, found " +
                       std::to_string(first.size()) + " and " + std::to_string(second.size()) +
                       "; the checkpoint belongs to another placement");
    }
    first_.assign(first.begin(), first.end());
    second_.assign(second.begin(), second.end());
    steps_ = steps;
  }

 private:
  struct Range {
    std::size_t offset;
    std::size_t size;
    double rate_factor;
    double decay;
  };

  void require_group(const ParameterStore<T>& store, const ParameterGroup& group) const {
    const auto require = [&](bool good, const std::string& what) {
      if (!good) throw ArgumentError("AdamW: the parameter group of site '" + group.site + "': " + what);
    };
    const auto here = [&](const auto& named) { return named.site == group.site; };
    require(std::any_of(store.entries().begin(), store.entries().end(), here),
            "nothing of this site learns in this model; check the site's name or remove the group");
    require(std::count_if(options_.groups.begin(), options_.groups.end(), here) == 1,
            "another group is of the same site; give one for each");
    require(std::isfinite(group.rate_factor) && group.rate_factor >= 0.0,
            "expected a rate factor of at least 0, found " + std::to_string(group.rate_factor) +
                "; the learning rate is multiplied by it");
    require(std::isfinite(group.weight_decay), "expected a finite weight decay, found " +
                                                   std::to_string(group.weight_decay) +
                                                   "; a negative one keeps that of all parameters");
  }

  AdamWOptions options_;
  std::vector<Range> ranges_;
  std::vector<T> first_;
  std::vector<T> second_;
  std::uint64_t steps_ = 0;
};

/// The Euclidean norm of all gradients, summed in an order that depends on their number alone.
template <class T>
double gradient_norm(const ParameterStore<T>& store) {
  const std::span<const T> gradients = store.gradients();
  std::array<double, 64> parts{};
  const std::size_t block = detail::ceil_div(gradients.size(), parts.size());
  parallel_for(parts.size(), [&](std::size_t task) {
    constexpr std::size_t lanes = 8;
    double sums[lanes] = {};
    const std::size_t last = std::min(gradients.size(), (task + 1) * block);
    std::size_t i = task * block;
    for (; i + lanes <= last; i += lanes) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const auto g = static_cast<double>(gradients[i + lane]);
        sums[lane] += g * g;
      }
    }
    for (; i < last; ++i) sums[0] += static_cast<double>(gradients[i]) * static_cast<double>(gradients[i]);
    for (const double sum : sums) parts[task] += sum;
  });
  double sum = 0.0;
  for (const double part : parts) sum += part;
  return std::sqrt(sum);
}

/// Scales the gradients down to norm `limit` if theirs exceeds it (0: never); returns the norm
/// before. As torch.nn.utils.clip_grad_norm_.
template <class T>
double clip_gradients(ParameterStore<T>& store, double limit) {
  const double norm = gradient_norm(store);
  const double factor = limit / (norm + 1e-6);
  if (limit > 0.0 && factor < 1.0) {
    const std::span<T> gradients = store.gradients();
    constexpr std::size_t block = 1 << 16;
    parallel_for(detail::ceil_div(gradients.size(), block), [&](std::size_t task) {
      const std::size_t last = std::min(gradients.size(), (task + 1) * block);
      for (std::size_t i = task * block; i < last; ++i) gradients[i] *= static_cast<T>(factor);
    });
  }
  return norm;
}

}  // namespace sdlora
