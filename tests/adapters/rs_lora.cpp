#include <sdlora/adapters/lora.hpp>
#include <sdlora/adapters/rs_lora.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace sdlora;

TEST_CASE_TEMPLATE("rs_lora: the scale is alpha / √rank", Policy, RsLoRA<>, RsLoRA<9>) {
  std::vector<double> base(5 * 7, 0.0);
  const AdapterOptions options{LoRAOptions{.rank = 9, .alpha = 6.0}};
  const SiteInfo site{"out_proj", SiteKind::Linear, {5, 7}};
  ParameterStore<double> store(9 * (5 + 7));
  const SitePlace<double> place{
      .name = "a", .site = site, .base = MatrixView<const double>(base.data(), 5, 7), .options = &options};
  const typename Policy::template Linear<double> state(store, place);
  CHECK(state.scale() == doctest::Approx(2.0));  // LoRA's is 6 / 9
  ParameterStore<double> other(9 * (5 + 7));
  CHECK(LoRA<>::Linear<double>(other, place).scale() == doctest::Approx(6.0 / 9.0));
  CHECK(Policy::count(site, detail::resolved<Policy>(options.of<LoRAOptions>(), site)) == 9 * (5 + 7));
  CHECK(Policy::name == "rslora");
}
