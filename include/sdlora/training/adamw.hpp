#pragma once

#include "../adapters/parameter_store.hpp"
#include "../tensor/parallel.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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

/// AdamW (Loshchilov and Hutter, arXiv 1711.05101): Adam with decay decoupled from the gradient.
/// Moments exist only for what learns; the update is the same for any number of threads.
template <class T>
class AdamW {
 public:
  explicit AdamW(const ParameterStore<T>& store, AdamWOptions options = {})
      : options_(std::move(options)), first_(store.size(), T(0)), second_(store.size(), T(0)) {
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

  /// One update of the store's values from its gradients.
  void step(ParameterStore<T>& store, double learning_rate) {
    ++steps_;
    const double correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(steps_));
    const double correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(steps_));
    T* values = store.values().data();
    const T* gradients = store.gradients().data();
    const T beta1 = static_cast<T>(options_.beta1);
    const T beta2 = static_cast<T>(options_.beta2);
    const T epsilon = static_cast<T>(options_.epsilon);
    const T root = static_cast<T>(1.0 / std::sqrt(correction2));
    for (const Range& range : ranges_) {
      const double rate = learning_rate * range.rate_factor;
      const T keep = static_cast<T>(1.0 - rate * range.decay);
      const T scale = static_cast<T>(rate / correction1);
      constexpr std::size_t block = 1 << 14;
      parallel_for((range.size + block - 1) / block, [&](std::size_t task) {
        const std::size_t last = std::min(range.offset + range.size, range.offset + (task + 1) * block);
        for (std::size_t i = range.offset + task * block; i < last; ++i) {
          const T g = gradients[i];
          first_[i] = beta1 * first_[i] + (T(1) - beta1) * g;
          second_[i] = beta2 * second_[i] + (T(1) - beta2) * g * g;
          values[i] = keep * values[i] - scale * first_[i] / (std::sqrt(second_[i]) * root + epsilon);
        }
      });
    }
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
  AdamWOptions options_;
  std::vector<Range> ranges_;
  std::vector<T> first_;
  std::vector<T> second_;
  std::uint64_t steps_ = 0;
};

/// The Euclidean norm of all gradients, summed in a fixed order.
template <class T>
double gradient_norm(const ParameterStore<T>& store) {
  double sum = 0.0;
  for (const T g : store.gradients()) sum += static_cast<double>(g) * static_cast<double>(g);
  return std::sqrt(sum);
}

/// Scales the gradients down to `limit` if their norm exceeds it; returns the norm before.
/// As torch.nn.utils.clip_grad_norm_.
template <class T>
double clip_gradients(ParameterStore<T>& store, double limit) {
  const double norm = gradient_norm(store);
  if (limit > 0.0 && norm > limit) {
    const T factor = static_cast<T>(limit / (norm + 1e-6));
    for (T& g : store.gradients()) g *= factor;
  }
  return norm;
}

}  // namespace sdlora
