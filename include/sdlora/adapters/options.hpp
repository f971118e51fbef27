#pragma once

#include "../error.hpp"
#include "../setting.hpp"
#include "../text.hpp"
#include "site.hpp"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace sdlora {

/// Restricts one site of a placement to the layers [first, last); several ranges of a site, to all of theirs.
/// Fewer values learn then: a model's parameters().size(), where a constant `trainable_parameters` counts
/// every layer.
struct LayerRange {
  std::string site;  ///< a site's name, as "out_proj"
  std::size_t first = 0;
  std::size_t last = to_the_end;

  /// As `last`: up to the model's last layer, however many it has. Any other may not go beyond.
  static constexpr std::size_t to_the_end = static_cast<std::size_t>(-1);
  /// Ranges of all sites of a model: as many as an adapter file has.
  static constexpr std::size_t most_ranges = 64;
};

/// The same for a site that is given as a type, among the parts of AdapterOptions.
template <Site S>
struct Layers {
  std::size_t first = 0;
  std::size_t last = LayerRange::to_the_end;
};

/// Of initialisation and dropout, among the parts of AdapterOptions.
struct Seed {
  std::uint64_t value = 0;
};

namespace detail {
/// A visitor that does nothing. No lambda: nvcc takes none in a concept.
struct VisitNothing {
  template <class Member>
  constexpr void operator()(const Setting&, Member&) const {}
};
}  // namespace detail

/// The options of a policy, as LoRAOptions: an aggregate with a `name` and a static `visit(self, visit)` that
/// calls visit(Setting, member) for each member, a number or a bool.
template <class O>
concept PolicyOptions = std::default_initializable<O> && std::copyable<O> && requires(O& options) {
  { O::name } -> std::convertible_to<std::string_view>;
  O::visit(options, detail::VisitNothing{});
};

/// Options at one site, among the parts of AdapterOptions; made by `options_at`.
template <Site S, PolicyOptions O>
struct OptionsAt {
  O options;
};

/// The options of a policy at the site S alone, whatever is said for all: options_at<site::OutProj>(
/// LoRAOptions{.rank = 4}).
template <Site S, PolicyOptions O>
OptionsAt<S, O> options_at(O options) {
  return {std::move(options)};
}

namespace detail {
template <class P>
struct IsPart : std::bool_constant<PolicyOptions<P>> {};
template <Site S, class O>
struct IsPart<OptionsAt<S, O>> : std::true_type {};
template <Site S>
struct IsPart<Layers<S>> : std::true_type {};
template <>
struct IsPart<Seed> : std::true_type {};
}  // namespace detail

/// What a placement leaves open until run time: the options of its policies, at all sites or at single ones;
/// the layers in which a site learns; the seed. It is made of parts, in any order:
///
///     AdapterOptions{LoRAOptions{.rank = 16, .alpha = 32}, Layers<site::OutProj>{12, 24},
///                    options_at<site::InProjX>(LoRAOptions{.rank = 4}), Seed{7}}
///
/// Several Layers of one site add up: Layers<site::OutProj>{0, 4}, Layers<site::OutProj>{8, 12}.
/// A part for all sites says what differs from the default; a part for one site says everything. A part is
/// for the policies that have these options: DoRA does not read LoRAOptions. Values can also be set by name
/// alone, as command lines and files do: then for every policy that has an option of that name, where no part
/// says more.
class AdapterOptions {
  template <class P>
  static constexpr bool is_part = detail::IsPart<P>::value;

 public:
  /// One option as it was set: at a site or, with an empty site, at all; of one struct of options or, without
  /// its name, of every one.
  struct Value {
    std::string site;
    std::string of;
    std::string name;
    double number = 0.0;

    friend bool operator==(const Value&, const Value&) = default;
  };

  std::vector<LayerRange> layers = {};  ///< sites not named here learn in every layer
  std::uint64_t seed = 0;               ///< of initialisation and dropout
  /// A model of more learned values than this is refused: for sizes that come from a file.
  std::size_t most_values = static_cast<std::size_t>(-1);

  AdapterOptions() = default;
  template <class First, class... Rest>
    requires(!std::same_as<First, AdapterOptions>) && (is_part<First> && ... && is_part<Rest>)
  AdapterOptions(const First& first, const Rest&... rest) {
    set(first);
    (set(rest), ...);
  }

  /// Sets, for all sites, the options that differ from their defaults.
  template <PolicyOptions O>
  AdapterOptions& set(O options) {
    O defaults;
    O::visit(options, [&](const Setting& setting, const auto& value) {
      O::visit(defaults, [&](const Setting& other, const auto& usual) {
        if (setting.name != other.name) return;
        if (static_cast<double>(value) != static_cast<double>(usual)) {
          set(setting.name, static_cast<double>(value), {}, O::name);
        }
      });
    });
    return *this;
  }
  template <Site S, PolicyOptions O>
  AdapterOptions& set(OptionsAt<S, O> at) {
    O::visit(at.options, [&](const Setting& setting, const auto& value) {
      set(setting.name, static_cast<double>(value), S::name, O::name);
    });
    return *this;
  }
  template <Site S>
  AdapterOptions& set(Layers<S> range) {
    layers.push_back({std::string(S::name), range.first, range.last});
    return *this;
  }
  AdapterOptions& set(Seed s) {
    seed = s.value;
    return *this;
  }
  /// By name: at a site, or with an empty one everywhere; of one struct of options, or of all.
  AdapterOptions& set(std::string_view name, double value, std::string_view site = {},
                      std::string_view of = {}) {
    for (Value& known : values_) {
      if (known.name == name && known.site == site && known.of == of) {
        known.number = value;
        return *this;
      }
    }
    values_.push_back({std::string(site), std::string(of), std::string(name), value});
    return *this;
  }

  /// Forgets what is said for one site, its layers included.
  void forget(std::string_view site) {
    std::erase_if(values_, [&](const Value& value) { return value.site == site; });
    std::erase_if(layers, [&](const LayerRange& range) { return range.site == site; });
  }

  /// The options of a policy at a site: what is said for it, else what is said for all, else the defaults.
  /// Throws ArgumentError where a number is none that the option takes.
  template <PolicyOptions O>
  O of(std::string_view site = {}) const {
    O options;
    O::visit(options, [&](const Setting& setting, auto& value) {
      const Value* const found = find(setting.name, site, O::name);
      if (found == nullptr) return;
      require(setting, *found, std::is_floating_point_v<std::remove_cvref_t<decltype(value)>>);
      value = static_cast<std::remove_cvref_t<decltype(value)>>(found->number);
    });
    return options;
  }
  /// The number that was set under this name, for the site or for all, of whatever options; else `otherwise`.
  double number(std::string_view name, double otherwise, std::string_view site = {}) const {
    const Value* everywhere = nullptr;
    for (const Value& value : values_) {
      if (value.name != name) continue;
      if (value.site == site) return value.number;
      if (value.site.empty() && everywhere == nullptr) everywhere = &value;
    }
    return everywhere == nullptr ? otherwise : everywhere->number;
  }
  const std::vector<Value>& values() const { return values_; }

  /// Whether the site may learn in this layer.
  bool active(std::string_view site, std::size_t layer) const {
    bool named = false;
    for (const LayerRange& range : layers) {
      if (range.site != site) continue;
      if (layer >= range.first && layer < range.last) return true;
      named = true;
    }
    return !named;
  }

 private:
  /// The value that says most of where it is asked for: of the site, then of the options.
  const Value* find(std::string_view name, std::string_view site, std::string_view of) const {
    const Value* best = nullptr;
    int most = -1;
    for (const Value& value : values_) {
      if (value.name != name || (!value.site.empty() && value.site != site)) continue;
      if (!value.of.empty() && value.of != of) continue;
      const int says = (value.site.empty() ? 0 : 2) + (value.of.empty() ? 0 : 1);
      if (says <= most) continue;
      best = &value;
      most = says;
    }
    return best;
  }

  static void require(const Setting& setting, const Value& found, bool real) {
    const double number = found.number;
    const bool whole = real || (number >= 0.0 && number <= 9007199254740992.0 &&
                                number == static_cast<double>(static_cast<std::uint64_t>(number)));
    if (whole && (setting.good == nullptr || setting.good(number))) return;
    throw ArgumentError(
        "adapter options: expected " +
        (setting.expected.empty() ? "a whole number of at least 0" : std::string(setting.expected)) +
        ", found " + detail::short_number(number) + "; correct " +
        (found.site.empty() ? "" : found.site + "'s ") + std::string(setting.name) +
        (setting.help.empty() ? "" : " (" + std::string(setting.help) + ")"));
  }

  std::vector<Value> values_;
};

/// For policies that leave nothing open.
struct NoOptions {
  static constexpr std::string_view name = "none";
  template <class Self, class Visitor>
  static constexpr void visit(Self&, Visitor&&) {}
};

}  // namespace sdlora
