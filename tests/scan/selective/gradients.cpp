#include <sdlora/scan/selective/gradients.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <sdlora/scan/selective/detail/backward_work.hpp>

using namespace sdlora;
using Gradients = SelectiveScanGradients;

namespace {

template <Gradients Wanted>
constexpr bool wants_u() {
  return Wanted.u;
}

constexpr detail::BackwardWork work(const Gradients& wanted, bool gate = true) {
  return detail::BackwardWork(wanted, gate);
}

}  // namespace

TEST_CASE("selective scan gradients: nothing, unless it is asked for") {
  CHECK(Gradients{} == Gradients{.A = AGradient::None});
  CHECK(Gradients{} != Gradients{.D = true});
  CHECK(Gradients::all() == Gradients{.u = true,
                                      .dt = true,
                                      .B = true,
                                      .C = true,
                                      .z = true,
                                      .A = AGradient::All,
                                      .D = true,
                                      .dt_bias = true,
                                      .initial_state = true});
  CHECK(wants_u<Gradients{.u = true}>());
  CHECK_FALSE(wants_u<Gradients{.dt = true}>());
}

TEST_CASE("selective scan gradients: what a backward has to compute for them") {
  CHECK_FALSE(work({}).any());
  CHECK(work({.D = true}).any());
  // D's gradient is that of the skip: it knows nothing of states.
  CHECK_FALSE(work({.D = true}).g());
  CHECK_FALSE(work({.D = true}).states());
  // Those of u, B and the initial state run against time, but need no state.
  for (const Gradients& wanted :
       {Gradients{.u = true}, Gradients{.B = true}, Gradients{.initial_state = true}}) {
    CHECK(work(wanted).g());
    CHECK_FALSE(work(wanted).states());
    CHECK_FALSE(work(wanted).gah());
    CHECK(work(wanted).gB() == wanted.u);
  }
  // C's and z's need the states alone.
  CHECK(work({.C = true}).states());
  CHECK_FALSE(work({.C = true}).g());
  CHECK(work({.z = true}).states());
  CHECK(work({.z = true}).state_sums());
  CHECK_FALSE(work({.z = true}).g());
  // Those of decays need both.
  for (const Gradients& wanted : {Gradients{.dt = true}, Gradients{.dt_bias = true}}) {
    CHECK(work(wanted).gah());
    CHECK(work(wanted).gB());
    CHECK(work(wanted).delta);
  }
  for (const AGradient A : {AGradient::All, AGradient::SelectedChannels}) {
    CHECK(work({.A = A}).gah());
    CHECK(work({.A = A}).states());
    CHECK_FALSE(work({.A = A}).gB());
    CHECK_FALSE(work({.A = A}).without_A().any());
  }
}

TEST_CASE("selective scan gradients: without a gate it has none") {
  CHECK_FALSE(work({.z = true}, false).any());
  CHECK(work({.u = true, .z = true}, false).u);
}
