// A model and the base with its change merged in are the same function.
#include "support/placements.hpp"
#include "support/tiny_models.hpp"

#include <doctest/doctest.h>

#include <type_traits>

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class C, class T>
std::vector<T> values_of(const Base<C, T>& base) {
  std::vector<T> all;
  base.visit([&](const std::string&, MatrixView<const T> v, const auto&) {
    all.insert(all.end(), v.data, v.data + v.rows * v.cols);
  });
  return all;
}

template <class P, class T>
void check_merge(const char* name, double tolerance, const AdapterOptions& options = some_options()) {
  CAPTURE(name);
  static_assert(P::mergeable);
  auto model = stirred_model<P, Tiny, T>(tiny_dimensions, options);
  const Batch batch = some_batch({33, 5});
  const auto before = values_of(*model.base());
  const std::shared_ptr<const Base<Tiny, T>> merged = model.merged();
  CHECK(values_of(*model.base()) == before);  // the base is shared by others and stays as it is
  CHECK(relative_norm(values_of(*merged), before) > 1e-3);

  MambaModel<Tiny, presets::NothingTrains, T> plain(merged);
  const auto expected = model.logits(batch);
  const auto found = plain.logits(batch);
  CHECK(relative_norm(std::span<const T>(found.data(), found.size()),
                      std::span<const T>(expected.data(), expected.size())) <= tolerance);
  MambaModel<Tiny, presets::NothingTrains, T> untouched(model.base());
  const auto base_logits = untouched.logits(batch);
  CHECK(relative_norm(std::span<const T>(base_logits.data(), base_logits.size()),
                      std::span<const T>(expected.data(), expected.size())) > 1e-3);

  Base<Tiny, T> restored(*merged);
  model.add_change(restored, T(-1));
  CHECK(relative_norm(values_of(restored), before) <= (std::is_same_v<T, double> ? 1e-15 : 1e-7));
  for (std::size_t l = 0; l < 2; ++l) {  // what the scan reads follows
    CHECK(restored.A(l)(3, 2) == doctest::Approx(-std::exp(restored.layer(l).A_log(3, 2))).epsilon(1e-6));
  }
}

struct AllButState : Place<On<site::InProjX, LoRA<2>>, On<site::InProjZ, Full>,
                           On<site::XProjB, SelectedDimensions<3>>, On<site::ALog, SelectedDimensions<3, 2>>,
                           On<site::Conv1d, Full>, On<site::D, Full>, On<site::Norm, Full>,
                           On<site::NormF, Full>, On<site::Embedding, Full>, On<site::DtProj, LoRA<1>>> {};

}  // namespace

TEST_CASE("merging in double") {
  check_merge<presets::SDLoRA<2, 3, 2>, double>("sdlora", 1e-12);
  check_merge<presets::LoRALinear<2>, double>("lora-linear", 1e-12);
  check_merge<presets::LoRASsm<2>, double>("lora-ssm", 1e-12);
  check_merge<presets::LoRAAll<2>, double>("lora-all", 1e-12);
  check_merge<presets::BitFit, double>("bitfit", 1e-12);
  check_merge<presets::FullFineTune, double>("full", 1e-12);
  check_merge<AllButState, double>("mixed", 1e-12);
}

TEST_CASE("merging in float") {
  check_merge<presets::SDLoRA<2, 3, 2>, float>("sdlora", 1e-5);
  check_merge<presets::LoRAAll<2>, float>("lora-all", 1e-5);
  check_merge<presets::FullFineTune, float>("full", 1e-5);
}

TEST_CASE("merging sites that learn in some layers only") {
  AdapterOptions options = some_options();
  options.layers = {{"out_proj", 1, 2}, {"A_log", 0, 1}, {"x_proj_B", 1, 2}};
  check_merge<presets::SDLoRA<2, 3, 2>, double>("ranges", 1e-12, options);
}

TEST_CASE("a base of other sizes takes no change") {
  auto model = stirred_model<presets::BitFit, TinyAny, float>();
  Base<TinyAny, float> shallow(tiny_with_layers(1));
  CHECK_THROWS_WITH_AS(model.add_change(shallow, 1.0F), doctest::Contains("a base of the model's sizes"),
                       ShapeError);
  MambaDimensions m = tiny_dimensions;
  m.vocab_size += 1;
  Base<TinyAny, float> other(m);
  CHECK_THROWS_AS(model.add_change(other, 1.0F), ShapeError);
}

TEST_CASE("prompts, prefixes and initial states cannot be merged") {
  static_assert(!presets::Prompt<>::mergeable && !presets::Prefix<>::mergeable &&
                !presets::InitialState::mergeable);
  static_assert(!Everything::mergeable);
  static_assert(presets::NothingTrains::mergeable);
}
