#include <sdlora/scan/menu/blelloch.hpp>
#include <sdlora/scan/menu/scan.hpp>

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
  const MatrixView<float> nowhere(nullptr, 4, 6), flat(m.data(), 4, 6, 5);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, nowhere, wide, wide),
                       "scan: a has no data; pass a view of its values", ShapeError);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, wide, nowhere, wide), doctest::Contains("b has no data"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, wide, wide, nowhere), doctest::Contains("h has no data"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, wide, wide, flat), doctest::Contains("so they overlap"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, wide, wide, wide, {.initial = {nullptr, 1, 6}}),
                       doctest::Contains("initial has no data"), ShapeError);
}

TEST_CASE("scan: results lie where an operand does, or apart") {
  std::vector<float> m(30, 0.5F), expected(m.begin(), m.begin() + 24);
  const MatrixView<float> x(m.data(), 4, 6), ahead(m.data() + 6, 4, 6);
  scan(Sequential{}, x, x, MatrixView<float>(expected.data(), 4, 6));
  CHECK_THROWS_WITH_AS(scan(Sequential{}, x, x, ahead),
                       "scan: h shares memory with a; give it memory of its own", ArgumentError);
  CHECK_THROWS_AS(scan(Sequential{}, ahead, x, ahead.rows_from(0, 4)), ArgumentError);
  CHECK(m == std::vector<float>(30, 0.5F));
  // Columns of one matrix are apart.
  const MatrixView<float> left(m.data(), 4, 3, 7), right(m.data() + 3, 4, 3, 7);
  scan(Sequential{}, left, left, right);
  CHECK(std::equal(right.row(3), right.row(3) + 3, expected.begin() + 18));
  // A stride of 0 is one row for all steps.
  const MatrixView<const float> half(expected.data(), 4, 3, 0);
  scan(Sequential{}, half, half, right);
  CHECK(std::equal(right.row(3), right.row(3) + 3, expected.begin() + 18));
}

TEST_CASE("scan: values in place, in every direction; never over a part of them") {
  const std::vector<std::string> letters{"a", "b", "c", "d"};
  for (const ScanKind kind : scan_checks::kinds) {
    for (const ScanDirection direction : scan_checks::directions) {
      for (const std::vector<std::size_t>& offsets : {std::vector<std::size_t>{}, {0, 1, 1, 4}}) {
        const ScanOptions<std::string> options{kind, direction, "x", {offsets}};
        std::vector<std::string> values = letters;
        scan(Sequential{}, values, values, options, scan_checks::Concatenate{});
        CHECK(values == scan_checks::by_definition(letters, scan_checks::Concatenate{}, options));
      }
    }
  }
  std::vector<LinearStep<float>> steps(6);
  const std::span<LinearStep<float>> all(steps);
  CHECK_THROWS_WITH_AS(scan(Sequential{}, all.first(5), all.last(5)), doctest::Contains("out overlaps in"),
                       ArgumentError);
  CHECK_THROWS_AS(scan(Sequential{}, all.last(5), all.first(5)), ArgumentError);
  scan(Sequential{}, all.first(3), all.last(3));
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
    parallel_for(bytes.size(), [&](std::size_t i) { bytes[i] = thread_workspace().peak_bytes(); });
    return *std::max_element(bytes.begin(), bytes.end());
  };
  CHECK(thread_workspace().peak_bytes() > 0);
  CHECK(kept() > 0);
  release_scan_memory();
  CHECK(thread_workspace().peak_bytes() == 0);
  CHECK(kept() == 0);
  CHECK(thread_count() == 3);
  set_thread_count(before);
}
