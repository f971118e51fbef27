#pragma once

#include "lora.hpp"
#include "policy.hpp"
#include "prompt.hpp"
#include "selected_dimensions.hpp"
#include "site.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora {

namespace detail {

template <class P>
inline constexpr bool is_prompt_policy = false;
template <std::size_t M>
inline constexpr bool is_prompt_policy<PromptTuning<M>> = true;
template <class P>
inline constexpr bool is_prefix_policy = false;
template <std::size_t M>
inline constexpr bool is_prefix_policy<PrefixTuning<M>> = true;

/// 0 where the policy selects nothing, else 1 + its number of channels, so that dyn is no special case.
template <class P>
inline constexpr std::size_t selected_channels = 0;
template <std::size_t C, std::size_t S>
inline constexpr std::size_t selected_channels<SelectedDimensions<C, S>> = C + (C == dyn ? 0 : 1);

/// Whether the types know how many values the policy learns at the site.
template <class S, class P>
inline constexpr bool is_static_at = P::is_static;
template <std::size_t C, std::size_t States>
inline constexpr bool is_static_at<site::ALog, SelectedDimensions<C, States>> =
    SelectedDimensions<C, States>::is_static_selected;

template <class S>
inline constexpr bool selectable =
    std::is_same_v<S, site::ALog> || std::is_same_v<S, site::XProjB> || std::is_same_v<S, site::XProjC>;

template <class S, class P>
constexpr bool can_sit_at() {
  if constexpr (!Site<S> || !AdapterPolicy<P> || std::is_same_v<P, Frozen>) {
    return true;
  } else if constexpr (selected_channels<P> != 0) {
    return selectable<S>;
  } else if constexpr (S::kind == SiteKind::Linear) {
    return has_linear_state<P>;
  } else if constexpr (S::kind == SiteKind::ElementWise || S::kind == SiteKind::State) {
    return has_element_state<P>;
  } else if constexpr (S::kind == SiteKind::Prompt) {
    return is_prompt_policy<P>;
  } else {
    return is_prefix_policy<P>;
  }
}

}  // namespace detail

/// Puts one policy at one site.
template <class S, class P>
struct On {
  static_assert(Site<S>,
                "sdlora::On: the first type must be a site, as site::OutProj (see namespace sdlora::site)");
  static_assert(AdapterPolicy<P>,
                "sdlora::On: the second type must be an adapter policy, an empty type with name, learns, "
                "mergeable, is_static and count(shape, sizes), as LoRA<8>; what a policy keeps at a site "
                "belongs in its nested templates");
  static_assert(
      detail::can_sit_at<S, P>(),
      "sdlora::On: this policy cannot sit at this site. LoRA takes linear sites (in_proj_x, in_proj_z, "
      "x_proj_*, dt_proj, out_proj); SelectedDimensions takes A_log, x_proj_B and x_proj_C; PromptTuning "
      "takes prompt; PrefixTuning takes prefix; Full takes any site with values of its own");
  using site_type = S;
  using policy_type = P;
};

namespace detail {
template <class...>
inline constexpr bool never = false;
}  // namespace detail

/// A placement: which policy sits where, as a list of On<site, policy>. Sites that are not named are
/// frozen.
template <class... Entries>
struct Place {
  static_assert(detail::never<Entries...>,
                "sdlora::Place: every entry must be an On<site, policy>; name the site of each policy, as in "
                "Place<On<site::OutProj, LoRA<8>>>");
};

namespace detail {

template <class S, class... Entries>
struct PolicyAt {
  using type = Frozen;
};
template <class S, class P, class... Rest>
struct PolicyAt<S, On<S, P>, Rest...> {
  using type = P;
};
template <class S, class First, class... Rest>
struct PolicyAt<S, First, Rest...> : PolicyAt<S, Rest...> {};

template <class S, class... Entries>
inline constexpr std::size_t times_placed =
    (std::size_t{0} + ... + (std::is_same_v<typename Entries::site_type, S> ? 1U : 0U));

template <class... Entries>
constexpr bool one_channel_count() {
  std::size_t found = 0;
  bool same = true;
  [[maybe_unused]] const auto look = [&](std::size_t channels) {
    if (channels == 0) return;
    if (found != 0 && found != channels) same = false;
    found = channels;
  };
  (look(selected_channels<typename Entries::policy_type>), ...);
  return same;
}

}  // namespace detail

template <class... Sites, class... Policies>
struct Place<On<Sites, Policies>...> {
  static_assert(((detail::times_placed<Sites, On<Sites, Policies>...> == 1) && ...),
                "sdlora::Place: a site is named twice; keep one On<site, policy> for each site");
  static_assert(
      detail::one_channel_count<On<Sites, Policies>...>(),
      "sdlora::Place: all SelectedDimensions of a placement share one set of channels; give them the same "
      "number of channels");

  using placement_type = Place;
  using sites = SiteList<Sites...>;

  /// The policy at the site; Frozen where none is named.
  template <Site S>
  using policy_at = typename detail::PolicyAt<S, On<Sites, Policies>...>::type;

  /// Whether anything learns at the site.
  template <Site S>
  static constexpr bool learns_at = policy_at<S>::learns;

  /// Whether anything learns at all.
  static constexpr bool learns = (false || ... || Policies::learns);
  /// Whether all that learns has a place among a checkpoint's weights: prompts, prefixes and initial
  /// states have none.
  static constexpr bool mergeable =
      (true && ... &&
       (!Policies::learns ||
        (Policies::mergeable && (Sites::kind == SiteKind::Linear || Sites::kind == SiteKind::ElementWise))));
  /// Whether the policies' types know all sizes that matter at their sites.
  static constexpr bool is_static = (true && ... && detail::is_static_at<Sites, Policies>);
  /// Whether a model needs a Selection.
  static constexpr bool selects = (false || ... || (detail::selected_channels<Policies> != 0));
};

namespace detail {
template <class... Entries>
void as_place(const Place<Entries...>&);
}

/// A Place, or a named type derived from one (so that messages and symbols stay short).
template <class P>
concept Placement = requires(const P& p) { detail::as_place(p); };

}  // namespace sdlora
