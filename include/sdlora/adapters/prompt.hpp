#pragma once

#include "../tensor/extents.hpp"
#include "../tensor/random.hpp"
#include "policy.hpp"

#include <cstddef>

namespace sdlora {

namespace detail {

/// Learned rows that a checkpoint does not have, at first normal around zero with that deviation.
template <class T, class D>
class LearnedRows {
 public:
  LearnedRows(ParameterStore<T, D>& store, const SitePlace<T, D>& place, std::size_t rows, double deviation) {
    if (!place.active) return;
    rows_ = store.add(place, "", rows, place.shape.cols);
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
struct RowsPolicy {
  static_assert(
      Length > 0,
      "sdlora::PromptTuning and PrefixTuning: at least one row; to train nothing leave the site out");

  static constexpr bool learns = true;
  static constexpr bool mergeable = false;
  static constexpr bool is_static = Length != dyn;
  static constexpr std::size_t length(AdapterSizes sizes) {
    return Length == dyn ? sizes.prompt_length : Length;
  }
  static constexpr std::size_t count(SiteShape shape, AdapterSizes sizes) {
    return length(sizes) * shape.cols;
  }

  template <class T, class D = Cpu>
  class Rows : public LearnedRows<T, D> {
   public:
    Rows(ParameterStore<T, D>& store, const SitePlace<T, D>& place)
        : LearnedRows<T, D>(store, place, RowsPolicy::length(place.sizes), 0.02) {}
  };
};

}  // namespace detail

/// Prompt tuning (Lester et al., arXiv 2104.08691): `Length` learned embeddings before every
/// sequence, (Length, d), once per model. At first normal with deviation 0.02.
template <std::size_t Length = dyn>
struct PromptTuning : detail::RowsPolicy<Length> {
  static constexpr std::string_view name = "prompt_tuning";
};

/// Prefix tuning of an SSM (affix tuning in Yoshimura et al., arXiv 2411.03855): `Length` learned rows
/// before the convolution of every block, (Length, E), whose outputs are dropped. Published implementations
/// also hold rows for the gate; those act on nothing but the dropped outputs, never receive a gradient, and
/// so are not kept here. At first normal with deviation 0.02.
template <std::size_t Length = dyn>
struct PrefixTuning : detail::RowsPolicy<Length> {
  static constexpr std::string_view name = "prefix_tuning";
};

static_assert(AdapterPolicy<PromptTuning<8>> && AdapterPolicy<PrefixTuning<8>>);

}  // namespace sdlora
