#include "support/s4d_cases.hpp"

#include <sdlora/layers/s4d/scan.hpp>
#include <sdlora/scan/menu/menu.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

static_assert(S4dEvaluation<S4dScan<Sequential>> && S4dEvaluation<S4dScan<Blelloch>>);

TEST_CASE("s4d scan: the definition, by every algorithm for any operator") {
  ElementPolicies::for_each([]<class Policy>(Policy) {
    CAPTURE(Policy::name);
    check_s4d_forward<S4dScan<Policy>, float>(1e-5);
    check_s4d_forward<S4dScan<Policy>, double>(1e-13);
  });
}
TEST_CASE("s4d scan: pieces of a sequence") { check_s4d_continues<S4dScan<Blelloch>, double>(1e-13); }
TEST_CASE("s4d scan: gradients against finite differences") {
  check_s4d_all_gradients<S4dScan<Blelloch>>();
  check_s4d_all_gradients<S4dScan<Sequential>>();
}
TEST_CASE("s4d scan: shapes that do not fit") { check_s4d_errors<S4dScan<Sequential>>(); }
