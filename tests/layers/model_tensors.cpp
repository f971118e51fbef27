#include <sdlora/layers/model_tensors.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

using namespace sdlora;

namespace {

/// An architecture of another name, with what the tables ask for.
struct Sizes {
  std::size_t d_model = 0, vocab_size = 0;
  bool tied_head = true;
};
constexpr Sizes tied{6, 11}, apart{6, 11, false};

static_assert(values_of(model_facts<Sizes>, tied) == 11 * 6 + 6);
static_assert(values_of(model_facts<Sizes>, apart) == 2 * 11 * 6 + 6);
static_assert(position_of(model_facts<Sizes>, site::NormF::name).found);
static_assert(position_of(model_facts<Sizes>, site::Embedding::name).tensor == 0);
static_assert(!position_of(model_facts<Sizes>, site::OutProj::name).found);
static_assert(model_added<Sizes>[0].shape(tied).cols == 6 && model_added<Sizes>[0].decay);

}  // namespace

TEST_CASE("model_tensors: a checkpoint holds the embedding, the last norm and a head of its own") {
  using Shape = std::vector<std::size_t>;
  const auto& facts = model_facts<Sizes>;
  CHECK(facts[0].key == "backbone.embeddings.weight");
  CHECK(facts[0].stored_shape(tied) == Shape{11, 6});
  CHECK(facts[1].key == "backbone.norm_f.weight");
  CHECK(facts[1].stored_shape(tied) == Shape{6});
  CHECK(facts[2].key == "lm_head.weight");
  CHECK(facts[2].stored_shape(apart) == Shape{11, 6});
}
