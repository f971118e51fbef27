#include "support/device_matrices.hpp"
#include "support/finite_differences.hpp"

#include <sdlora/adapters/selected_dimensions.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using Policy = SelectedDimensions<3, 2>;
static_assert(Policy::is_static && !SelectedDimensions<>::is_static && Policy::mergeable);
static_assert(Policy::is_static_at<site::ALog> && !SelectedDimensions<3>::is_static_at<site::ALog>);
static_assert(SelectedDimensions<3>::is_static_at<site::XProjB>);
constexpr SiteInfo on_projection{"x_proj_B", SiteKind::Linear, {16, 100}};
constexpr SiteInfo on_a_log{"A_log", SiteKind::ElementWise, {100, 16}};
constexpr SelectedOptions three_of_two{.channels = 3, .states = 2};
static_assert(Policy::count(on_projection, three_of_two) == 16 * 3);  // whole columns of a projection
static_assert(Policy::count(on_a_log, three_of_two) == 3 * 2);        // chosen states of A_log
static_assert(SelectedDimensions<>::count(on_a_log, {.channels = 5, .states = 4}) == 20);
static_assert(Policy::resolved({.channels = 9, .states = 9}, on_a_log).states == 2);
static_assert(SelectedDimensions<>::resolved({}, on_projection).channels == 1);

constexpr std::size_t E = 8, N = 4;

struct Fixture {
  std::vector<double> base = Normals(1).vector<double>(N * E);
  AdapterOptions options{SelectedOptions{.channels = 3, .states = 2}};
  LayerSelection selection{{1, 4, 7}, {0, 3, 1, 2, 0, 1}};
  ParameterStore<double> store{200};
  SitePlace<double> place(const LayerSelection* chosen, bool projection) const {
    return {.name = "layers.2.here",
            .site = {"here", projection ? SiteKind::Linear : SiteKind::ElementWise,
                     projection ? SiteShape{N, E} : SiteShape{E, N}},
            .base = projection ? MatrixView<const double>(base.data(), N, E)
                               : MatrixView<const double>(base.data(), E, N),
            .options = &options,
            .selection = chosen};
  }
};

/// What chosen states of A_log leave on any device, some channels of it and all of their rows' gradients.
template <class Device>
Results selected_states() {
  DeviceNormals<Device> normals(5);
  const auto A_log = normals.matrix(E, N), base_A = normals.matrix(E, N), d_A = normals.matrix(3, N + 1);
  auto A = normals.matrix(E, N), frozen_A = normals.matrix(E, N), target = normals.matrix(E, N + 2);
  const AdapterOptions options{SelectedOptions{.channels = 3, .states = 2}};
  const LayerSelection selection{{1, 4, 7}, {0, 3, 1, 2, 0, 1}};
  ParameterStore<float, Device> store(6);
  SitePlace<float, Device> place{.name = "here",
                                 .site = {"here", SiteKind::ElementWise, {E, N}},
                                 .base = A_log.matrix(),
                                 .options = &options,
                                 .selection = &selection};
  const Policy::Selected<float, Device> selected(store, place);
  place.active = false;
  const Policy::Selected<float, Device> frozen(store, place);
  CHECK(store.host_values() == std::vector<float>(6, 0.0F));
  store.set_values(Normals(6).vector<float>(6));
  selected.effective_A(base_A.matrix(), A.matrix());
  frozen.effective_A(base_A.matrix(), frozen_A.matrix());
  CHECK(host_values(frozen_A) == host_values(base_A));
  for (int i = 0; i < 2; ++i) selected.add_gradient(d_A.matrix().cols_from(1, N), A.matrix());
  selected.add_change(target.matrix().cols_from(1, N), 2.0F);
  frozen.add_change(target.matrix().cols_from(1, N), 2.0F);
  return {host_values(A), host_values(target), store.host_gradients()};
}

}  // namespace

TEST_CASE("selected_dimensions: the emulated device's states, A and gradients are the host's") {
  check_results(selected_states<Emulated>(), selected_states<Cpu>());
}

TEST_CASE("selected_dimensions: a projection's chosen columns learn, forward, backward and merged") {
  Fixture f;
  const Policy::Linear<double> linear(f.store, f.place(&f.selection, true));
  REQUIRE(f.store.entries().size() == 1);
  CHECK(f.store.entries()[0].name == "layers.2.here.delta");
  CHECK(f.store.size() == N * 3);  // in proportion to the selection
  for (const double v : f.store.values()) CHECK(v == 0.0);
  Normals normals(2);
  normals.fill(f.store.values(), 1.0);

  const std::size_t M = 5;
  std::vector<double> x = normals.vector<double>(M * E);
  const auto d_y = normals.vector<double>(M * N);
  const MatrixView<const double> x_view(x.data(), M, E), d_y_view(d_y.data(), M, N);
  Workspace workspace;
  const auto added = [&] {
    std::vector<double> y(M * N, 0.0);
    linear.forward(x_view, MatrixView<double>(y.data(), M, N), {}, workspace);
    return y;
  };
  std::vector<double> change(N * E, 0.0), expected(M * N, 0.0);
  linear.add_change(MatrixView<double>(change.data(), N, E), 1.0);
  for (std::size_t i = 0; i < M; ++i) {
    for (std::size_t n = 0; n < N; ++n) {
      for (std::size_t e = 0; e < E; ++e) expected[i * N + n] += x[i * E + e] * change[n * E + e];
    }
  }
  CHECK(relative_error(added(), expected) <= 1e-14);
  for (std::size_t n = 0; n < N; ++n) {
    CHECK(change[n * E + 4] == f.store.values()[n * 3 + 1]);
    for (const std::size_t e : {0U, 2U, 3U, 5U, 6U}) CHECK(change[n * E + e] == 0.0);
  }

  std::vector<double> d_x(M * E, 0.0);
  linear.backward(x_view, d_y_view, MatrixView<double>(d_x.data(), M, E), {}, workspace);
  const std::vector<double> gradients(f.store.gradients().begin(), f.store.gradients().end());
  const auto loss = [&] {
    const auto y = added();
    double sum = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * d_y[i];
    return sum;
  };
  check_gradient("delta", f.store.values(), gradients, loss);
  check_gradient("x", x, d_x, loss);
}

TEST_CASE("selected_dimensions: chosen states of chosen channels of A_log learn") {
  Fixture f;
  const Policy::Selected<double> selected(f.store, f.place(&f.selection, false));
  CHECK(f.store.size() == 3 * 2);
  CHECK(selected.active());
  CHECK(std::vector<std::size_t>(selected.channels_chosen().begin(), selected.channels_chosen().end()) ==
        std::vector<std::size_t>{1, 4, 7});
  for (std::size_t i = 0; i < 6; ++i) f.store.values()[i] = static_cast<double>(i + 1);
  std::vector<double> target(E * N, 0.0), expected(E * N, 0.0);
  selected.add_change(MatrixView<double>(target.data(), E, N), -1.0);
  expected[1 * N + 0] = -1.0, expected[1 * N + 3] = -2.0;
  expected[4 * N + 1] = -3.0, expected[4 * N + 2] = -4.0;
  expected[7 * N + 0] = -5.0, expected[7 * N + 1] = -6.0;
  CHECK(target == expected);
  // A gradient of the three channels' rows: only the chosen states are taken, times A there.
  std::vector<double> gradient(3 * N), A(E * N);
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = static_cast<double>(10 + i);
  for (std::size_t i = 0; i < A.size(); ++i) A[i] = -static_cast<double>(i);
  const MatrixView<const double> d_A(gradient.data(), 3, N), A_view(A.data(), E, N);
  selected.add_gradient(d_A, A_view);
  selected.add_gradient(d_A, A_view);
  CHECK(std::vector<double>(f.store.gradients().begin(), f.store.gradients().end()) ==
        std::vector<double>{-20 * 4, -26 * 7, -30 * 17, -32 * 18, -36 * 28, -38 * 29});
}

TEST_CASE("selected_dimensions: the A that its change makes, and the change's gradient by way of it") {
  Fixture f;
  const Policy::Selected<double> selected(f.store, f.place(&f.selection, false));
  Normals normals(3);
  normals.fill(f.store.values(), 0.5);
  std::vector<double> base_A(E * N), A(E * N, 5.0), A_log = f.base;
  for (std::size_t i = 0; i < E * N; ++i) base_A[i] = -std::exp(f.base[i]);
  const MatrixView<const double> base_view(base_A.data(), E, N);
  const MatrixView<double> A_view(A.data(), E, N);
  selected.effective_A(base_view, A_view);
  selected.add_change(MatrixView<double>(A_log.data(), E, N), 1.0);
  for (std::size_t i = 0; i < E * N; ++i) {
    CHECK(A[i] == doctest::Approx(-std::exp(A_log[i])).epsilon(1e-14));
    CHECK((A_log[i] == f.base[i]) == (A[i] == base_A[i]));
  }

  const auto d_A = normals.vector<double>(3 * N);
  selected.add_gradient(MatrixView<const double>(d_A.data(), 3, N), A_view);
  const std::vector<double> gradients(f.store.gradients().begin(), f.store.gradients().end());
  check_gradient("delta", f.store.values(), gradients, [&] {
    selected.effective_A(base_view, A_view);
    double sum = 0.0;
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t n = 0; n < N; ++n) sum += A[f.selection.channels[c] * N + n] * d_A[c * N + n];
    }
    return sum;
  });
}

TEST_CASE("selected_dimensions: a selection that does not fit the placement") {
  Fixture f;
  CHECK_THROWS_WITH_AS(
      Policy::Linear<double>(f.store, f.place(nullptr, true)),
      doctest::Contains("layers.2.here: expected a selection of 3 channels as the placement says, found 0"),
      ArgumentError);
  const LayerSelection two{{1, 4}, {0, 3, 1, 2}}, three_states{{1, 4, 7}, {0, 1, 2, 0, 1, 2, 0, 1, 2}};
  CHECK_THROWS_WITH_AS(Policy::Selected<double>(f.store, f.place(&two, false)), doctest::Contains("found 2"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(Policy::Selected<double>(f.store, f.place(&three_states, false)),
                       doctest::Contains("2 states per channel as the placement says, found 3"),
                       ArgumentError);
  CHECK(f.store.size() == 0);
}

TEST_CASE("selected_dimensions: chosen entries of a site with two values for each state") {
  const Fixture f;
  ParameterStore<double> store(12);
  const std::vector<double> base = Normals(2).vector<double>(E * 2 * N);
  const SitePlace<double> place{.name = "layers.0.C",
                                .site = {"C", SiteKind::ElementWise, {E, 2 * N}, 2},
                                .base = MatrixView<const double>(base.data(), E, 2 * N),
                                .options = &f.options,
                                .selection = &f.selection};
  const Policy::Element<double> state(store, place);
  REQUIRE(store.size() == 12);
  Workspace workspace;
  std::vector<double> expected = base, d(E * 2 * N), d_expected(12);
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = static_cast<double>(i) + 1.0;
  for (std::size_t i = 0; i < 12; ++i) {
    store.values()[i] = static_cast<double>(i) - 3.5;
    // Two states of each chosen channel, each with two neighbouring values.
    const std::size_t at = f.selection.channels[i / 4] * 2 * N + 2 * f.selection.states[i / 2] + i % 2;
    expected[at] += store.values()[i];
    d_expected[i] = d[at];
  }
  {
    const WorkspaceScope scope(workspace);
    const MatrixView<const double> values = state.values(workspace);
    CHECK(std::vector<double>(values.data, values.data + E * 2 * N) == expected);
  }
  state.add_gradient({d.data(), E, 2 * N}, workspace);
  CHECK(std::vector<double>(store.gradients().begin(), store.gradients().end()) == d_expected);
  std::vector<double> changed = base;
  state.add_change({changed.data(), E, 2 * N}, 1.0);
  CHECK(changed == expected);
  const LayerSelection other{{1, 4, 7}, {0, 1, 2}};
  SitePlace<double> wrong = place;
  wrong.selection = &other;
  CHECK_THROWS_AS((Policy::Element<double>(store, wrong)), ArgumentError);
  wrong.active = false;
  const Policy::Element<double> frozen(store, wrong);
  CHECK_FALSE(frozen.active());
  CHECK(frozen.values(workspace).data == base.data());
}
