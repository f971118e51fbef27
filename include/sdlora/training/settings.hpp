#pragma once

#include "../error.hpp"
#include "../setting.hpp"
#include "adamw.hpp"
#include "schedule.hpp"

#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sdlora {

/// Calls visit(setting, member) for every setting that decides a number of a run: all members of
/// TrainerOptions and SelectionOptions but what is only shown or written, the epochs (a run is told of its
/// steps), the name of the initial values and the adapters'. Validation, run identities, command lines and
/// the way from one of the two structs to the other go by this list, and have none of their own: a new
/// setting is a line here, and is safe to resume.
template <class Options, class Visitor>
void visit_settings(Options& options, Visitor&& visit) {
  using S = Setting;
  visit(S{.name = "steps", .help = "of the optimizer"}, options.steps);
  visit(S{.name = "batch_size",
          .help = "examples that go through the model together",
          .expected = "a batch size of 1 to 2^24",
          .good = detail::is_count},
        options.batch_size);
  visit(S{.name = "accumulation",
          .help = "batches of one step",
          .expected = "an accumulation of 1 to 2^24",
          .good = detail::is_count},
        options.accumulation);
  visit(S{.name = "learning_rate",
          .help = "at its highest",
          .expected = "a learning rate above 0",
          .good = detail::is_positive},
        options.learning_rate);
  visit(S{.name = "weight_decay",
          .help = "decoupled from the gradient",
          .expected = "a weight decay of at least 0",
          .good = detail::is_not_negative},
        options.weight_decay);
  visit(S{.name = "clip",
          .help = "largest gradient norm; 0: none",
          .expected = "a clipping norm of at least 0 (0: no clipping)",
          .good = detail::is_not_negative},
        options.clip);
  visit(S{.name = "warm_up_steps", .help = "of the learning rate"}, options.warm_up_steps);
  if constexpr (requires { options.decay; }) {  // the selection phase leaves these as they are
    visit(S{.name = "decay", .help = "of the learning rate: constant, linear or cosine"}, options.decay);
    visit(S{.name = "final_rate",
            .help = "of the schedule, as a part of the learning rate",
            .expected = "a final rate of 0 to 1, a part of the learning rate",
            .good = detail::is_part},
          options.final_rate);
    constexpr std::string_view key = "betas_epsilon";
    visit(S{.name = "beta1",
            .help = "AdamW's, of the mean gradient",
            .key = key,
            .expected = "a beta1 of at least 0 and below 1",
            .good = detail::is_below_one},
          options.beta1);
    visit(S{.name = "beta2",
            .help = "AdamW's, of the mean square",
            .key = key,
            .expected = "a beta2 of at least 0 and below 1",
            .good = detail::is_below_one},
          options.beta2);
    visit(S{.name = "epsilon",
            .help = "AdamW's",
            .key = key,
            .expected = "a finite epsilon above 0",
            .good = detail::is_positive},
          options.epsilon);
    visit(S{.name = "groups", .help = "rates and decays of single sites"}, options.groups);
    visit(S{.name = "keep_best", .help = "the values of the best evaluation are the result, not the last"},
          options.keep_best);
    visit(S{.name = "patience",
            .help = "evaluations without a better one until the run ends; 0: all steps",
            .ends_only = true},
          options.patience);
  }
  visit(S{.name = "seed", .help = "of the order of the examples"}, options.seed);
}

/// Throws ArgumentError, for `who`, where a setting has a value that makes no sense.
template <class Options>
void require_settings(const Options& options, std::string_view who) {
  visit_settings(options, [&](const Setting& setting, const auto& value) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>) {
      const auto number = static_cast<double>(value);
      if (setting.good == nullptr || setting.good(number)) return;
      std::ostringstream text;
      text << who << ": expected " << setting.expected << ", found " << number << "; correct "
           << setting.name;
      throw ArgumentError(text.str());
    }
  });
}

/// Gives `to` the settings that both have. What `to` alone has, and what is no setting, stays.
template <class From, class To>
void copy_settings(const From& from, To& to) {
  visit_settings(to, [&](const Setting& setting, auto& target) {
    visit_settings(from, [&](const Setting& other, const auto& value) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>,
                                   std::remove_cvref_t<decltype(target)>>) {
        if (setting.name == other.name) target = value;
      }
    });
  });
}

}  // namespace sdlora
