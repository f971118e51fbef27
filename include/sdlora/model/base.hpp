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
#include "../tensor/frozen_weight.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/parallel.hpp"
#include "../tensor/random.hpp"
#include "../tensor/weight.hpp"
#include "../tensor/workspace.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace sdlora {

/// Functions as one, which calls the one that takes what it is given: for `Base::visit`.
template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
/// Of these functions.
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

/// The pre-trained values of a Mamba language model, in the memory of a device. Built once, then immutable
/// and shared by every model on it, whatever its placement. The head is the embedding, or has values of its
/// own where the dimensions say so. The matrices of products (the embedding, the head, in_proj, x_proj,
/// dt_proj and out_proj) may be stored as bfloat16, in half the memory, or as int8 with a scale a row, in a
/// quarter; everything else is of T.
template <Config C, class T = float, class D = Cpu>
class Base {
  using Matrix = MatrixView<T, D>;
  using View = MatrixView<const T, D>;

  static_assert(detail::KernelSizes<C>::valid);

 public:
  /// Zeros of the given sizes, to be filled through `visit`. Throws ArgumentError where a size
  /// contradicts the configuration's type or `weights` is not beside T, ShapeError where no memory can hold
  /// them.
  explicit Base(const MambaDimensions& m, StoredType weights = StoredType::Scalar)
      : m_(m), weights_(weights) {
    if (weights != StoredType::Scalar && !FrozenWeight<T, D>::has_choice) {
      throw ArgumentError("Base: expected weights that are stored as double beside double, found " +
                          std::string(stored_type_name(weights)) + "; take a Base of float");
    }
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
    frozen_layers_.resize(m.n_layer);
    A_.resize(m.n_layer);
    std::size_t count = 0, narrow = 0;
    lay_out([&](Matrix&, auto& frozen, SiteShape shape) {
      if (is_narrow(frozen)) {
        narrow += narrow_bytes(shape);
        detail::checked_bytes(narrow, 1, "Base");
      } else {
        count += padded<T>(shape);
        detail::checked_bytes(count, sizeof(T), "Base");
      }
    });
    memory_ = Storage<T, D>(count);
    Storage<T, D>::zero(memory_.data(), count);
    narrow_ = Storage<std::byte, D>(narrow);
    Storage<std::byte, D>::zero(narrow_.data(), narrow);
    T* next = memory_.data();
    std::byte* next_narrow = narrow_.data();
    lay_out([&](Matrix& view, auto& frozen, SiteShape shape) {
      if constexpr (std::is_same_v<decltype(frozen), FrozenWeight<T, D>&> && FrozenWeight<T, D>::has_choice) {
        if (is_narrow(frozen)) {
          frozen = narrow_at<std::remove_reference_t<decltype(frozen)>>(next_narrow, shape);
          next_narrow += narrow_bytes(shape);
          return;
        }
      }
      view = {next, shape.rows, shape.cols};
      frozen = view;
      next += padded<T>(shape);
    });
  }

  Base(const Base& other) : Base(other.m_, other.weights_) {
    Storage<T, D>::copy(memory_.data(), other.memory_.data(), memory_.capacity());
    Storage<std::byte, D>::copy(narrow_.data(), other.narrow_.data(), narrow_.capacity());
  }
  /// A copy on this device of what lies on the host.
  explicit Base(const Base<C, T>& other)
    requires(!is_host<D>)
      : Base(other.m_, other.weights_) {
    Storage<T, D>::write(memory_.data(), other.memory_.data(), memory_.capacity());
    Storage<std::byte, D>::write(narrow_.data(), other.narrow_.data(), narrow_.capacity());
  }
  Base(Base&&) = default;
  Base& operator=(const Base&) = delete;

  /// A copy in host memory.
  Base<C, T> on_host() const {
    Base<C, T> result(m_, weights_);
    Storage<T, D>::read(result.memory_.data(), memory_.data(), memory_.capacity());
    Storage<std::byte, D>::read(result.narrow_.data(), narrow_.data(), narrow_.capacity());
    return result;
  }

  /// A copy whose matrices are stored otherwise: as bfloat16, each value rounded once (to nearest, ties to
  /// even), as int8 with a scale a row (`store_values` says how), or as T, widened. Throws ArgumentError
  /// where int8 is asked for and a value is not finite.
  Base stored_as(StoredType weights) const {
    if (weights == weights_) return Base(*this);
    if constexpr (!is_host<D>) {
      return Base(on_host().stored_as(weights));
    } else {
      Base result(m_, weights);
      for_each_tensor<const T, D>(
          m_,
          [&](const auto& line) {
            copy_values(result.frozen_model_.*line.member, frozen_model_.*line.member);
          },
          [&](const auto& line, std::size_t l) {
            copy_values(result.frozen_layers_[l].*line.member, frozen_layers_[l].*line.member);
          });
      result.finish();
      return result;
    }
  }

  /// Random values as a model starts its pre-training (Mamba's published initialisation).
  static Base random(const MambaDimensions& m, std::uint64_t seed);

  const MambaDimensions& dimensions() const { return m_; }
  /// How the matrices of products are stored.
  StoredType weights() const { return weights_; }
  /// The memory that all values take.
  std::size_t bytes() const { return memory_.capacity() * sizeof(T) + narrow_.capacity(); }
  FrozenWeight<T, D> embedding() const { return frozen_model_.embedding; }  // (V, d)
  View norm_f() const { return model_.norm_f; }                             // (1, d)
  FrozenWeight<T, D> head() const {                                         // (V, d)
    return m_.tied_head ? frozen_model_.embedding : frozen_model_.head;
  }
  /// The values above the blocks; its head is empty where that is the embedding.
  const ModelWeights<const T, D>& model() const { return frozen_model_; }
  const MambaWeights<const T, D>& layer(std::size_t l) const { return frozen_layers_[l]; }
  /// −exp(A_log), (E, N): what the scan reads.
  View A(std::size_t l) const { return A_[l]; }

  // To be changed. These throw ArgumentError unless all values are of T; others change through `visit`.
  Matrix embedding() { return changeable().model_.embedding; }
  Matrix norm_f() { return model_.norm_f; }
  Matrix head() { return m_.tied_head ? changeable().model_.embedding : changeable().model_.head; }
  const ModelWeights<T, D>& model() { return changeable().model_; }
  const MambaWeights<T, D>& layer(std::size_t l) { return changeable().layers_[l]; }

  /// Calls f(name, values, shape) for every tensor of the checkpoint, with Hugging Face's names. The values
  /// are a MatrixView of what is stored, T or BFloat16; matrices of std::int8_t come with their rows' scales
  /// (1, rows), as f(name, values, scales, shape). Throws ArgumentError where f does not take that.
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

  /// The memory of so many values, in whole lines.
  template <class Stored>
  static std::size_t padded(SiteShape shape) {
    const std::size_t count =
        detail::checked_size(Extents<dyn, dyn>(shape.rows, shape.cols), sizeof(Stored), "Base");
    return detail::round_up(count, alignment / sizeof(Stored));
  }

  Base& changeable() {
    if (weights_ == StoredType::Scalar) return *this;
    throw ArgumentError(
        "Base: expected matrices of the models' scalar to change, found " +
        std::string(stored_type_name(weights_)) +
        "; change a copy, stored_as(StoredType::Scalar), or read this one through std::as_const");
  }

  /// Whether what the table holds there is a matrix that is not stored as T.
  bool is_narrow(const FrozenWeight<T, D>&) const { return weights_ != StoredType::Scalar; }
  static constexpr bool is_narrow(const View&) { return false; }

  /// The memory of a matrix that is not stored as T: its values, then the scales of its rows.
  std::size_t narrow_bytes(SiteShape shape) const {
    if (weights_ == StoredType::BFloat16) return padded<BFloat16>(shape) * sizeof(BFloat16);
    return padded<std::int8_t>(shape) + padded<float>({1, shape.rows}) * sizeof(float);
  }
  /// A matrix in such memory. `Narrow` is FrozenWeight<T, D>.
  template <class Narrow>
  Narrow narrow_at(std::byte* memory, SiteShape shape) const {
    if (weights_ == StoredType::BFloat16)
      return MatrixView<BFloat16, D>(reinterpret_cast<BFloat16*>(memory), shape.rows, shape.cols);
    const auto* scales = reinterpret_cast<const float*>(memory + padded<std::int8_t>(shape));
    return {MatrixView<std::int8_t, D>(reinterpret_cast<std::int8_t*>(memory), shape.rows, shape.cols),
            MatrixView<const float, D>(scales, 1, shape.rows)};
  }

  /// f(the values as they are stored, to be changed), which lie in this base's own memory; of int8 also the
  /// rows' scales.
  template <class Function>
  static void as_stored(const View& values, const Function& f) {
    f(Matrix(const_cast<T*>(values.data), values.rows, values.cols, values.stride));
  }
  template <class Function>
  static void as_stored(const FrozenWeight<T, D>& weight, const Function& f) {
    weight.visit([&](const auto& w) {
      const auto values = w.stored();
      using Stored = typename std::remove_cvref_t<decltype(values)>::value_type;
      const MatrixView<Stored, D> changed(const_cast<Stored*>(values.data), w.rows, w.cols, w.stride);
      if constexpr (std::is_same_v<Stored, std::int8_t>) {
        f(changed, MatrixView<float, D>(const_cast<float*>(w.scales), 1, w.rows));
      } else {
        f(changed);
      }
    });
  }

  /// to = from; matrices are rounded to what they are stored as.
  static void copy_values(const View& to, const View& from) {
    as_stored(to, [&](Matrix out) { assign(out, from); });
  }
  static void copy_values(const FrozenWeight<T, D>& to, const FrozenWeight<T, D>& from) {
    for_row_blocks(from, thread_workspace<D>(), [&](std::size_t first, View values) {
      as_stored(to.rows_from(first, values.rows), [&](auto out, auto... scales) {
        if constexpr (std::is_same_v<typename decltype(out)::value_type, T>) {
          assign(out, values);
        } else {
          store_values(out, std::span<float>(scales.data, scales.cols)..., values);
        }
      });
    });
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

  /// Calls f(view, what is read of it, shape) for all values in their order in memory.
  template <class Function>
  void lay_out(const Function& f) {
    const auto add = [&]<class... Lines, class... FrozenLines>(
                         const std::tuple<Lines...>& table, auto& weights,
                         const std::tuple<FrozenLines...>& frozen_table, auto& frozen) {
      const auto one = [&](const auto& line, const auto& frozen_line) {
        if (line.facts.exists(m_)) f(weights.*line.member, frozen.*frozen_line.member, line.facts.shape(m_));
      };
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        (one(std::get<I>(table), std::get<I>(frozen_table)), ...);
      }(std::index_sequence_for<Lines...>{});
    };
    // The embedding, the blocks, each with its A, and what comes behind them.
    const auto& [embedding, norm_f, head] = model_tensors<MambaDimensions, ModelWeights<T, D>>;
    const auto& [frozen_embedding, frozen_norm_f, frozen_head] =
        model_tensors<MambaDimensions, ModelWeights<const T, D>>;
    add(std::tuple{embedding}, model_, std::tuple{frozen_embedding}, frozen_model_);
    for (std::size_t l = 0; l < m_.n_layer; ++l) {
      add(mamba_tensors<MambaWeights<T, D>>, layers_[l], mamba_tensors<MambaWeights<const T, D>>,
          frozen_layers_[l]);
      View A;
      f(A_[l], A, SiteShape{m_.d_inner, m_.d_state});
    }
    add(std::tuple{norm_f, head}, model_, std::tuple{frozen_norm_f, frozen_head}, frozen_model_);
  }

  template <class Self, class Function>
  static void visit_as(Self& self, const Function& f) {
    const MambaDimensions& m = self.m_;
    const auto pass_on = [&](const std::string& name, const auto& values, const auto& shape) {
      as_stored(values, [&](auto stored, auto... scales) {
        const auto element = []<class E>(MatrixView<E, D> view) {
          using Element = std::conditional_t<std::is_const_v<Self>, const E, E>;
          return MatrixView<Element, D>(view);
        };
        using Shape = const std::vector<std::size_t>&;
        if constexpr (std::is_invocable_v<const Function&, const std::string&, decltype(element(stored)),
                                          decltype(element(scales))..., Shape>) {
          f(name, element(stored), element(scales)..., shape);
        } else {
          using Stored = typename decltype(stored)::value_type;
          throw ArgumentError(
              "Base::visit: " + name + " is stored as " +
              std::string(stored_type_name(sizeof(Stored) == 1 ? StoredType::Int8 : StoredType::BFloat16)) +
              ", and the function given takes other values only; let it take " +
              (sizeof(Stored) == 1
                   ? "MatrixView of std::int8_t and of the scales, as f(name, values, scales, "
                     "shape)"
                   : "MatrixView of BFloat16") +
              ", too, or visit stored_as(StoredType::Scalar)");
        }
      });
    };
    for_each_tensor<const T, D>(
        m,
        [&](const auto& line) {
          pass_on(std::string(line.facts.key), self.frozen_model_.*line.member, line.facts.stored_shape(m));
        },
        [&](const auto& line, std::size_t l) {
          pass_on(layer_key(l, line.facts.key), self.frozen_layers_[l].*line.member,
                  line.facts.stored_shape(m));
        });
  }

  MambaDimensions m_;
  StoredType weights_;
  Storage<T, D> memory_;
  Storage<std::byte, D> narrow_;  // the matrices, where they are not stored as T
  // What can be changed as T, and all to be read.
  ModelWeights<T, D> model_;
  std::vector<MambaWeights<T, D>> layers_;
  ModelWeights<const T, D> frozen_model_;
  std::vector<MambaWeights<const T, D>> frozen_layers_;
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
