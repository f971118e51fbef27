// Models whose number of states and taps is read at run time: gradients against finite differences, the same
// bits as models that know them, and the emulated device beside the host.
#include "support/gradient_check.hpp"
#include "support/model_device_cases.hpp"
#include "support/placements.hpp"

#include <sdlora/adapters/presets.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr MambaDimensions sized(std::size_t states, std::size_t taps, double mixer_norm_epsilon = 0.0) {
  return {.d_model = 5,
          .n_layer = 2,
          .vocab_size = 7,
          .dt_rank = 2,
          .d_inner = 11,
          .d_state = states,
          .d_conv = taps,
          .mixer_norm_epsilon = mixer_norm_epsilon};
}

template <class P>
void check_gradients(const MambaDimensions& m) {
  auto model = stirred_model<P, presets::AnyMamba>(m);
  check_model_gradients(model);
}

/// The same but for these two.
template <std::size_t States, std::size_t Taps>
struct Known {
  static constexpr MambaConfig config{.dt_rank = dyn,
                                      .d_state = States,
                                      .d_conv = Taps,
                                      .expand = dyn,
                                      .mixer_norm_epsilon = open_mixer_norm};
};

template <class P, class C, class T>
std::vector<T> loss_and_gradients(const MambaDimensions& m) {
  auto model = stirred_model<P, C, T>(m);
  std::vector<T> result{static_cast<T>(model.accumulate_gradients(some_batch({7, 1, 30}, 7), 0.5).sum)};
  for (const T gradient : model.parameters().gradients()) result.push_back(gradient);
  const auto logits = model.logits(some_batch({3, 9}, 7));
  result.insert(result.end(), logits.data(), logits.data() + logits.size());
  return result;
}

template <class P, std::size_t States, std::size_t Taps, class T>
void check_same_bits() {
  CAPTURE(States);
  const MambaDimensions m = sized(States, Taps);
  CHECK(loss_and_gradients<P, presets::AnyMamba, T>(m) == loss_and_gradients<P, Known<States, Taps>, T>(m));
}

}  // namespace

TEST_CASE("run-time sizes: every gradient against finite differences") {
  check_gradients<Everything>(sized(5, 3, 0.02));
  check_gradients<presets::FullFineTune>(sized(32, 2));
  check_gradients<presets::Prefix<2>>(sized(1, 4));
}

TEST_CASE("run-time sizes: the same bits as a model that knows them") {
  check_same_bits<presets::FullFineTune, 16, 4, float>();
  check_same_bits<Everything, 16, 4, double>();
  check_same_bits<presets::SDLoRA<2, 3, 2>, 8, 2, float>();
  check_same_bits<presets::InitialState, 5, 3, float>();
}

TEST_CASE("run-time sizes: the emulated device beside the host") {
  check_model_on<Run<Emulated>, presets::FullFineTune, presets::AnyMamba>("FullFineTune", sized(5, 3));
  check_model_on<Run<Emulated>, presets::SDLoRA<2, 3, 2>, presets::AnyMamba>("SDLoRA", sized(32, 2));
}

TEST_CASE("run-time sizes: what no kernel takes, and more states than there are, are refused") {
  CHECK_THROWS_WITH_AS(Base<presets::AnyMamba>(sized(16, 5)),
                       doctest::Contains("d_conv of 2 to 4, as types take that leave it open, found 5"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(Base<presets::AnyMamba>(sized(0, 4)), doctest::Contains("d_state of at least 1"),
                       ArgumentError);
  const auto base = rough_base<presets::AnyMamba, float>(sized(3, 4));
  const Selection four{11, 3, {{{1}, {0, 1, 2, 3}}, {{1}, {0, 1, 2, 3}}}};
  using Model = MambaModel<presets::AnyMamba, presets::SDLoRA<2, 1, 4>>;
  CHECK_THROWS_AS(Model(base, four), ArgumentError);
}
