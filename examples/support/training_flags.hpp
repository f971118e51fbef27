#pragma once

#include <algorithm>
#include <initializer_list>
#include <sdlora/training/settings.hpp>
#include <sdlora/training/trainer_options.hpp>
#include <string>
#include <string_view>
#include <type_traits>

#include "command_line.hpp"

namespace sdlora::examples {

/// The flags of all settings of training, as --learning-rate, but those in `except` and the lists, which only
/// a program can give.
inline void add_training_flags(CommandLine& command, TrainerOptions& options,
                               std::initializer_list<std::string_view> except = {}) {
  visit_settings(options, [&](const Setting& setting, auto& value) {
    if constexpr (!std::is_same_v<decltype(value), std::vector<ParameterGroup>&>) {
      if (std::find(except.begin(), except.end(), setting.name) != except.end()) return;
      std::string flag = "--" + std::string(setting.name);
      std::replace(flag.begin(), flag.end(), '_', '-');
      command.option(flag, value, std::string(setting.help));
    }
  });
}

}  // namespace sdlora::examples
