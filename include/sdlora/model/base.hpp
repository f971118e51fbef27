#pragma once

#include "../error.hpp"
#include "../layers/mamba/config.hpp"
#include "../layers/mamba/tensors.hpp"
#include "../layers/mamba/weights.hpp"
#include "../layers/model_tensors.hpp"
#include "../layers/tensor_table.hpp"
#include "../tensor/device.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/random.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace sdlora {

/// The pre-trained values of a Mamba language model, in the memory of a device. Built once, then immutable
/// and shared by every model on it, whatever its placement. The head is the embedding, or has values of its
/// own where the dimensions say so.
template <Config C, class T = float, class D = Cpu>
class Base {
  using Matrix = MatrixView<T, D>;
  using View = MatrixView<const T, D>;

  static_assert(detail::KernelSizes<C>::known);

 public:
  /// Zeros of the given sizes, to be filled through `visit`. Throws ArgumentError where a size
  /// contradicts the configuration's type, ShapeError where no memory can hold them.
  explicit Base(const MambaDimensions& m) : m_(m) {
    require("d_model", C::config.d_model, m.d_model);
    require("n_layer", C::config.n_layer, m.n_layer);
    require("vocab_size", C::config.vocab_size, m.vocab_size);
    if (C::config.dt_rank != 0) require("dt_rank", C::config.dt_rank, m.dt_rank);
    require("d_state", C::config.d_state, m.d_state);
    require("d_conv", C::config.d_conv, m.d_conv);
    if (C::config.expand != dyn) require("expand · d_model", C::config.expand * m.d_model, m.d_inner);
    require_kernel_sizes(m);
    require_mixer_norms(m.mixer_norm_epsilon);
    detail::checked_bytes(m.n_layer, sizeof(MambaWeights<T, D>), "Base");
    layers_.resize(m.n_layer);
    A_.resize(m.n_layer);
    std::size_t count = 0;
    lay_out([&](Matrix&, SiteShape shape) {
      count += padded(detail::checked_size(Extents<dyn, dyn>(shape.rows, shape.cols), sizeof(T), "Base"));
      detail::checked_bytes(count, sizeof(T), "Base");
    });
    memory_ = Storage<T, D>(count);
    T* next = memory_.data();
    Storage<T, D>::zero(next, count);
    lay_out([&](Matrix& view, SiteShape shape) {
      view = {next, shape.rows, shape.cols};
      next += padded(shape.size());
    });
  }

  Base(const Base& other) : Base(other.m_) {
    Storage<T, D>::copy(memory_.data(), other.memory_.data(), memory_.capacity());
  }
  /// A copy on this device of what lies on the host.
  explicit Base(const Base<C, T>& other)
    requires(!is_host<D>)
      : Base(other.m_) {
    Storage<T, D>::write(memory_.data(), other.memory_.data(), memory_.capacity());
  }
  Base(Base&&) = default;
  Base& operator=(const Base&) = delete;

  /// A copy in host memory.
  Base<C, T> on_host() const {
    Base<C, T> result(m_);
    Storage<T, D>::read(result.memory_.data(), memory_.data(), memory_.capacity());
    return result;
  }

  /// Random values as a model starts its pre-training (Mamba's published initialisation).
  static Base random(const MambaDimensions& m, std::uint64_t seed);

  const MambaDimensions& dimensions() const { return m_; }
  View embedding() const { return model_.embedding; }                          // (V, d)
  View norm_f() const { return model_.norm_f; }                                // (1, d)
  View head() const { return m_.tied_head ? model_.embedding : model_.head; }  // (V, d)
  ModelWeights<const T, D> model() const { return {model_.embedding, model_.norm_f, model_.head}; }
  MambaWeights<const T, D> layer(std::size_t l) const { return read_only(layers_[l]); }
  /// −exp(A_log), (E, N): what the scan reads.
  View A(std::size_t l) const { return A_[l]; }

  Matrix embedding() { return model_.embedding; }
  Matrix norm_f() { return model_.norm_f; }
  Matrix head() { return m_.tied_head ? model_.embedding : model_.head; }
  const ModelWeights<T, D>& model() { return model_; }
  const MambaWeights<T, D>& layer(std::size_t l) { return layers_[l]; }

  /// Calls f(name, values, shape) for every tensor of the checkpoint, with Hugging Face's names.
  template <class Function>
  void visit(const Function& f) {
    visit_as(*this, f);
  }
  template <class Function>
  void visit(const Function& f) const {
    visit_as(*this, f);
  }

  /// To be called after the values have been changed, before a model is built on them.
  void finish() {
    for (std::size_t l = 0; l < m_.n_layer; ++l) assign(A_[l], -exp(layers_[l].A_log));
  }

 private:
  template <Config, class, class>
  friend class Base;

  static std::size_t padded(std::size_t count) {
    constexpr std::size_t line = alignment / sizeof(T);
    return detail::round_up(count, line);
  }

  static void require(const char* name, std::size_t expected, std::size_t found) {
    if (expected != dyn && expected != found) {
      throw ArgumentError(
          std::string("Base: ") + name + " is " + std::to_string(expected) +
          " in the configuration's type but " + std::to_string(found) +
          " in the dimensions given; use the preset of this checkpoint, or presets::AnyMamba, "
          "which leaves all open");
    }
  }

  /// What the type asserts of sizes that it knows, of those that it leaves open.
  static void require_kernel_sizes(const MambaDimensions& m) {
    if (m.d_state == 0) {
      throw ArgumentError("Base: expected a d_state of at least 1, found 0; correct the dimensions");
    }
    if (C::config.d_conv == dyn && (m.d_conv < 2 || m.d_conv > 4)) {
      throw ArgumentError("Base: expected a d_conv of 2 to 4, as types take that leave it open, found " +
                          std::to_string(m.d_conv) + "; give d_conv in the configuration's type");
    }
  }

  static void require_mixer_norms(double epsilon) {
    if (!(epsilon >= 0.0 && epsilon < 1.0)) {
      throw ArgumentError("Base: expected mixer_norm_epsilon to be 0 or a small positive number, found " +
                          std::to_string(epsilon) + "; correct it");
    }
    constexpr double built = C::config.mixer_norm_epsilon;
    if (built == open_mixer_norm || (built > 0.0) == (epsilon > 0.0)) return;
    throw ArgumentError(
        std::string("Base: the configuration's type has ") + (built > 0.0 ? "norms" : "no norms") +
        " of dt, B and C (mixer_norm_epsilon), the dimensions given have " + (built > 0.0 ? "none" : "them") +
        "; use the preset of this checkpoint, or presets::AnyMamba, which takes both");
  }

  /// Calls f(view, shape) for all values in their order in memory.
  template <class Function>
  void lay_out(const Function& f) {
    const auto add = [&](const auto& table, auto& weights) {
      for_each_line(table, [&](const auto& line) {
        if (line.facts.exists(m_)) f(weights.*line.member, line.facts.shape(m_));
      });
    };
    // The embedding, the blocks, each with its A, and what comes behind them.
    const auto& [embedding, norm_f, head] = model_tensors<MambaDimensions, ModelWeights<T, D>>;
    add(std::tuple{embedding}, model_);
    for (std::size_t l = 0; l < m_.n_layer; ++l) {
      add(mamba_tensors<MambaWeights<T, D>>, layers_[l]);
      f(A_[l], SiteShape{m_.d_inner, m_.d_state});
    }
    add(std::tuple{norm_f, head}, model_);
  }

  template <class Self, class Function>
  static void visit_as(Self& self, const Function& f) {
    using Element = std::conditional_t<std::is_const_v<Self>, const T, T>;
    const MambaDimensions& m = self.m_;
    for_each_tensor<Element, D>(
        m,
        [&](const auto& line) {
          f(std::string(line.facts.key), self.model().*line.member, line.facts.stored_shape(m));
        },
        [&](const auto& line, std::size_t l) {
          f(layer_key(l, line.facts.key), self.layer(l).*line.member, line.facts.stored_shape(m));
        });
  }

  MambaDimensions m_;
  Storage<T, D> memory_;
  ModelWeights<T, D> model_;
  std::vector<MambaWeights<T, D>> layers_;
  std::vector<Matrix> A_;
};

template <Config C, class T, class D>
Base<C, T, D> Base<C, T, D>::random(const MambaDimensions& m, std::uint64_t seed) {
  if constexpr (!is_host<D>) {
    return Base(Base<C, T>::random(m, seed));
  } else {
    Base base(m);
    std::uint64_t stream = 0;
    const auto uniform = [&](MatrixView<T> values, double bound) {
      const RandomStream random(seed, ++stream);
      for (std::size_t i = 0; i < values.rows * values.cols; ++i) {
        values.data[i] = static_cast<T>(bound * (2.0 * random.uniform(i) - 1.0));
      }
    };
    const auto inverse_root = [](std::size_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); };
    const auto normal = [&](MatrixView<T> values) {
      const RandomStream random(seed, ++stream);
      for (std::size_t i = 0; i < values.rows * values.cols; ++i) {
        values.data[i] = static_cast<T>(0.02 * random.normal(i));
      }
    };
    normal(base.model_.embedding);
    for (const MambaWeights<T>& w : base.layers_) {
      std::fill_n(w.norm.data, m.d_model, T(1));
      uniform(w.in_proj, inverse_root(m.d_model));
      uniform(w.conv, inverse_root(m.d_conv));
      uniform(w.conv_bias, inverse_root(m.d_conv));
      uniform(w.x_proj, inverse_root(m.d_inner));
      uniform(w.dt_proj, inverse_root(m.dt_rank));
      // The residual stream's variance stays put as depth grows.
      uniform(w.out_proj, inverse_root(m.d_inner) * inverse_root(m.n_layer));
      const RandomStream random(seed, ++stream);
      for (std::size_t e = 0; e < m.d_inner; ++e) {
        // softplus(bias) is log-uniform in [1e-3, 1e-1].
        const double dt = std::max(1e-4, std::exp(std::log(1e-3) + random.uniform(e) * std::log(1e2)));
        w.dt_bias.data[e] = static_cast<T>(dt + std::log(-std::expm1(-dt)));
        w.D.data[e] = T(1);
        for (std::size_t n = 0; n < m.d_state; ++n)
          w.A_log(e, n) = static_cast<T>(std::log(static_cast<double>(n + 1)));
      }
    }
    std::fill_n(base.model_.norm_f.data, m.d_model, T(1));
    if (!m.tied_head) normal(base.model_.head);
    base.finish();
    return base;
  }
}

}  // namespace sdlora
