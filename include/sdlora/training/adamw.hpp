#pragma once

#include "../adapters/parameter_store.hpp"
#include "../tensor/device.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/host_copy.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/simd.hpp"
#include "../tensor/workspace.hpp"
#include "detail/adamw_kernels.hpp"
#include "detail/adamw_update.hpp"

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
template <class T, class D = Cpu>
class AdamW {
 public:
  /// Throws ArgumentError where a group names a site that the store has no parameter of or that another
  /// group names, or has a rate factor or a decay that makes no sense.
  explicit AdamW(const ParameterStore<T, D>& store, AdamWOptions options = {})
      : options_(std::move(options)), first_(store.size()), second_(store.size()) {
    Storage<T, D>::zero(first_.data(), store.size());
    Storage<T, D>::zero(second_.data(), store.size());
    for (const ParameterGroup& group : options_.groups) require_group(store, group);
    for (const ParameterInfo& entry : store.entries()) {
      Range range{entry.offset, entry.size(), entry.rate_factor, entry.decay ? options_.weight_decay : 0.0};
      for (const ParameterGroup& group : options_.groups) {
        if (group.site != entry.site) continue;
        range.rate_factor = entry.rate_factor * group.rate_factor;
        if (group.weight_decay >= 0.0) range.decay = group.weight_decay;
      }
      ranges_.push_back(range);
    }
  }

  /// One update of the store's values from its gradients. Throws ShapeError where the store is of another
  /// size than the one that this was made for.
  void step(ParameterStore<T, D>& store, double learning_rate) {
    require_size(store);
    ++steps_;
    const double correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(steps_));
    const double correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(steps_));
    T* values = store.value_row().data;
    const T* gradients = std::as_const(store).gradient_row().data;
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
      if constexpr (is_host<D>) {
        constexpr std::size_t block = 1 << 14;
        parallel_for(detail::ceil_div(range.size, block), [&](std::size_t task) {
          const std::size_t first = range.offset + task * block;
          const std::size_t count = std::min(block, range.offset + range.size - first);
          detail::adamw_update(values + first, first_.data() + first, second_.data() + first,
                               gradients + first, count, factors);
        });
      } else {
        Launcher<D> launcher("AdamW");
        detail::run_adamw(launcher, values + range.offset, first_.data() + range.offset,
                          second_.data() + range.offset, gradients + range.offset, range.size, factors);
      }
    }
  }

  /// Throws ShapeError unless the store has as many values as the one that this was made for.
  void require_size(const ParameterStore<T, D>& store) const {
    if (store.size() == first_.capacity()) return;
    throw ShapeError("AdamW: expected the store of " + std::to_string(first_.capacity()) +
                     " values that it was made for, found one of " + std::to_string(store.size()) +
                     "; make an optimizer for each model");
  }

  std::uint64_t steps() const { return steps_; }
  /// (1, size), beside the store's values.
  MatrixView<const T, D> first_moments() const { return {first_.data(), 1, first_.capacity()}; }
  MatrixView<const T, D> second_moments() const { return {second_.data(), 1, second_.capacity()}; }

  /// Continues from moments saved after `steps` steps. Throws ShapeError where sizes differ.
  void restore(std::span<const T> first, std::span<const T> second, std::uint64_t steps) {
    if (first.size() != first_.capacity() || second.size() != second_.capacity()) {
      throw ShapeError("AdamW: expected moments of " + std::to_string(first_.capacity()) + " values, found " +
                       std::to_string(first.size()) + " and " + std::to_string(second.size()) +
                       "; the checkpoint belongs to another placement");
    }
    Storage<T, D>::write(first_.data(), first.data(), first.size());
    Storage<T, D>::write(second_.data(), second.data(), second.size());
    steps_ = steps;
  }

 private:
  struct Range {
    std::size_t offset;
    std::size_t size;
    double rate_factor;
    double decay;
  };

  void require_group(const ParameterStore<T, D>& store, const ParameterGroup& group) const {
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
  Storage<T, D> first_;
  Storage<T, D> second_;
  std::uint64_t steps_ = 0;
};

namespace detail {

/// Σ x², in an order that depends on the number of values alone.
template <class T>
double sum_of_squares_of(MatrixView<const T> row) {
  const std::span<const T> values(row.data, row.cols);
  std::array<double, 64> parts{};
  const std::size_t block = detail::ceil_div(values.size(), parts.size());
  parallel_for(parts.size(), [&](std::size_t task) {
    constexpr std::size_t lanes = 8;
    double sums[lanes] = {};
    const std::size_t last = std::min(values.size(), (task + 1) * block);
    std::size_t i = task * block;
    for (; i + lanes <= last; i += lanes) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const auto g = static_cast<double>(values[i + lane]);
        sums[lane] += g * g;
      }
    }
    for (; i < last; ++i) sums[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    for (const double sum : sums) parts[task] += sum;
  });
  double sum = 0.0;
  for (const double part : parts) sum += part;
  return sum;
}
template <class D>
  requires(!is_host<D>)
double sum_of_squares_of(MatrixView<const float, D> row) {
  if (row.cols == 0) return 0.0;
  WorkspaceOn<D>& workspace = thread_workspace<D>();
  const WorkspaceScope scope(workspace);
  const MatrixView<float, D> parts = workspace.template matrix<float>(1, sum_of_squares_parts(row.cols));
  Launcher<D> launcher("norm of the gradient");
  run_sum_of_squares(launcher, row.data, row.cols, parts.data);
  const HostCopy copy(parts);
  double sum = 0.0;
  for (const float part : copy.values()) sum += static_cast<double>(part);
  return sum;
}

}  // namespace detail

/// The Euclidean norm of all gradients, summed in an order that depends on their number alone.
template <class T, class D>
double gradient_norm(const ParameterStore<T, D>& store) {
  return std::sqrt(detail::sum_of_squares_of(store.gradient_row()));
}

/// Scales the gradients down to norm `limit` if theirs exceeds it (0: never); returns the norm
/// before. As torch.nn.utils.clip_grad_norm_.
template <class T, class D>
double clip_gradients(ParameterStore<T, D>& store, double limit) {
  const double norm = gradient_norm(store);
  const double factor = limit / (norm + 1e-6);
  if (limit > 0.0 && factor < 1.0) assign<AssignMode::Multiply>(store.gradient_row(), factor);
  return norm;
}

}  // namespace sdlora
