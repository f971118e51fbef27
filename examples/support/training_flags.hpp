#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <sdlora/error.hpp>
#include <sdlora/text.hpp>
#include <sdlora/training/settings.hpp>
#include <sdlora/training/trainer_options.hpp>
#include <string>
#include <string_view>
#include <type_traits>

#include "command_line.hpp"

namespace sdlora::examples {

/// The flag of a setting: --learning-rate of learning_rate.
inline std::string training_flag(const Setting& setting) {
  std::string flag = "--" + std::string(setting.name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

/// The settings that mean something to programs that evaluate alone.
inline bool is_of_evaluation(const Setting& setting) {
  return setting.name == "keep_best" || setting.name == "patience";
}

/// The flags of all settings of training, as --learning-rate, but those in `except`, those of evaluation and
/// the lists, which only a program can give.
inline void add_training_flags(CommandLine& command, TrainerOptions& options,
                               std::initializer_list<std::string_view> except = {}) {
  visit_settings(options, [&](const Setting& setting, auto& value) {
    using Value = std::remove_reference_t<decltype(value)>;
    if constexpr (!std::is_same_v<Value, std::vector<ParameterGroup>> && !std::is_same_v<Value, bool>) {
      if (std::find(except.begin(), except.end(), setting.name) != except.end()) return;
      if (!is_of_evaluation(setting)) {
        command.option(training_flag(setting), value, std::string(setting.help));
      }
    }
  });
}

/// The flags of the settings of evaluation, --keep-best and --patience, for a program that evaluates.
inline void add_evaluation_flags(CommandLine& command, TrainerOptions& options) {
  visit_settings(options, [&](const Setting& setting, auto& value) {
    using Value = std::remove_reference_t<decltype(value)>;
    if (!is_of_evaluation(setting)) return;
    if constexpr (std::is_same_v<Value, bool>) {
      command.flag(training_flag(setting), value, std::string(setting.help));
    } else if constexpr (std::is_same_v<Value, std::size_t>) {
      command.option(training_flag(setting), value, std::string(setting.help));
    }
  });
}

/// ArgumentError that names the flag where a setting has a value that makes no sense: before anything is
/// read.
inline void require_training_flags(const TrainerOptions& options) {
  visit_settings(options, [&](const Setting& setting, const auto& value) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>) {
      const auto number = static_cast<double>(value);
      if (setting.good == nullptr || setting.good(number)) return;
      throw ArgumentError(training_flag(setting) + ": expected " + std::string(setting.expected) +
                          ", found " + detail::short_number(number));
    }
  });
}

}  // namespace sdlora::examples
