#include "support/numbers.hpp"

#include <sdlora/adapters/pissa.hpp>

#include <doctest/doctest.h>

#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t out = 7, in = 5;
constexpr SiteInfo site_{"out_proj", SiteKind::Linear, {out, in}};

SitePlace<double> place_of(const std::vector<double>& base, const AdapterOptions& options) {
  return {.name = "a",
          .site = site_,
          .base = MatrixView<const double>(base.data(), out, in),
          .options = &options};
}

}  // namespace

TEST_CASE("pissa: begins at the weight's principal part, and what is left of it is what stays") {
  const std::vector<double> base = Normals(3).vector<double>(out * in);
  for (const double alpha : {0.0, 6.0}) {
    const AdapterOptions options{LoRAOptions{.rank = 2, .alpha = alpha}};
    ParameterStore<double> store(2 * (out + in));
    const PiSSA<>::Linear<double> state(store, place_of(base, options));
    CHECK(!store.find("a.lora_A")->decay);
    CHECK(!store.find("a.lora_B")->decay);
    std::vector<double> change(out * in, 0.0);
    const MatrixView<double> to(change.data(), out, in);
    state.add_change(to, 1.0);
    for (const double c : change) CHECK(c == doctest::Approx(0.0));
    // Without B·A, W less its principal part: what the published method keeps frozen.
    store.set_values(std::vector<double>(store.size(), 0.0));
    change = base;
    state.add_change(to, 1.0);
    const PrincipalFactors part = principal_factors(MatrixView<const double>(base.data(), out, in), 2);
    std::vector<double> rest = base;
    for (std::size_t i = 0; i < out; ++i) {
      for (std::size_t j = 0; j < in; ++j) {
        for (std::size_t k = 0; k < 2; ++k) rest[i * in + j] -= part.B[i * 2 + k] * part.A[k * in + j];
      }
    }
    CHECK(relative_error(change, rest) < 1e-13);
  }
}

TEST_CASE("pissa: a rank that the weight has not is refused") {
  const std::vector<double> base(out * in, 1.0);
  const AdapterOptions options{LoRAOptions{.rank = 6}};
  ParameterStore<double> store(6 * (out + in));
  CHECK_THROWS_WITH_AS(
      (PiSSA<>::Linear<double>(store, place_of(base, options))),
      doctest::Contains(
          "a: expected a rank of at most 5 for PiSSA, as many singular values as the weight has, found 6"),
      ArgumentError);
}
