#include <sdlora/scan/blelloch.hpp>
#include <sdlora/scan/scan.hpp>

#include "support/scan_checks.hpp"

using namespace sdlora;

TEST_CASE("scan: steps compose by default, and their composition carries the state") {
  const std::vector<LinearStep<double>> steps = {{0.5, 1}, {2, -1}, {0, 3}, {-1, 0.25}};
  std::vector<LinearStep<double>> out(steps.size());
  scan(Sequential{}, steps, out);
  double state = 10;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    state = LinearRecurrence<double>::apply(steps[i], state);
    CHECK(LinearRecurrence<double>::apply(out[i], 10) == doctest::Approx(state));
  }
}

TEST_CASE("scan: lengths and sequences that do not fit are refused") {
  const std::vector<LinearStep<float>> in(5);
  std::vector<LinearStep<float>> out(4);
  CHECK_THROWS_AS(scan(Sequential{}, in, out), ShapeError);
  out.resize(5);
  const std::size_t too_few[] = {0, 2, 4}, descending[] = {0, 4, 2, 5}, late[] = {1, 5};
  CHECK_THROWS_AS(scan(Sequential{}, in, out, {.sequences = {too_few}}), ShapeError);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, in, out, {.sequences = {descending}}),
                       doctest::Contains("fall from 4 to 2 at sequence 1"), ShapeError);
  CHECK_THROWS_AS(scan(Sequential{}, in, out, {.sequences = {late}}), ShapeError);
}

TEST_CASE("scan: matrices, states and sequences that do not fit are refused") {
  std::vector<float> m(24);
  const MatrixView<float> wide(m.data(), 4, 6), tall(m.data(), 6, 4), narrow(m.data(), 4, 5);
  CHECK_THROWS_AS(scan(Sequential{}, wide, tall, wide), ShapeError);
  CHECK_THROWS_AS(scan(Sequential{}, narrow, wide, wide), ShapeError);
  CHECK_THROWS_AS(scan(Sequential{}, wide, wide, wide, {.initial = {m.data(), 2, 6}}), ShapeError);
  const std::size_t offsets[] = {0, 3};
  CHECK_THROWS_AS(scan(Sequential{}, wide, wide, wide, {.sequences = {offsets}}), ShapeError);
}

TEST_CASE("scan: scratch comes from the workspace and is given back") {
  Workspace workspace;
  const std::vector<LinearStep<double>> in(3000, {0.5, 1.0});
  std::vector<LinearStep<double>> out(in.size());
  scan(Blelloch{}, in, out, {}, LinearRecurrence<double>{}, workspace);
  CHECK(workspace.bytes_in_use() == 0);
  CHECK(workspace.peak_bytes() >= 4096 * sizeof(LinearStep<double>));
}

TEST_CASE("scan: what threads keep as scratch is given back on demand") {
  const std::size_t before = thread_count();
  set_thread_count(3);
  std::vector<float> m(500 * 3000, 0.5F), h(m.size());
  const MatrixView<float> a(m.data(), 500, 3000), result(h.data(), 500, 3000);
  scan(Sequential{}, a, a, result);
  const std::vector<LinearStep<double>> in(3000, {0.5, 1.0});
  std::vector<LinearStep<double>> out(in.size());
  scan(Blelloch{}, in, out);
  const auto kept = [] {
    std::vector<std::size_t> bytes(1000);
    parallel_for(bytes.size(), [&](std::size_t i) { bytes[i] = detail::thread_workspace().peak_bytes(); });
    return *std::max_element(bytes.begin(), bytes.end());
  };
  CHECK(detail::thread_workspace().peak_bytes() > 0);
  CHECK(kept() > 0);
  release_scan_memory();
  CHECK(detail::thread_workspace().peak_bytes() == 0);
  CHECK(kept() == 0);
  CHECK(thread_count() == 3);
  set_thread_count(before);
}
