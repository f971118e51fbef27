#include "support/numbers.hpp"

#include <sdlora/adapters/prodial.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t out = 3, in = 6, M = 2, rank = 1, block = 2;
constexpr SiteInfo site_{"out_proj", SiteKind::Linear, {out, in}};
static_assert(ProDiaL<rank, block>::count(site_, ProDiaL<rank, block>::resolved({}, site_)) ==
              out + block * in + rank * (out + in));
static_assert(ProDiaL<1, 2>::is_static && !ProDiaL<1>::is_static && !ProDiaL<>::is_static);
static_assert(changes_input<ProDiaL<>::Linear<float>> && changes_output<ProDiaL<>::Linear<float>> &&
              adds_beside<ProDiaL<>::Linear<float>>);

SitePlace<double> place_of(const std::vector<double>& base, const AdapterOptions& options) {
  return {.name = "a",
          .site = site_,
          .base = MatrixView<const double>(base.data(), out, in),
          .options = &options};
}

}  // namespace

TEST_CASE("prodial: diag(s)·W·M + scale·B·A, at first W; M mixes the inputs of a block alone") {
  const std::vector<double> base = Normals(1).vector<double>(out * in), x = Normals(2).vector<double>(M * in);
  const AdapterOptions options{ProDiaLOptions{.rank = rank, .alpha = 2.0, .block_size = block}};
  ParameterStore<double> store(out + block * in + rank * (out + in));
  const ProDiaL<>::Linear<double> state(store, place_of(base, options));
  for (const char* name : {"a.prodial_s", "a.prodial_M"}) CHECK(!store.find(name)->decay);
  std::vector<double> change(out * in, 0.0);
  state.add_change(MatrixView<double>(change.data(), out, in), 1.0);
  for (const double c : change) CHECK(c == 0.0);

  Normals normals(3);
  for (double& v : store.values()) v += normals.next();
  const std::vector<double> all = store.host_values();
  const auto s = [&](std::size_t o) { return all[o]; };
  // Row k of what is stored: by what each result reads the input k of its block.
  const auto m = [&](std::size_t i, std::size_t j) {
    return i / block == j / block ? all[out + j % block * in + i] : 0.0;
  };
  const auto a = [&](std::size_t j) { return all[out + block * in + j]; };
  const auto b = [&](std::size_t o) { return all[out + block * in + in + o]; };
  std::vector<double> expected(out * in, 0.0);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t j = 0; j < in; ++j) {
      for (std::size_t i = 0; i < in; ++i) expected[o * in + j] += s(o) * base[o * in + i] * m(i, j);
      expected[o * in + j] += 2.0 * b(o) * a(j);
    }
  }
  std::vector<double> merged = base;
  state.add_change(MatrixView<double>(merged.data(), out, in), 1.0);
  CHECK(relative_error(merged, expected) < 1e-13);

  Workspace workspace;
  const MatrixView<const double> input(x.data(), M, in);
  std::vector<double> y(M * out, 0.0), wanted(M * out, 0.0);
  const MatrixView<double> output(y.data(), M, out);
  matmul(output, state.input(input, {}, workspace),
         transposed(MatrixView<const double>(base.data(), out, in)));
  state.forward(input, output, {}, {}, workspace);
  state.beside(input, output, {}, workspace);
  for (std::size_t r = 0; r < M; ++r) {
    for (std::size_t o = 0; o < out; ++o) {
      for (std::size_t j = 0; j < in; ++j) wanted[r * out + o] += expected[o * in + j] * x[r * in + j];
    }
  }
  CHECK(relative_error(y, wanted) < 1e-13);
}

TEST_CASE("prodial: a block size that does not divide the inputs is refused") {
  const std::vector<double> base(out * in, 1.0);
  const AdapterOptions options{ProDiaLOptions{.rank = 1, .block_size = 4}};
  ParameterStore<double> store(100);
  CHECK_THROWS_WITH_AS((ProDiaL<>::Linear<double>(store, place_of(base, options))),
                       doctest::Contains("a: expected a block size that divides its 6 inputs, found 4"),
                       ArgumentError);
}
