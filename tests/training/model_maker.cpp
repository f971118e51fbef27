// Compiles the models that model_choices.cpp chooses among, and makes one in this source file.
#include "support/tiny_models.hpp"
#include "training/model_choices.hpp"

#include <sdlora/training/model_maker.hpp>
#include <sdlora/training/select_dimensions.hpp>

#include <doctest/doctest.h>

template struct sdlora::ModelMaker<sdlora_test::choices::Nothing>;
template struct sdlora::ModelMaker<sdlora_test::choices::Biases>;
template struct sdlora::ModelMaker<sdlora_test::choices::Selected>;
template struct sdlora::ModelMaker<sdlora_test::choices::Prompt>;

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("model_maker: another type of base and of values, without further ado") {
  using Exact = ModelChoicesOf<Tiny, double, choices::Biases>;
  const auto base = rough_base<Tiny, double>(tiny_dimensions);
  const auto model = Exact::make("biases", base);
  const MambaModel<Tiny, presets::BitFit, double> known(base);
  CHECK(model->loss(some_batch({5, 2})).sum == known.loss(some_batch({5, 2})).sum);
  CHECK(model->parameters().size() == known.parameters().size());
}
