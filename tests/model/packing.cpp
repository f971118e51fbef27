// A batch of sequences gives the loss, gradients and final states of its sequences alone.
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class Model>
std::vector<typename Model::value_type> gradients_of(const Model& model) {
  const auto gradients = model.parameters().gradients();
  return {gradients.begin(), gradients.end()};
}

template <class P, class T>
void check_packing(double tolerance) {
  auto model = stirred_model<P, Tiny, T>();
  const std::size_t V = model.dimensions().vocab_size;
  const std::vector<Example> examples = some_examples({7, 1, 40, 3, 64}, V);
  const Batch batch{examples};

  const Loss together = model.accumulate_gradients(batch, 0.25);
  const auto gradients = gradients_of(model);
  const auto logits = model.logits(batch);
  MambaState<T> states = model.initial_state(examples.size());
  std::vector<T> unused(batch.tokens() * V);
  model.forward(batch.ids(), batch.sequences(), states, MatrixView<T>(unused.data(), batch.tokens(), V));

  model.parameters().zero_gradients();
  Loss alone;
  for (std::size_t s = 0; s < examples.size(); ++s) {
    CAPTURE(s);
    const Batch one{std::span<const Example>(examples).subspan(s, 1)};
    const Loss loss = model.accumulate_gradients(one, 0.25);
    CHECK(std::abs(loss.sum - model.loss(one).sum) <= tolerance * (1.0 + loss.sum));
    alone.sum += loss.sum;
    alone.count += loss.count;

    const auto own = model.logits(one);
    const std::size_t first = batch.sequences().first(s);
    CHECK(relative_norm(std::span<const T>(logits.data() + first * V, own.size()),
                        std::span<const T>(own.data(), own.size())) <= tolerance);
    MambaState<T> state = model.initial_state(1);
    model.forward(one.ids(), one.sequences(), state, MatrixView<T>(unused.data(), one.tokens(), V));
    MambaState<T> from_batch = model.initial_state(1);
    from_batch.repeat(states, s);
    CHECK(relative_norm(from_batch.values(), state.values()) <= tolerance);
  }
  CHECK(together.count == alone.count);
  CHECK(together.count == batch.loss_tokens());
  CHECK(std::abs(together.sum - alone.sum) <= tolerance * alone.sum);
  CHECK(relative_norm(gradients, gradients_of(model)) <= tolerance);
}

}  // namespace

TEST_CASE("a batch equals its sequences alone, in double") { check_packing<Everything, double>(1e-12); }
TEST_CASE("a batch equals its sequences alone, in float") { check_packing<Everything, float>(1e-5); }

TEST_CASE("what stands in the padding has no influence") {
  auto model = stirred_model<Everything>();
  const std::vector<std::size_t> lengths{2, 5};
  std::vector<std::int32_t> ids{3, 1, 0, 0, 0, 4, 1, 5, 9, 2}, labels = ids;
  const Loss first = model.accumulate_gradients(Batch::from_padded(ids, labels, lengths), 1.0);
  const auto gradients = gradients_of(model);
  for (const std::size_t i : {2U, 3U, 4U}) ids[i] = 17, labels[i] = 11;
  model.parameters().zero_gradients();
  const Loss second = model.accumulate_gradients(Batch::from_padded(ids, labels, lengths), 1.0);
  CHECK(first.count == 5);
  CHECK(first.sum == second.sum);
  CHECK(gradients == gradients_of(model));
}

TEST_CASE("gradients add up over batches") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({6, 4});
  model.accumulate_gradients(batch, 0.5);
  const auto once = gradients_of(model);
  model.accumulate_gradients(batch, 0.5);
  const auto twice = gradients_of(model);
  model.parameters().zero_gradients();
  model.accumulate_gradients(batch, 1.0);
  CHECK(relative_norm(twice, gradients_of(model)) <= 1e-13);
  CHECK(relative_norm(once, twice) == doctest::Approx(0.5));
}

TEST_CASE("a batch without any target has no loss and no gradient") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({1, 1, 1});
  const Loss loss = model.accumulate_gradients(batch, 1.0);
  CHECK(loss.count == 0);
  CHECK(loss.sum == 0.0);
  CHECK(loss.mean() == 0.0);
  for (const double g : model.parameters().gradients()) REQUIRE(g == 0.0);
}
