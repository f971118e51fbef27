#pragma once

#include "place.hpp"
#include "policy.hpp"

#include <type_traits>
#include <utility>

namespace sdlora {

namespace detail {

template <class... Lists>
struct Join;
template <class... Entries>
struct Join<Place<Entries...>> {
  using type = Place<Entries...>;
};
template <class... A, class... B, class... Rest>
struct Join<Place<A...>, Place<B...>, Rest...> : Join<Place<A..., B...>, Rest...> {};

/// Whether a placement says that every site at which it selects learns as a whole in the first phase.
template <class P>
inline constexpr bool warms_up_whole_ssm = requires { requires P::warms_up_whole_ssm; };

template <bool Whole, class S, class P>
using selection_phase_entry = std::conditional_t<
    selected_channels<P> == 0, Place<On<S, P>>,
    std::conditional_t<Whole || std::is_same_v<S, site::ALog>, Place<On<S, Full>>, Place<>>>;

template <bool Whole, class... S, class... P>
typename Join<Place<>, selection_phase_entry<Whole, S, P>...>::type selection_phase_of(
    const Place<On<S, P>...>&);

}  // namespace detail

/// The placement of SDLoRA's first phase ("warm-up" in the paper, Galim et al., arXiv 2410.09016; here that
/// word is the learning rate's): where `P` selects dimensions of A_log, all of A_log learns;
/// selected projections stay frozen, or learn as a whole, too, where `P` has a constant `warms_up_whole_ssm`
/// that is true, as presets::SDT; everything else as in `P`.
template <Placement P>
using SelectionPhase =
    decltype(detail::selection_phase_of<detail::warms_up_whole_ssm<P>>(std::declval<const P&>()));

}  // namespace sdlora
