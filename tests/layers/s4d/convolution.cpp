#include "support/s4d_cases.hpp"

#include <sdlora/layers/s4d/convolution.hpp>
#include <sdlora/layers/s4d/recurrence.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("s4d convolution: the definition, in float") {
  check_s4d_forward<S4dConvolution, float>(1e-5, 1e-6);
}
TEST_CASE("s4d convolution: the definition, in double") {
  check_s4d_forward<S4dConvolution, double>(1e-13, 1e-14);
}
TEST_CASE("s4d convolution: pieces of a sequence") { check_s4d_continues<S4dConvolution, double>(1e-13); }
TEST_CASE("s4d convolution: gradients against finite differences") {
  check_s4d_all_gradients<S4dConvolution>();
}
TEST_CASE("s4d convolution: shapes that do not fit") { check_s4d_errors<S4dConvolution>(); }

TEST_CASE("s4d convolution: the recurrence's values and gradients on long sequences, in float") {
  const std::size_t H = 3, N = 16;
  S4dProblem<float> p({1021, 200}, H, N);
  for (float& value : p.log_dt) value -= 3.0F;  // as S4D begins: states that forget slowly
  Workspace workspace;
  const auto run = [&]<class Way>(Way) {
    Padded<float> y(p.rows(), H, 0), d_u(p.rows(), H, 0);
    const Padded<float> upstream(p.rows(), H, 0, Normals(3).vector<double>(p.rows() * H));
    std::vector<std::vector<float>> found{std::vector<float>(H * N), std::vector<float>(H * N),
                                          std::vector<float>(2 * H * N), std::vector<float>(H),
                                          std::vector<float>(H)};
    const auto view = [&](std::size_t i, std::size_t rows) {
      return MatrixView<float>(found[i].data(), rows, found[i].size() / rows);
    };
    Way::forward(p.inputs(), y.view, {}, workspace);
    Way::backward(p.inputs(), MatrixView<const float>(upstream.view),
                  S4dGradients<float>{.u = d_u.view,
                                      .log_A_real = view(0, H),
                                      .A_imag = view(1, H),
                                      .C = view(2, H),
                                      .log_dt = view(3, 1),
                                      .D = view(4, 1)},
                  workspace);
    found.push_back(y.values());
    found.push_back(d_u.values());
    return found;
  };
  const auto by_steps = run(S4dRecurrence{}), by_kernel = run(S4dConvolution{});
  for (std::size_t i = 0; i < by_steps.size(); ++i) {
    CAPTURE(i);
    const bool values = i + 1 == by_steps.size();
    CHECK(relative_error(by_kernel[i], by_steps[i]) <= (values ? 1e-5 : 1e-4));  // sums of 1221 products
  }
}
