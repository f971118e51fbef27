// Additional states: a line each. Of Tiny, d = 10, E = 20, N = 16, R = 3, K = 4.
#include "support/method_cases.hpp"

using namespace sdlora;

// clang-format off
SDLORA_TEST_METHOD("additional scan",              3 * 3 * 20,                On<site::Scan, AdditionalScan<>>)
SDLORA_TEST_METHOD("additional scan among others", 3 * 2 * 20 + 20 + 2 * 30,  On<site::Scan, AdditionalScan<2>>, On<site::DtBias, Full>, On<site::InProjX, LoRA<>>)
// clang-format on

TEST_CASE("additional scan: decoding in some layers alone, and behind prompts and prefixes") {
  using P = Place<On<site::Scan, AdditionalScan<3>>, On<site::Prefix, PrefixTuning<2>>,
                  On<site::Prompt, PromptTuning<2>>>;
  sdlora_test::check_decoding<P>();
  AdapterOptions options = sdlora_test::method_options();
  options.layers = {{"scan", 1, 2}};
  const auto model = sdlora_test::stirred_model<P>(sdlora_test::tiny_dimensions, options);
  const Batch batch = sdlora_test::some_batch({4, 3});
  const auto whole = model.logits(batch);
  auto state = model.initial_state(2);
  const std::size_t offsets[] = {0, 2, 3}, rest[] = {0, 2, 4};
  const std::vector<std::int32_t> first{batch.ids()[0], batch.ids()[1], batch.ids()[4]},
      second{batch.ids()[2], batch.ids()[3], batch.ids()[5], batch.ids()[6]};
  Tensor<double, Extents<dyn, dyn>> three(Extents<dyn, dyn>(3, 19)), four(Extents<dyn, dyn>(4, 19));
  model.forward(first, {offsets}, state, three.matrix());
  model.forward(second, {rest}, state, four.matrix());
  for (std::size_t v = 0; v < 19; ++v) {
    CHECK(three.matrix()(2, v) == doctest::Approx(whole.matrix()(4, v)).epsilon(1e-10));
    CHECK(four.matrix()(1, v) == doctest::Approx(whole.matrix()(3, v)).epsilon(1e-10));
    CHECK(four.matrix()(3, v) == doctest::Approx(whole.matrix()(6, v)).epsilon(1e-10));
  }
  // A state of a model without additional states is another model's.
  MambaState<double> other(model.dimensions(), 2);
  CHECK_THROWS_WITH_AS(model.forward(first, {offsets}, other, three.matrix()),
                       doctest::Contains("expected a state of this model"), ShapeError);
}
