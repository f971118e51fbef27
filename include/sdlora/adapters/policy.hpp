#pragma once

#include "../tensor/evaluate.hpp"
#include "../tensor/matmul.hpp"
#include "../tensor/matrix_view.hpp"
#include "../tensor/workspace.hpp"
#include "options.hpp"
#include "parameter_store.hpp"
#include "selection.hpp"
#include "site.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sdlora {

/// Rows and columns of a site's values. For a linear site (outputs, inputs).
struct SiteShape {
  std::size_t rows = 0;
  std::size_t cols = 0;
  constexpr std::size_t size() const { return rows * cols; }
};

/// The sizes that a placement's types may leave open; a policy with static sizes ignores them.
struct AdapterSizes {
  std::size_t rank = 0;           ///< of LoRA
  std::size_t channels = 0;       ///< selected ones
  std::size_t states = 0;         ///< selected ones of each selected channel
  std::size_t prompt_length = 0;  ///< rows of a prompt or prefix
};

/// What a policy's state is told of the place that it sits in. What the two pointers lead to may move with
/// the model: a state copies what it needs of it.
template <class T, class Device = Cpu>
struct SitePlace {
  std::string name;                       ///< unique, as "layers.3.out_proj"
  std::string_view site;                  ///< as "out_proj"
  std::optional<std::size_t> layer = {};  ///< none: the site is the model's own, as the embedding
  bool active = true;                     ///< false outside of the site's layer range: nothing learns
  MatrixView<const T, Device> base = {};  ///< the pre-trained values; empty where a checkpoint has none
  SiteShape shape = {};
  bool decay = true;                        ///< whether weight decay applies to what learns here
  const AdapterOptions* options = nullptr;  ///< never null for a policy that learns
  AdapterSizes sizes = {};
  const LayerSelection* selection = nullptr;  ///< of this layer, where the placement selects
};

namespace detail {
/// A site's stream of random numbers, by its name.
constexpr std::uint64_t stream_of(std::string_view name) {
  std::uint64_t stream = 1469598103934665603U;
  for (const char c : name) stream = stream * 31 + static_cast<unsigned char>(c);
  return stream;
}
}  // namespace detail

namespace detail {
/// values[i] = value(i), a function of the host, in memory of any device.
template <class T, class D, class Function>
void set_each(MatrixView<T, D> values, const Function& value) {
  std::vector<T> host(values.rows * values.cols);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<T>(value(i));
  Storage<T, D>::write(values.data, host.data(), host.size());
}
}  // namespace detail

/// What a pass through the model is for.
struct Pass {
  bool training = false;   ///< dropout acts
  std::uint64_t step = 0;  ///< numbers the training passes: each has its own dropout
};

/// The values stay as they are in the checkpoint; nothing of them learns.
struct Frozen {
  static constexpr std::string_view name = "frozen";
  static constexpr bool learns = false;
  static constexpr bool mergeable = true;
  static constexpr bool is_static = true;
  static constexpr std::size_t count(SiteShape, AdapterSizes) { return 0; }

  /// A frozen linear site adds nothing to the base product.
  template <class T, class D = Cpu>
  class Linear {
   public:
    Linear(ParameterStore<T, D>&, const SitePlace<T, D>& place) : base_(place.base) {}
    static constexpr bool active() { return false; }
    MatrixView<const T, D> weight() const { return base_; }
    void forward(MatrixView<const T, D>, MatrixView<T, D>, const Pass&, WorkspaceOn<D>&) const {}
    void backward(MatrixView<const T, D>, MatrixView<const T, D>, MatrixView<T, D>, const Pass&,
                  WorkspaceOn<D>&) const {}
    void add_change(MatrixView<T, D>, T) const {}

   private:
    MatrixView<const T, D> base_;
  };

  /// Frozen element-wise values are the base's own.
  template <class T, class D = Cpu>
  class Element {
   public:
    Element(ParameterStore<T, D>&, const SitePlace<T, D>& place) : base_(place.base) {}
    static constexpr bool active() { return false; }
    MatrixView<const T, D> values() const { return base_; }
    static constexpr MatrixView<T, D> gradient() { return {}; }
    void add_change(MatrixView<T, D>, T) const {}

   private:
    MatrixView<const T, D> base_;
  };
};

/// All values learn, in a copy that the model owns. A state that checkpoints lack begins at zero.
struct Full {
  static constexpr std::string_view name = "full";
  static constexpr bool learns = true;
  static constexpr bool mergeable = true;
  static constexpr bool is_static = true;
  static constexpr std::size_t count(SiteShape shape, AdapterSizes) { return shape.size(); }

  /// The values of any site, element-wise or linear: own ones where the site learns.
  template <class T, class D = Cpu>
  class Element {
   public:
    Element(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      own_ = store.add(place, "", place.shape.rows, place.shape.cols);
      if (base_) assign(own_.value, base_);
    }
    bool active() const { return static_cast<bool>(own_); }
    MatrixView<const T, D> values() const { return own_ ? MatrixView<const T, D>(own_.value) : base_; }
    /// Where the gradient adds up; empty in a layer where the site does not learn.
    MatrixView<T, D> gradient() const { return own_.gradient; }

    /// target += sign · (own − base).
    void add_change(MatrixView<T, D> target, T sign) const {
      if (!own_) return;
      if (base_) {
        assign<AssignMode::Add>(target, sign * (own_.value - base_));
      } else {
        assign<AssignMode::Add>(target, sign * own_.value);
      }
    }

   private:
    MatrixView<const T, D> base_;
    Learned<T, D> own_;
  };

  /// A linear site whose whole weight learns.
  template <class T, class D = Cpu>
  class Linear : public Element<T, D> {
   public:
    using Element<T, D>::Element;
    MatrixView<const T, D> weight() const { return this->values(); }
    void forward(MatrixView<const T, D>, MatrixView<T, D>, const Pass&, WorkspaceOn<D>&) const {}
    void backward(MatrixView<const T, D> x, MatrixView<const T, D> d_y, MatrixView<T, D>, const Pass&,
                  WorkspaceOn<D>&) const {
      if (this->active()) matmul(this->gradient(), transposed(d_y), x, Write::Add);
    }
  };
};

/// An adapter policy: an empty type that says how a site learns. `name` is how adapter files call it;
/// `learns`: whether anything does; `mergeable`: whether what it learns can be added to the weights;
/// `is_static`: whether its types know `count(shape, sizes)`, the number of values that learn.
///
/// Its state at a site is a nested template of a scalar and a device, made from (ParameterStore<T, D>&,
/// const SitePlace<T, D>&):
/// - `Linear<T, D>` for linear sites: `weight()` is multiplied by the layer; `forward` adds to y what
///   comes beside that product; `backward` adds to the gradients of what learns and, unless it is
///   empty, to d_x the part that does not come from `weight()`;
/// - `Element<T, D>` for element-wise sites and states: `values()` to use, `gradient()` to add to, both of
///   the site's shape where something learns;
/// - `Rows<T, D>` for prompts and prefixes: the same and `length()`;
/// - `Selected<T, D>` for chosen entries of A_log (SelectedDimensions).
/// All have `active()`, whether anything learns in this layer; those of mergeable policies have
/// `add_change(target, sign)`, which adds sign · the learned change to the checkpoint's values.
template <class P>
concept AdapterPolicy =
    std::semiregular<P> && std::is_empty_v<P> && requires(SiteShape shape, AdapterSizes sizes) {
      { P::name } -> std::convertible_to<std::string_view>;
      { P::learns } -> std::convertible_to<bool>;
      { P::mergeable } -> std::convertible_to<bool>;
      { P::is_static } -> std::convertible_to<bool>;
      { P::count(shape, sizes) } -> std::same_as<std::size_t>;
    };

namespace detail {
template <class P>
inline constexpr bool has_linear_state = requires { typename P::template Linear<float>; };
template <class P>
inline constexpr bool has_element_state = requires { typename P::template Element<float>; };
}  // namespace detail

static_assert(AdapterPolicy<Frozen> && AdapterPolicy<Full>);

}  // namespace sdlora
