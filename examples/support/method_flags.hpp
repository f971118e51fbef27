#pragma once

#include <algorithm>
#include <deque>
#include <sdlora/adapters/methods.hpp>
#include <sdlora/adapters/options.hpp>
#include <sdlora/error.hpp>
#include <sdlora/text.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
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
      if (flag.option.given()) result.set(flag.name, flag.given_number());
    }
    return result;
  }

  /// Those that no method of a placement, in the words of `describe`, has.
  std::vector<CommandLine::Option> without_use(const std::string& placement) const {
    std::vector<CommandLine::Option> result;
    for (const Flag& flag : flags_) {
      if (flag.uses_in(placement).empty()) result.push_back(flag.option);
    }
    return result;
  }

  /// What a model of a placement and these options has for each flag that has a use in it: pairs of "--rank"
  /// or, where a site has its own, "--rank at out_proj", and the number.
  std::vector<std::pair<std::string, std::string>> values(const std::string& placement,
                                                          const AdapterOptions& options) const {
    std::vector<std::pair<std::string, std::string>> result;
    for (const Flag& flag : flags_) {
      for (const auto& [site, number] : flag.numbers(placement, options)) {
        std::pair<std::string, std::string> row(flag.option.name() + (site.empty() ? "" : " at " + site),
                                                detail::short_number(number));
        if (result.empty() || result.back() != row) result.push_back(std::move(row));
      }
    }
    return result;
  }

  /// Whether one of the flags has this name, as "--rank".
  bool have(const std::string& name) const {
    return std::any_of(flags_.begin(), flags_.end(),
                       [&](const Flag& flag) { return flag.option.name() == name; });
  }

  /// ArgumentError that names a flag which was given another number than a saved adapter has, of this
  /// placement and these options.
  void require_as_in(const std::string& adapter, const std::string& placement,
                     const AdapterOptions& options) const {
    for (const Flag& flag : flags_) {
      if (!flag.option.given()) continue;
      for (const auto& [site, number] : flag.numbers(placement, options)) {
        if (number == flag.given_number()) continue;
        throw ArgumentError(flag.option.name() + ": expected " + detail::short_number(number) +
                            (site.empty() ? "" : " at " + site) + " as in the adapter " + adapter +
                            ", found " + detail::short_number(flag.given_number()) +
                            "; leave it out, for what begins from an adapter has its options");
      }
    }
  }

 private:
  /// A method that has an option, and its default there.
  struct Use {
    std::string_view method;
    double usual;
  };
  struct Flag {
    std::string name;
    bool whole;
    std::size_t count;
    double number;
    std::vector<Use> uses;
    CommandLine::Option option;

    double given_number() const { return whole ? static_cast<double>(count) : number; }

    std::vector<Use> uses_in(const std::string& placement) const {
      std::vector<Use> result;
      for (const Use& use : uses) {
        if ((placement + " ").find("=" + std::string(use.method) + " ") != std::string::npos)
          result.push_back(use);
      }
      return result;
    }

    /// What `options` say to the methods of a placement: at all sites (""), and at those with their own.
    std::vector<std::pair<std::string, double>> numbers(const std::string& placement,
                                                        const AdapterOptions& options) const {
      std::vector<std::pair<std::string, double>> result;
      for (const Use& use : uses_in(placement)) result.emplace_back("", options.number(name, use.usual));
      if (result.empty()) return result;
      for (const AdapterOptions::Value& value : options.values()) {
        if (value.name == name && !value.site.empty()) result.emplace_back(value.site, value.number);
      }
      return result;
    }
  };

  template <class... Policies>
  void add(CommandLine& command, MethodList<Policies...>) {
    (add_options_of<Policies>(command), ...);
  }
  template <class Policy>
  void add_options_of(CommandLine& command) {
    typename Policy::options defaults;
    Policy::options::visit(defaults, [&](const Setting& setting, const auto& value) {
      const auto number = static_cast<double>(value);
      const auto known = std::find_if(flags_.begin(), flags_.end(),
                                      [&](const Flag& flag) { return flag.name == setting.name; });
      if (known != flags_.end()) {
        known->uses.push_back({Policy::name, number});
        return;
      }
      constexpr bool whole = !std::is_floating_point_v<std::remove_cvref_t<decltype(value)>>;
      // In a deque: what an option reads into stays where it is.
      flags_.push_back({std::string(setting.name),
                        whole,
                        static_cast<std::size_t>(number),
                        number,
                        {Use{Policy::name, number}},
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
