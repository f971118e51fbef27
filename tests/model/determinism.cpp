// Loss, gradients and states have the same bits for any number of threads.
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <cstring>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Large enough that products, norm, convolution, scan and head are all cut into several tasks.
constexpr MambaDimensions wide{
    .d_model = 72, .n_layer = 2, .vocab_size = 530, .dt_rank = 5, .d_inner = 144, .d_state = 16, .d_conv = 4};

struct Result {
  std::vector<float> gradients, states, logits;
  double loss = 0.0, evaluated = 0.0;
};

template <class P>
Result run(std::size_t threads, double dropout) {
  set_thread_count(threads);
  REQUIRE(thread_count() == threads);
  AdapterOptions options = some_options();
  options.set(LoRAOptions{.dropout = dropout});
  auto model = stirred_model<P, TinyAny, float>(wide, options);
  const Batch batch = some_batch({300, 17, 1, 90, 130}, wide.vocab_size);
  Result result;
  result.loss = model.accumulate_gradients(batch, 0.01, {.training = true, .step = 3}).sum;
  result.evaluated = model.loss(batch).sum;
  result.gradients.assign(model.parameters().gradients().begin(), model.parameters().gradients().end());
  MambaState<float> state = model.initial_state(5);
  result.logits.resize(batch.tokens() * wide.vocab_size);
  model.forward(batch.ids(), batch.sequences(), state,
                MatrixView<float>(result.logits.data(), batch.tokens(), wide.vocab_size));
  result.states.assign(state.values().begin(), state.values().end());
  return result;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("the number of threads changes no bit") {
  const std::size_t before = thread_count();
  const Result one = run<Everything>(1, 0.2);
  CHECK(std::isfinite(one.loss));
  for (const std::size_t threads : {std::size_t{2}, std::size_t{3}}) {
    CAPTURE(threads);
    const Result other = run<Everything>(threads, 0.2);
    CHECK(other.loss == one.loss);
    CHECK(other.evaluated == one.evaluated);
    CHECK(same_bits(other.gradients, one.gradients));
    CHECK(same_bits(other.logits, one.logits));
    CHECK(same_bits(other.states, one.states));
  }
  const Result again = run<Everything>(3, 0.2);
  CHECK(same_bits(again.gradients, one.gradients));
  set_thread_count(before);
}
