// examples/07_own_training_loop.cpp: fit a small SSM by parts alone, without a model class.
#include <cmath>
#include <iostream>
#include <sdlora/sdlora.hpp>
using namespace sdlora;
using Matrix = Tensor<float, Extents<dyn, dyn>>;

int main() {
  // The data: averages of noise that forget at four rates, h_t = a·h_{t−1} + (1 − a)·u_t. The SSM has to find
  // a.
  constexpr std::size_t L = 512, E = 4;
  Matrix a(1, E), every_a(L, E), u(L, E), target(L, E);
  const RandomStream random(1, 0);
  for (std::size_t i = 0; i < u.size(); ++i) u.data()[i] = static_cast<float>(random.normal(i));
  for (std::size_t e = 0; e < E; ++e) a(0, e) = 1 - 0.5F * std::pow(0.4F, static_cast<float>(e));
  assign(every_a.view(), a);  // repeated for every row
  const Matrix b = (1 - a) * u;
  scan(SimdChannels{}, every_a.matrix(), b.matrix(), target.matrix());

  // What learns, and its gradients: A = −exp(A_log) and Δ = softplus(dt_bias), with one state a channel.
  ParameterStore<float> store(2 * E);
  const Learned<float> A_log = store.add("A_log", "A_log", E, 1, false);
  const Learned<float> dt_bias = store.add("dt_bias", "dt_bias", 1, E, false);
  AdamW<float> optimizer(store);

  Matrix A(E, 1), d_A(E, 1), dt(L, E), ones(L, 1), y(L, E), d_y(L, E);
  ones.fill(1);
  const std::size_t offsets[] = {0, L};  // one sequence
  const SelectiveScanInputs<float> in{.sequences = {offsets},
                                      .u = u.matrix(),
                                      .dt = dt.matrix(),
                                      .B = ones.matrix(),
                                      .C = ones.matrix(),
                                      .A = A.matrix(),
                                      .dt_bias = dt_bias.value};
  Workspace workspace;
  std::vector<float> checkpoints(selective_scan_checkpoint_size(in.sequences, E, 1));  // for the way back
  constexpr SelectiveScanGradients wanted{.A = AGradient::All, .dt_bias = true};  // others are not compiled
  const SelectiveScanGradientOutputs<float> gradients{.A = d_A.matrix(), .dt_bias = dt_bias.gradient};

  double loss = 0;
  for (int step = 0; step <= 1000; ++step) {
    A = -exp(A_log.value);
    selective_scan_forward<1>(in, y.matrix(), {}, checkpoints.data(), workspace);
    d_y = y - target;
    loss = evaluate(sum_of_squares(d_y.reshape(Extents<1, dyn>(1, L * E))))(0, 0) / double{L * E};
    if (step % 200 == 0) std::cout << "step " << step << ": loss " << loss << '\n';
    d_y *= 2.0F / (L * E);

    store.zero_gradients();
    d_A.set_zero();  // both are added to
    selective_scan_backward<1, wanted>(in, checkpoints.data(), d_y.matrix(), {}, gradients, workspace);
    assign<AssignMode::Add>(A_log.gradient, d_A * A);  // ∂A/∂A_log = A
    optimizer.step(store, 0.05);
  }
  for (std::size_t e = 0; e < E; ++e)
    std::cout << a(0, e) << " found as " << std::exp(A(e, 0) * softplus(dt_bias.value(0, e))) << '\n';
  return loss < 1e-4 ? 0 : 1;
}
