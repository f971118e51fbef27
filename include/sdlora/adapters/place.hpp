#pragma once

#include "../tensor/extents.hpp"
#include "policy.hpp"
#include "site.hpp"

#include <cstddef>
#include <type_traits>

namespace sdlora {

namespace detail {

/// 0 where the policy selects nothing, else 1 + its number of channels, so that dyn is no special case.
template <class P>
inline constexpr std::size_t selected_channels =
    P::selected_channels == 0 ? 0 : P::selected_channels + (P::selected_channels == dyn ? 0 : 1);

/// Whether the types know how many values the policy learns at the site.
template <class S, class P>
constexpr bool is_static_at() {
  if constexpr (requires { P::template is_static_at<S>; }) {
    return P::template is_static_at<S>;
  } else {
    return P::is_static;
  }
}

/// Whether the policy has a state for sites of this kind.
template <class P>
constexpr bool has_state_of(SiteKind kind) {
  switch (kind) {
    case SiteKind::Linear:
      return has_linear_state<P>;
    case SiteKind::ElementWise:
      return has_element_state<P> || has_selected_state<P>;
    case SiteKind::State:
      return has_element_state<P>;
    case SiteKind::Embedding:
      return has_element_state<P> || has_embedding_state<P>;
    case SiteKind::Prompt:
    case SiteKind::Prefix:
      return has_rows_state<P>;
    case SiteKind::Scan:
      return has_scan_state<P>;
  }
  return false;
}

template <class S, class P>
constexpr bool can_sit_at() {
  if constexpr (!Site<S> || !AdapterPolicy<P> || std::is_same_v<P, Frozen>) {
    return true;
  } else if constexpr (requires { P::template sits_at<S>; }) {
    return P::template sits_at<S> && has_state_of<P>(S::kind);
  } else {
    return has_state_of<P>(S::kind);
  }
}

}  // namespace detail

/// Puts one policy at one site.
template <class S, class P>
struct On {
  static_assert(Site<S>,
                "sdlora::On: the first type must be a site, as site::OutProj (see namespace sdlora::site)");
  static_assert(
      AdapterPolicy<P>,
      "sdlora::On: the second type must be an adapter policy, an empty type derived from "
      "PolicyDefaults with a name and count(site, options), as LoRA<8>; what a policy keeps at a site "
      "belongs in its nested templates");
  static_assert(detail::can_sit_at<S, P>(),
                "sdlora::On: this policy cannot sit at this site: it has no state for sites of this kind, or "
                "says by sits_at "
                "that it takes others. The table of policies in README.md has the sites of the library's "
                "own, as LoRA's: "
                "linear sites, conv1d, A_log, h0, conv0 and embedding");
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

/// A list of sites with their policies.
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
  /// Whether all that learns has a place among a checkpoint's weights: prompts, prefixes, initial states and
  /// what joins the scan have none.
  static constexpr bool mergeable =
      (true && ... &&
       (!Policies::learns ||
        (Policies::mergeable && (Sites::kind == SiteKind::Linear || Sites::kind == SiteKind::ElementWise ||
                                 Sites::kind == SiteKind::Embedding))));
  /// Whether the policies' types know all sizes that matter at their sites.
  static constexpr bool is_static = (true && ... && detail::is_static_at<Sites, Policies>());
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
