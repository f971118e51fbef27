// The full sequence, chunks with carried state, and single steps give the same, for every placement.
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

/// Runs the batch in pieces: in round i sequence s reads rounds[i][s] tokens, possibly none.
template <class Model>
void check_chunks(Model& model, const Batch& batch, const std::vector<std::vector<std::size_t>>& rounds,
                  double tolerance) {
  using T = typename Model::value_type;
  const Sequences whole = batch.sequences();
  const std::size_t S = whole.count();
  const std::size_t V = model.dimensions().vocab_size;
  MambaState<T> expected_state = model.initial_state(S);
  std::vector<T> expected(batch.tokens() * V);
  model.forward(batch.ids(), whole, expected_state, MatrixView<T>(expected.data(), batch.tokens(), V));

  MambaState<T> state = model.initial_state(S);
  std::vector<T> found(expected.size(), T(-99));
  std::vector<std::size_t> read(S, 0);
  for (const std::vector<std::size_t>& round : rounds) {
    std::vector<std::int32_t> ids;
    std::vector<std::size_t> offsets{0};
    for (std::size_t s = 0; s < S; ++s) {
      for (std::size_t t = 0; t < round[s]; ++t) ids.push_back(batch.ids()[whole.first(s) + read[s] + t]);
      offsets.push_back(ids.size());
    }
    std::vector<T> logits(ids.size() * V);
    model.forward(ids, {offsets}, state, MatrixView<T>(logits.data(), ids.size(), V));
    for (std::size_t s = 0; s < S; ++s) {
      std::copy_n(logits.data() + offsets[s] * V, round[s] * V,
                  found.data() + (whole.first(s) + read[s]) * V);
      read[s] += round[s];
    }
  }
  for (std::size_t s = 0; s < S; ++s) REQUIRE(read[s] == whole.length(s));
  CHECK(relative_norm(found, expected) <= tolerance);
  CHECK(relative_norm(state.values(), expected_state.values()) <= tolerance);
}

template <class P, class T>
void check_placement(const char* name) {
  CAPTURE(name);
  const double tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-5;
  auto model = stirred_model<P, Tiny, T>();
  // Lengths around the scan's chunk and the convolution's window of 3.
  constexpr std::size_t C = detail::scan_chunk;
  const Batch batches = some_batch({2 * C + 6, 3, C + 1});
  check_chunks(model, batches, {{2 * C + 6, 0, 0}, {0, 3, C + 1}}, tolerance);
  check_chunks(model, batches, {{1, 0, C}, {1, 2, 1}, {1, 0, 0}, {C - 1, 1, 0}, {C + 4, 0, 0}}, tolerance);
  check_chunks(model, some_batch({41}), {{2}, {3}, {5}, {7}, {11}, {13}}, tolerance);

  // Step by step, through the call that generation uses.
  const Batch batch = some_batch({37, 37});
  const std::size_t V = model.dimensions().vocab_size;
  const auto whole = model.logits(batch);
  std::vector<T> expected(whole.data(), whole.data() + whole.size()), found(expected.size()), logits(2 * V);
  MambaState<T> state = model.initial_state(2);
  for (std::size_t t = 0; t < 37; ++t) {
    const std::int32_t ids[2] = {batch.ids()[t], batch.ids()[37 + t]};
    model.step(ids, state, MatrixView<T>(logits.data(), 2, V));
    std::copy_n(logits.data(), V, found.data() + t * V);
    std::copy_n(logits.data() + V, V, found.data() + (37 + t) * V);
  }
  CHECK(relative_norm(found, expected) <= tolerance);
}

template <class T>
void check_all() {
  check_placement<presets::NothingTrains, T>("nothing");
  check_placement<presets::SDLoRA<2, 3, 2>, T>("sdlora");
  check_placement<presets::LoRALinear<2>, T>("lora-linear");
  check_placement<presets::LoRASsm<2>, T>("lora-ssm");
  check_placement<presets::LoRAAll<2>, T>("lora-all");
  check_placement<presets::InitialState, T>("initial-state");
  check_placement<presets::BitFit, T>("bitfit");
  check_placement<presets::Prompt<5>, T>("prompt");
  check_placement<presets::Prefix<5>, T>("prefix");
  check_placement<presets::FullFineTune, T>("full");
  check_placement<Everything, T>("everything");
}

}  // namespace

TEST_CASE("whole, in chunks and step by step, in double") { check_all<double>(); }
TEST_CASE("whole, in chunks and step by step, in float") { check_all<float>(); }

TEST_CASE("a state can be repeated: several continuations of one prompt") {
  auto model = stirred_model<Everything>();
  const Batch batch = some_batch({9, 6});
  const std::size_t V = model.dimensions().vocab_size;
  MambaState<double> both = model.initial_state(2);
  std::vector<double> logits(15 * V);
  model.forward(batch.ids(), batch.sequences(), both, MatrixView<double>(logits.data(), 15, V));
  MambaState<double> three = model.initial_state(3);
  three.repeat(both, 1);
  const std::int32_t next[3] = {4, 7, 4};
  std::vector<double> after(3 * V);
  model.step(next, three, MatrixView<double>(after.data(), 3, V));

  std::vector<std::int32_t> longer(batch.ids().begin() + 9, batch.ids().end());
  longer.push_back(4);
  const auto whole = model.logits(Batch(std::vector<Example>{{longer, longer}}));
  const std::vector<double> last(whole.data() + 6 * V, whole.data() + 7 * V);
  CHECK(relative_norm(std::vector<double>(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(V)),
                      last) <= 1e-12);
  CHECK(relative_norm(std::vector<double>(after.end() - static_cast<std::ptrdiff_t>(V), after.end()), last) <=
        1e-12);
}
