#include "support/s4d_cases.hpp"

#include <sdlora/layers/s4d/recurrence.hpp>
#include <sdlora/tensor/parallel.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("s4d recurrence: the definition, in float") { check_s4d_forward<S4dRecurrence, float>(1e-5); }
TEST_CASE("s4d recurrence: the definition, in double") { check_s4d_forward<S4dRecurrence, double>(1e-13); }
TEST_CASE("s4d recurrence: pieces of a sequence") { check_s4d_continues<S4dRecurrence, double>(1e-13); }
TEST_CASE("s4d recurrence: gradients against finite differences") {
  check_s4d_all_gradients<S4dRecurrence>();
}
TEST_CASE("s4d recurrence: shapes that do not fit") { check_s4d_errors<S4dRecurrence>(); }

TEST_CASE("s4d recurrence: the same bits for any number of threads") {
  const S4dProblem<float> p({40, 3, 65}, 21, 5);
  const std::size_t before = thread_count();
  std::vector<std::vector<float>> results;
  for (const std::size_t threads : {1U, 3U}) {
    set_thread_count(threads);
    Workspace workspace;
    Padded<float> y(p.rows(), p.H, 0), d_u(p.rows(), p.H, 0);
    std::vector<float> d_C(p.C.size());
    S4dRecurrence::forward(p.inputs(), y.view, {}, workspace);
    S4dRecurrence::backward(p.inputs(), MatrixView<const float>(y.view),
                            S4dGradients<float>{.u = d_u.view, .C = {d_C.data(), p.H, 2 * p.N}}, workspace);
    results.push_back(y.values());
    results.push_back(d_u.values());
    results.push_back(d_C);
  }
  set_thread_count(before);
  for (std::size_t i = 0; i < 3; ++i) CHECK(results[i] == results[i + 3]);
}
