#pragma once

#include "../tensor/evaluate.hpp"
#include "../tensor/frozen_weight.hpp"
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

/// What a policy's state is told of the place that it sits in. What the two pointers lead to may move with
/// the model: a state copies what it needs of it.
template <class T, class Device = Cpu>
struct SitePlace {
  std::string name;                           ///< unique, as "layers.3.out_proj"
  SiteInfo site;                              ///< its name in every layer, kind and shape
  std::optional<std::size_t> layer = {};      ///< none: the site is the model's own, as the embedding
  bool active = true;                         ///< false outside of the site's layer range: nothing learns
  FrozenWeight<T, Device> base = {};          ///< the pre-trained values; absent where a checkpoint has none
  bool decay = true;                          ///< whether weight decay applies to what learns here
  const AdapterOptions* options = nullptr;    ///< never null for a policy that learns
  const LayerSelection* selection = nullptr;  ///< of this layer, where the placement selects

  std::size_t rows() const { return site.shape.rows; }
  std::size_t cols() const { return site.shape.cols; }
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

/// What most policies have in common; a policy derives from it and says only what differs.
struct PolicyDefaults {
  static constexpr bool learns = true;       ///< whether anything does
  static constexpr bool mergeable = true;    ///< whether what it learns can be added to the weights
  static constexpr bool is_static = true;    ///< whether its types know what `count` returns
  static constexpr bool reads_input = true;  ///< whether a Linear state's backward reads the site's input
  static constexpr std::size_t selected_channels = 0;  ///< of a Selection; dyn: left to run time
  using options = NoOptions;
};

/// An adapter policy: an empty type that says how a site learns; PolicyDefaults has what it need not say.
/// `name` is how adapter files call it, `options` what it leaves open until run time (PolicyOptions), with
/// `resolved(options, site)`, where its types or the site decide some of them, and `count(site, options)` the
/// number of values that learn at a site. `sits_at<Site>` is false where it cannot be placed though it has a
/// state of that kind.
///
/// Its state at a site is a nested template of a scalar and a device, made from (ParameterStore<T, D>&,
/// const SitePlace<T, D>&), by the kind of the site:
/// - `Linear<T, D>`: `weight()` is what the layer multiplies by, a FrozenWeight or a matrix. `forward(x, y,
/// pass, workspace)` changes y,
///   which holds the product x·weight()ᵀ already; `backward(x, d_y, d_x, pass, workspace)` adds to the
///   gradients of what learns and, unless it is empty, to d_x what does not come through `weight()`. d_y is
///   the gradient of the product. Both may be missing. Two more pairs, for what is no addition:
///   - to change the input: `input(x, pass, workspace)` returns what is multiplied instead of x, and
///     `input_backward(x, d_input, d_x, pass, workspace)` adds to d_x, unless empty, and to gradients. x is
///     then the changed input in `forward` and `backward`;
///   - to change the output: `forward(x, y, kept, pass, workspace)` has room to keep y as it was (M, out;
///     empty where no backward follows), and `output_backward(kept, d_y, pass, workspace)` turns d_y from the
///     gradient of the output into that of the product, before the product's own backward.
///   Where a state does either and also adds something of the input as it was to the output as it then is:
///   `beside(x, y, pass, workspace)` and `beside_backward(x, d_y, d_x, pass, workspace)`, which adds to d_x,
///   unless empty, and to gradients;
/// - `Element<T, D>` for element-wise sites and states: `values()` to use, `gradient()` to add to, both of
///   the site's shape where something learns. Where values are made of what learns: `values(workspace)` and
///   `add_gradient(d_values, workspace)` instead;
/// - `Embedding<T, D>` for the embedding, unless Element serves: `lookup(ids, x)` writes the rows of the ids
/// to
///   x, `lookup_backward(ids, d_x, workspace)` adds to gradients; `weight()`, `forward` and `backward` as
///   those of Linear are those of a tied head;
/// - `Rows<T, D>` for prompts and prefixes: as Element, and `length()`;
/// - `Scan<T, D>` for the scan (ScanInputs): `add(inputs, y, workspace)` adds to y (M, E) before its gate,
///   `backward(inputs, d_y, d_inputs, workspace)` adds to gradients, those of the inputs included. The
///   policy's constant `reads` says which of the inputs backward uses. Where a policy says by
///   `remembers(site, options)` how many values of each sequence decoding must keep for it: `add(inputs,
///   memory, y, workspace)` and `backward(inputs, sequences, d_y, d_inputs, workspace)`, of a ScanMemory and
///   of whole sequences; `base` of its place is A_log (E, N);
/// - `Selected<T, D>` for chosen entries of A_log (SelectedDimensions).
/// All have `active()`, whether anything learns in this layer; those of mergeable policies have
/// `add_change(target, sign)`, which adds sign · the learned change to the checkpoint's values.
template <class P>
concept AdapterPolicy =
    std::semiregular<P> && std::is_empty_v<P> && std::derived_from<P, PolicyDefaults> &&
    PolicyOptions<typename P::options> && requires(SiteInfo site, typename P::options options) {
      { P::name } -> std::convertible_to<std::string_view>;
      { P::count(site, options) } -> std::same_as<std::size_t>;
    };

/// Whether a Linear state has the hooks before the product.
template <class State>
inline constexpr bool changes_input = requires { &State::input_backward; };
/// Whether it has the hooks after it.
template <class State>
inline constexpr bool changes_output = requires { &State::output_backward; };

/// Whether it adds something of the unchanged input to the changed output.
template <class State>
inline constexpr bool adds_beside = requires { &State::beside_backward; };

namespace detail {

/// The options of a policy at a site, with what its types or the site decide.
template <class P>
constexpr typename P::options resolved(typename P::options options, SiteInfo site) {
  if constexpr (requires { P::resolved(options, site); }) {
    return P::resolved(options, site);
  } else {
    return options;
  }
}

template <class P>
inline constexpr bool has_linear_state = requires { typename P::template Linear<float>; };
template <class P>
inline constexpr bool has_element_state = requires { typename P::template Element<float>; };
template <class P>
inline constexpr bool has_embedding_state = requires { typename P::template Embedding<float>; };
template <class P>
inline constexpr bool has_rows_state = requires { typename P::template Rows<float>; };
template <class P>
inline constexpr bool has_scan_state = requires { typename P::template Scan<float>; };
template <class P>
inline constexpr bool remembers = requires(SiteInfo site, typename P::options options) {
  { P::remembers(site, options) } -> std::same_as<std::size_t>;
};
template <class P>
inline constexpr bool has_selected_state = requires { typename P::template Selected<float>; };

}  // namespace detail

/// The options of the policy P at a place.
template <AdapterPolicy P, class T, class D>
typename P::options options_of(const SitePlace<T, D>& place) {
  return detail::resolved<P>(place.options->template of<typename P::options>(place.site.name), place.site);
}

/// The values stay as they are in the checkpoint; nothing of them learns.
struct Frozen : PolicyDefaults {
  static constexpr std::string_view name = "frozen";
  static constexpr bool learns = false;
  static constexpr bool reads_input = false;
  static constexpr std::size_t count(SiteInfo, NoOptions) { return 0; }

  /// A frozen linear site adds nothing to the base product.
  template <class T, class D = Cpu>
  class Linear {
   public:
    Linear(ParameterStore<T, D>&, const SitePlace<T, D>& place) : base_(place.base) {}
    static constexpr bool active() { return false; }
    FrozenWeight<T, D> weight() const { return base_; }
    void add_change(MatrixView<T, D>, T) const {}

   private:
    FrozenWeight<T, D> base_;
  };

  /// Frozen element-wise values are the base's own.
  template <class T, class D = Cpu>
  class Element {
   public:
    Element(ParameterStore<T, D>&, const SitePlace<T, D>& place) : base_(place.base) {}
    static constexpr bool active() { return false; }
    MatrixView<const T, D> values() const { return base_.values(); }
    static constexpr MatrixView<T, D> gradient() { return {}; }
    void add_change(MatrixView<T, D>, T) const {}

   private:
    FrozenWeight<T, D> base_;  // at the embedding of any stored type
  };
};

/// All values learn, in a copy that the model owns. A state that checkpoints lack begins at zero.
struct Full : PolicyDefaults {
  static constexpr std::string_view name = "full";
  static constexpr std::size_t count(SiteInfo site, NoOptions) { return site.shape.size(); }

  /// The values of any site, element-wise or linear: own ones where the site learns.
  template <class T, class D = Cpu>
  class Element {
   public:
    Element(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      own_ = store.add(place, "", place.rows(), place.cols());
      if (base_) base_.visit([&](const auto& w) { assign(own_.value, values_of(w)); });
    }
    bool active() const { return static_cast<bool>(own_); }
    MatrixView<const T, D> values() const {
      return own_ ? MatrixView<const T, D>(own_.value) : base_.values();
    }
    /// Where the gradient adds up; empty in a layer where the site does not learn.
    MatrixView<T, D> gradient() const { return own_.gradient; }

    /// target += sign · (own − base).
    void add_change(MatrixView<T, D> target, T sign) const {
      if (!own_) return;
      if (base_) {
        base_.visit(
            [&](const auto& w) { assign<AssignMode::Add>(target, sign * (own_.value - values_of(w))); });
      } else {
        assign<AssignMode::Add>(target, sign * own_.value);
      }
    }

   protected:
    FrozenWeight<T, D> base_;

   private:
    Learned<T, D> own_;
  };

  /// A linear site whose whole weight learns.
  template <class T, class D = Cpu>
  class Linear : public Element<T, D> {
   public:
    using Element<T, D>::Element;
    FrozenWeight<T, D> weight() const {
      return this->active() ? FrozenWeight<T, D>(this->values()) : this->base_;
    }
    void backward(MatrixView<const T, D> x, MatrixView<const T, D> d_y, MatrixView<T, D>, const Pass&,
                  WorkspaceOn<D>&) const {
      if (this->active()) matmul(this->gradient(), transposed(d_y), x, Write::Add);
    }
  };
};

static_assert(AdapterPolicy<Frozen> && AdapterPolicy<Full>);

}  // namespace sdlora
