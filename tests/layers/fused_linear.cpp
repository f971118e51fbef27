#include "support/device_matrices.hpp"
#include "support/finite_differences.hpp"
#include "support/padded.hpp"

#include <sdlora/adapters/ia3.hpp>
#include <sdlora/adapters/lora.hpp>
#include <sdlora/adapters/selected_dimensions.hpp>
#include <sdlora/layers/fused_linear.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t inputs = 11, M = 6;
constexpr std::size_t outputs[3] = {5, 7, 3};
constexpr std::size_t all_outputs = 15;

/// A fused layer of three sites with its base weight, adapters moved away from their beginning.
template <class... Policies>
struct Layer {
  using Fused = FusedLinear<double, Cpu, typename Policies::template Linear<double>...>;

  AdapterOptions options{LoRAOptions{.rank = 2, .alpha = 3.0}, SelectedOptions{.channels = 3}};
  LayerSelection selection{{1, 4, 9}, {}};
  std::vector<double> weight;  // (15, 11)
  ParameterStore<double> store{2000};
  Fused layer;

  explicit Layer(double dropout = 0.0, bool second_active = true)
      : options{LoRAOptions{.rank = 2, .alpha = 3.0, .dropout = dropout}, SelectedOptions{.channels = 3},
                Seed{4}},
        weight(Normals(1).vector<double>(all_outputs * inputs)),
        layer(store, places(second_active)) {
    Normals normals(2);
    for (double& v : store.values()) v += 0.5 * normals.next();
  }

  std::array<SitePlace<double>, 3> places(bool second_active) const {
    std::array<SitePlace<double>, 3> result;
    std::size_t first = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      result[i] = {
          .name = "part" + std::to_string(i),
          .site = {"part", SiteKind::Linear, {outputs[i], inputs}},
          .active = i != 1 || second_active,
          .base = MatrixView<const double>(weight.data(), all_outputs, inputs).rows_from(first, outputs[i]),
          .options = &options,
          .selection = &selection};
      first += outputs[i];
    }
    return result;
  }

  /// The one weight that the layer stands for.
  std::vector<double> effective() const {
    std::vector<double> w = weight;
    layer.add_change(MatrixView<double>(w.data(), all_outputs, inputs), 1.0);
    return w;
  }
};

std::vector<double> product(const std::vector<double>& x, const std::vector<double>& w) {
  std::vector<double> y(M * all_outputs, 0.0);
  for (std::size_t i = 0; i < M; ++i) {
    for (std::size_t o = 0; o < all_outputs; ++o) {
      for (std::size_t k = 0; k < inputs; ++k)
        y[i * all_outputs + o] += x[i * inputs + k] * w[o * inputs + k];
    }
  }
  return y;
}

/// Forward against the dense weight, gradients of everything against finite differences, and how
/// many products the forward pass makes.
template <class... Policies>
void check(std::uint64_t products, double dropout = 0.0, bool second_active = true) {
  Layer<Policies...> l(dropout, second_active);
  const Pass pass{.training = true, .step = 5};
  std::vector<double> x = Normals(3).vector<double>(M * inputs);
  const auto d_y = Normals(4).vector<double>(M * all_outputs);
  const MatrixView<const double> x_view(x.data(), M, inputs), d_y_view(d_y.data(), M, all_outputs);
  Padded<double> y(M, all_outputs, 2), kept(M, l.layer.kept_columns(), 1);
  Workspace workspace;

  const std::uint64_t before = matmul_statistics().products;
  l.layer.forward(x_view, y.view, kept.view, pass, workspace);
  CHECK(matmul_statistics().products - before == products);
  if (dropout == 0.0) CHECK(relative_error(y.values(), product(x, l.effective())) <= 1e-14);
  l.layer.forward(x_view, y.view, {}, Pass{}, workspace);  // never dropout in evaluation
  CHECK(relative_error(y.values(), product(x, l.effective())) <= 1e-14);

  std::vector<double> d_x(M * inputs, 5.0), added(M * inputs, 5.0);
  l.layer.backward(x_view, d_y_view, kept.view, MatrixView<double>(d_x.data(), M, inputs), Write::Overwrite,
                   pass, workspace);
  const std::vector<double> gradients(l.store.gradients().begin(), l.store.gradients().end());
  l.layer.backward(x_view, d_y_view, kept.view, MatrixView<double>(added.data(), M, inputs), Write::Add, pass,
                   workspace);
  for (double& v : added) v -= 5.0;
  CHECK(relative_error(added, d_x) <= 1e-13);
  l.layer.backward(x_view, d_y_view, kept.view, MatrixView<double>(), Write::Overwrite, pass, workspace);
  for (std::size_t i = 0; i < gradients.size(); ++i) {  // three passes added up
    REQUIRE(l.store.gradients()[i] == doctest::Approx(3.0 * gradients[i]).epsilon(1e-12));
  }
  CHECK(workspace.bytes_in_use() == 0);

  const auto loss = [&] {
    l.layer.forward(x_view, y.view, kept.view, pass, workspace);
    double sum = 0.0;
    for (std::size_t i = 0; i < M; ++i) {
      for (std::size_t o = 0; o < all_outputs; ++o) sum += y.view(i, o) * d_y[i * all_outputs + o];
    }
    return sum;
  };
  check_gradient("x", x, d_x, loss);
  for (const ParameterInfo& entry : l.store.entries()) {
    check_gradient(entry.name, l.store.values(entry),
                   std::span<const double>(gradients).subspan(entry.offset, entry.size()), loss);
  }
}

/// Both directions and the change of a layer of three sites, on any device.
template <class Device, class... Policies>
Results both_directions(double dropout, bool second_active) {
  using Fused = FusedLinear<float, Device, typename Policies::template Linear<float, Device>...>;
  DeviceNormals<Device> normals(7);
  const auto weight = normals.matrix(all_outputs, inputs), x = normals.matrix(M, inputs),
             d_y = normals.matrix(M, all_outputs);
  auto y = normals.matrix(M, all_outputs + 2), evaluated = normals.matrix(M, all_outputs),
       d_x = normals.matrix(M, inputs), added = normals.matrix(M, inputs + 1),
       changed = normals.matrix(all_outputs, inputs);
  const AdapterOptions options{LoRAOptions{.rank = 2, .alpha = 3.0, .dropout = dropout},
                               SelectedOptions{.channels = 3}, Seed{4}};
  const LayerSelection selection{{1, 4, 9}, {}};
  ParameterStore<float, Device> store(2000);
  std::array<SitePlace<float, Device>, 3> places;
  for (std::size_t i = 0, first = 0; i < 3; first += outputs[i++]) {
    places[i] = {.name = "part" + std::to_string(i),
                 .site = {"part", SiteKind::Linear, {outputs[i], inputs}},
                 .active = i != 1 || second_active,
                 .base = weight.matrix().rows_from(first, outputs[i]),
                 .options = &options,
                 .selection = &selection};
  }
  const Fused layer(store, places);
  auto kept = normals.matrix(M, std::max<std::size_t>(1, layer.kept_columns()));
  const std::vector<float> initial = store.host_values();
  std::vector<float> stirred = initial;
  Normals stir(2);
  for (float& v : stirred) v += static_cast<float>(0.5 * stir.next());
  store.set_values(stirred);

  WorkspaceOn<Device> workspace;
  const Pass pass{.training = true, .step = 5};
  layer.forward(x.matrix(), y.matrix().cols_from(1, all_outputs), kept.matrix(), pass, workspace);
  layer.forward(x.matrix(), evaluated.matrix(), {}, Pass{}, workspace);
  layer.backward(x.matrix(), d_y.matrix(), kept.matrix(), d_x.matrix(), Write::Overwrite, pass, workspace);
  layer.backward(x.matrix(), d_y.matrix(), kept.matrix(), added.matrix().cols_from(0, inputs), Write::Add,
                 pass, workspace);
  layer.backward(x.matrix(), d_y.matrix(), kept.matrix(), {}, Write::Overwrite, pass, workspace);
  layer.add_change(changed.matrix(), -1.0F);
  CHECK(workspace.bytes_in_use() == 0);
  return {initial,
          host_values(y),
          host_values(evaluated),
          host_values(d_x),
          host_values(added),
          host_values(changed),
          store.host_gradients()};
}

template <class... Policies>
void check_emulated(double dropout = 0.0, bool second_active = true) {
  check_results(both_directions<Emulated, Policies...>(dropout, second_active),
                both_directions<Cpu, Policies...>(dropout, second_active));
}

/// Small integers, which bfloat16 and float hold exactly, and their products and sums too.
DeviceMatrix<Cpu> integers(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  DeviceMatrix<Cpu> matrix(rows, cols);
  const RandomStream random(seed, 1);
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    matrix.data()[i] = static_cast<float>(random.below(i, 9)) - 4.0F;
  }
  return matrix;
}

/// A layer on integers in one stored type: the output, the gradients of the input and of what learns.
template <class... Policies>
Results on_integers(StoredType stored, std::uint64_t& products) {
  const auto weight = integers(all_outputs, inputs, 1), x = integers(M, inputs, 2),
             d_y = integers(M, all_outputs, 3);
  std::vector<BFloat16> rounded(weight.size());
  const MatrixView<BFloat16> rounded_view(rounded.data(), all_outputs, inputs);
  store_values(rounded_view, weight.matrix());
  const FrozenWeight<float> base =
      stored == StoredType::Scalar ? FrozenWeight<float>(weight.matrix()) : FrozenWeight<float>(rounded_view);
  const AdapterOptions options{LoRAOptions{.rank = 2}, SelectedOptions{.channels = 3}};
  const LayerSelection selection{{1, 4, 9}, {}};
  ParameterStore<float> store(2000);
  std::array<SitePlace<float>, 3> places;
  for (std::size_t i = 0, first = 0; i < 3; first += outputs[i++]) {
    places[i] = {.name = "part" + std::to_string(i),
                 .site = {"part", SiteKind::Linear, {outputs[i], inputs}},
                 .base = base.rows_from(first, outputs[i]),
                 .options = &options,
                 .selection = &selection};
  }
  const FusedLinear<float, Cpu, typename Policies::template Linear<float>...> layer(store, places);
  const RandomStream random(8, 1);
  for (std::size_t i = 0; i < store.size(); ++i) {
    store.values()[i] = static_cast<float>(random.below(i, 5)) - 2.0F;
  }
  DeviceMatrix<Cpu> y(M, all_outputs), d_x(M, inputs), change(all_outputs, inputs);
  DeviceMatrix<Cpu> kept(M, std::max<std::size_t>(1, layer.kept_columns()));
  Workspace workspace;
  const std::uint64_t before = matmul_statistics().products;
  layer.forward(x.matrix(), y.matrix(), kept.matrix(), Pass{}, workspace);
  products = matmul_statistics().products - before;
  layer.backward(x.matrix(), d_y.matrix(), kept.matrix(), d_x.matrix(), Write::Overwrite, Pass{}, workspace);
  layer.add_change(change.matrix(), 1.0F);
  return {host_values(y), host_values(d_x), host_values(change),
          std::vector<float>(store.gradients().begin(), store.gradients().end())};
}

/// Where nothing is rounded, weights of bfloat16 give the floats' bits, in as many products: finite
/// differences, which check the floats, cannot check functions of rounded values.
template <class... Policies>
void check_stored() {
  std::uint64_t products = 0, expected_products = 0;
  const Results found = on_integers<Policies...>(StoredType::BFloat16, products);
  const Results expected = on_integers<Policies...>(StoredType::Scalar, expected_products);
  CHECK(products == expected_products);
  CHECK(found == expected);
}

}  // namespace

TEST_CASE("fused linear: weights of bfloat16 are the floats where nothing is rounded") {
  check_stored<Frozen, Frozen, Frozen>();
  check_stored<LoRA<2>, Frozen, LoRA<>>();
  check_stored<Frozen, SelectedDimensions<3>, Full>();
  check_stored<IA3, IA3, LoRA<1>>();
}

TEST_CASE("fused linear: frozen parts are one product") { check<Frozen, Frozen, Frozen>(1); }
TEST_CASE("fused linear: parts that learn as a whole lie together and are one product") {
  check<Full, Full, Full>(1);
}
TEST_CASE("fused linear: a part that learns among frozen ones") { check<Frozen, Full, Frozen>(3); }
TEST_CASE("fused linear: low rank beside the one product") { check<LoRA<2>, Frozen, LoRA<>>(1 + 2 + 2); }
TEST_CASE("fused linear: selected columns beside the one product") {
  check<Frozen, SelectedDimensions<3>, SelectedDimensions<>>(1 + 1 + 1);
}
TEST_CASE("fused linear: every policy") { check<LoRA<1>, Full, SelectedDimensions<3>>(3 + 2 + 1); }
TEST_CASE("fused linear: dropout of one pass, the same forward and backward") {
  check<LoRA<2>, LoRA<1>, Frozen>(5, 0.4);
}
TEST_CASE("fused linear: a part outside of its layers is frozen") {
  check<LoRA<2>, LoRA<2>, Frozen>(1 + 2, 0.0, false);
  check<Frozen, Full, Frozen>(1, 0.0, false);
}

TEST_CASE("fused linear: the emulated device's values and gradients are the host's") {
  check_emulated<LoRA<2>, Full, SelectedDimensions<3>>();
  check_emulated<LoRA<2>, LoRA<1>, Frozen>(0.4);  // with the very masks of the host
  check_emulated<LoRA<>, SelectedDimensions<>, Full>(0.4, false);
}

TEST_CASE("fused linear: its size and its parts") {
  const Layer<Frozen, LoRA<2>, Frozen> learns;
  CHECK(learns.layer.rows() == all_outputs);
  CHECK(learns.layer.active());
  CHECK(!learns.layer.part<0>().active());
  CHECK(learns.layer.part<1>().active());
  CHECK(learns.store.size() == 2 * (outputs[1] + inputs));
  const Layer<Frozen, LoRA<2>, Frozen> outside(0.0, false);
  CHECK(!outside.layer.active());
  CHECK(outside.store.size() == 0);
}

TEST_CASE("fused linear: input of another width") {
  const Layer<Frozen, LoRA<2>, Frozen> l;
  std::vector<double> x(M * inputs), y(M * all_outputs);
  Workspace workspace;
  CHECK_THROWS_WITH_AS(l.layer.forward(MatrixView<const double>(x.data(), M, inputs - 1),
                                       MatrixView<double>(y.data(), M, all_outputs), {}, Pass{}, workspace),
                       doctest::Contains("matmul: expected"), ShapeError);
}
