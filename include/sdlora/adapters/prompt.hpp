#pragma once

#include "../tensor/extents.hpp"
#include "../tensor/random.hpp"
#include "policy.hpp"

#include <cstddef>

namespace sdlora {

/// What prompts and prefixes leave open.
struct RowsOptions {
  static constexpr std::string_view name = "rows";

  std::size_t prompt_length = 16;  ///< rows, where the type says dyn

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    visit(Setting{.name = "prompt_length",
                  .help = "rows of a prompt or prefix",
                  .expected = "a prompt length of at least 1",
                  .good = detail::is_count},
          self.prompt_length);
  }
};

namespace detail {

/// Learned rows that a checkpoint does not have, at first normal around zero with that deviation.
template <class T, class D>
class LearnedRows {
 public:
  LearnedRows(ParameterStore<T, D>& store, const SitePlace<T, D>& place, std::size_t rows, double deviation) {
    if (!place.active) return;
    rows_ = store.add(place, "", rows, place.cols());
    const RandomStream random(place.options->seed, stream_of(place.name));
    set_each(rows_.value, [&](std::size_t i) { return deviation * random.normal(i); });
  }
  bool active() const { return static_cast<bool>(rows_); }
  std::size_t length() const { return rows_.value.rows; }
  MatrixView<const T, D> values() const { return rows_.value; }
  MatrixView<T, D> gradient() const { return rows_.gradient; }

 private:
  Learned<T, D> rows_;
};

/// What policies of learned rows share.
template <std::size_t Length>
struct RowsPolicy : PolicyDefaults {
  static_assert(
      Length > 0,
      "sdlora::PromptTuning and PrefixTuning: at least one row; to train nothing leave the site out");

  static constexpr std::string_view name = "rows";  // those that derive from it have their own
  static constexpr bool mergeable = false;
  static constexpr bool is_static = Length != dyn;
  using options = RowsOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (Length != dyn) o.prompt_length = Length;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) { return o.prompt_length * site.shape.cols; }

  template <class T, class D = Cpu>
  class Rows : public LearnedRows<T, D> {
   public:
    Rows(ParameterStore<T, D>& store, const SitePlace<T, D>& place)
        : LearnedRows<T, D>(store, place, options_of<RowsPolicy>(place).prompt_length, 0.02) {}
  };
};

}  // namespace detail

/// Prompt tuning (Lester et al., arXiv 2104.08691): `Length` learned embeddings before every
/// sequence, (Length, d), once per model. At first normal with deviation 0.02.
template <std::size_t Length = dyn>
struct PromptTuning : detail::RowsPolicy<Length> {
  static constexpr std::string_view name = "prompt_tuning";
  template <class S>
  static constexpr bool sits_at = S::kind == SiteKind::Prompt;
};

/// Prefix tuning of an SSM (affix tuning in Yoshimura et al., arXiv 2411.03855): `Length` learned rows
/// before the convolution of every block, (Length, E), whose outputs are dropped. Published implementations
/// also hold rows for the gate; those act on nothing but the dropped outputs, never receive a gradient, and
/// so are not kept here. At first normal with deviation 0.02.
template <std::size_t Length = dyn>
struct PrefixTuning : detail::RowsPolicy<Length> {
  static constexpr std::string_view name = "prefix_tuning";
  template <class S>
  static constexpr bool sits_at = S::kind == SiteKind::Prefix;
};

static_assert(AdapterPolicy<PromptTuning<8>> && AdapterPolicy<PrefixTuning<8>>);

}  // namespace sdlora
