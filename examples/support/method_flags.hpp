#pragma once

#include <algorithm>
#include <deque>
#include <sdlora/adapters/methods.hpp>
#include <sdlora/adapters/options.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "command_line.hpp"

namespace sdlora::examples {

/// The flags of all options of the library's methods, as --rank and --prompt-length.
class MethodFlags {
 public:
  /// Adds them to a command line.
  explicit MethodFlags(CommandLine& command) { add(command, Methods{}); }
  MethodFlags(const MethodFlags&) = delete;
  MethodFlags& operator=(const MethodFlags&) = delete;

  /// What was given of them, for all sites.
  AdapterOptions options() const {
    AdapterOptions result;
    for (const Flag& flag : flags_) {
      if (flag.option.given())
        result.set(flag.name, flag.whole ? static_cast<double>(flag.count) : flag.number);
    }
    return result;
  }

  /// Those that no method of a placement, in the words of `describe`, has.
  std::vector<CommandLine::Option> without_use(const std::string& placement) const {
    std::vector<CommandLine::Option> result;
    for (const Flag& flag : flags_) {
      const bool used = std::any_of(flag.methods.begin(), flag.methods.end(), [&](std::string_view method) {
        return (placement + " ").find("=" + std::string(method) + " ") != std::string::npos;
      });
      if (!used) result.push_back(flag.option);
    }
    return result;
  }

 private:
  struct Flag {
    std::string name;
    bool whole;
    std::size_t count;
    double number;
    std::vector<std::string_view> methods;
    CommandLine::Option option;
  };

  template <class... Policies>
  void add(CommandLine& command, MethodList<Policies...>) {
    (add_options_of<Policies>(command), ...);
  }
  template <class Policy>
  void add_options_of(CommandLine& command) {
    typename Policy::options defaults;
    Policy::options::visit(defaults, [&](const Setting& setting, const auto& value) {
      const auto known = std::find_if(flags_.begin(), flags_.end(),
                                      [&](const Flag& flag) { return flag.name == setting.name; });
      if (known != flags_.end()) {
        known->methods.push_back(Policy::name);
        return;
      }
      const auto number = static_cast<double>(value);
      constexpr bool whole = !std::is_floating_point_v<std::remove_cvref_t<decltype(value)>>;
      // In a deque: what an option reads into stays where it is.
      flags_.push_back({std::string(setting.name),
                        whole,
                        static_cast<std::size_t>(number),
                        number,
                        {Policy::name},
                        CommandLine::Option()});
      Flag& flag = flags_.back();
      std::string name = "--" + flag.name;
      std::replace(name.begin(), name.end(), '_', '-');
      const std::string help(setting.help);
      flag.option = whole ? command.option(name, flag.count, help) : command.option(name, flag.number, help);
      if (whole && setting.good != nullptr && !setting.good(0.0)) flag.option.at_least_one();
    });
  }

  std::deque<Flag> flags_;
};

}  // namespace sdlora::examples
