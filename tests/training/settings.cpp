#include <doctest/doctest.h>

#include <sdlora/adapters/lora.hpp>
#include <sdlora/training/selection_options.hpp>
#include <sdlora/training/settings.hpp>
#include <sdlora/training/trainer_options.hpp>

#include "io/support.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace sdlora;

namespace {

template <class Options>
std::vector<std::string_view> names(const Options& options) {
  std::vector<std::string_view> result;
  visit_settings(options, [&](const Setting& setting, const auto&) { result.push_back(setting.name); });
  return result;
}

template <class Value>
constexpr bool is_number = std::is_arithmetic_v<std::remove_cvref_t<Value>>;

}  // namespace

TEST_CASE("settings: both structs have the same list, a selection a part of it") {
  const std::vector<std::string_view> common{"steps",        "batch_size", "accumulation",  "learning_rate",
                                             "weight_decay", "clip",       "warm_up_steps", "seed"};
  CHECK(names(SelectionOptions{}) == common);
  const auto all = names(TrainerOptions{});
  CHECK(all.size() == 16);
  for (const std::string_view name : common) CHECK(std::count(all.begin(), all.end(), name) == 1);
  const TrainerOptions options;
  visit_settings(options, [](const Setting& setting, const auto&) {
    CAPTURE(setting.name);
    CHECK((setting.good == nullptr) == setting.expected.empty());
    CHECK(setting.ends_only == (setting.name == "patience"));
    CHECK(setting.identity_key() ==
          (setting.name == "beta1" || setting.name == "beta2" || setting.name == "epsilon" ? "betas_epsilon"
                                                                                           : setting.name));
  });
}

TEST_CASE("settings: each reaches the other struct, whatever its value, and nothing else does") {
  TrainerOptions from{.label = "from"};
  double next = 2.0;
  visit_settings(from, [&](const Setting&, auto& value) {
    if constexpr (is_number<decltype(value)>)
      value = static_cast<std::remove_cvref_t<decltype(value)>>(next++);
  });
  SelectionOptions to{.adapters = {LoRAOptions{.rank = 3}}, .progress = false};
  copy_settings(from, to);
  CHECK(to.steps == from.steps);
  CHECK(to.learning_rate == from.learning_rate);
  CHECK(to.seed == from.seed);
  CHECK(to.adapters.of<LoRAOptions>().rank == 3);
  CHECK(!to.progress);
  TrainerOptions again{.decay = Decay::Cosine, .label = "kept"};
  copy_settings(to, again);
  CHECK(again.label == "kept");
  CHECK(again.decay == Decay::Cosine);
  CHECK(again.beta1 == 0.9);
  CHECK(again.clip == from.clip);
  from.groups = {{"A_log", 2.0, 0.5}};
  copy_settings(from, again);
  CHECK(again.groups.size() == 1);
  CHECK(again.decay == Decay::Linear);
  CHECK(again.epsilon == from.epsilon);
}

TEST_CASE("settings: one that makes no sense is named, with what was found") {
  CHECK_NOTHROW(require_settings(TrainerOptions{}, "Somebody"));
  CHECK_NOTHROW(require_settings(SelectionOptions{}, "Somebody"));
  const double infinity = std::numeric_limits<double>::infinity();
  const auto refuse = [](const auto& options, const std::string& text) {
    test::check_error<ArgumentError>([&] { require_settings(options, "Somebody"); },
                                     {"Somebody: expected " + text});
  };
  refuse(TrainerOptions{.learning_rate = 0.0}, "a learning rate above 0, found 0; correct learning_rate");
  refuse(TrainerOptions{.learning_rate = std::nan("")}, "a learning rate above 0");
  refuse(TrainerOptions{.learning_rate = infinity}, "a learning rate above 0, found inf");
  refuse(TrainerOptions{.batch_size = (std::size_t{1} << 24) + 1}, "a batch size of 1 to 2^24");
  refuse(SelectionOptions{.accumulation = 0}, "an accumulation of 1 to 2^24, found 0; correct accumulation");
  refuse(SelectionOptions{.weight_decay = -0.5}, "a weight decay of at least 0, found -0.5");
  refuse(SelectionOptions{.clip = infinity}, "a clipping norm of at least 0 (0: no clipping), found inf");
  refuse(TrainerOptions{.beta1 = -0.1}, "a beta1 of at least 0 and below 1, found -0.1; correct beta1");
  refuse(TrainerOptions{.beta2 = 1.0}, "a beta2 of at least 0 and below 1, found 1; correct beta2");
  refuse(TrainerOptions{.epsilon = 0.0}, "a finite epsilon above 0, found 0; correct epsilon");
  refuse(TrainerOptions{.final_rate = 1.5}, "a final rate of 0 to 1, a part of the learning rate, found 1.5");
}
