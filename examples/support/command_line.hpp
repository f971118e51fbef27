#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <sdlora/training/schedule.hpp>
#include <sdlora/training/selection_criterion.hpp>
#include <string>
#include <utility>
#include <vector>

namespace CLI {
class Option;
}

namespace sdlora::examples {

/// A program's options and its exit status. CLI11 reads them and is compiled once, in command_line.cpp:
/// included by every program it would be half of what each compiles.
class CommandLine {
 public:
  /// One option; what is asked of it can be chained.
  class Option {
   public:
    Option() = default;  ///< none yet
    Option& required();
    Option& at_least_one();
    /// --help does not show the default, where it depends on other options.
    Option& without_default();
    Option& excludes(const Option& other);
    /// Whether the command line had it; once `run` has read that.
    bool given() const;
    /// As "--rank".
    std::string name() const;

   private:
    friend class CommandLine;
    explicit Option(CLI::Option* option) : option_(option) {}
    CLI::Option* option_ = nullptr;
  };

  /// `name` begins every error: "pretrain", or "sdlora merge" for a command of a program.
  CommandLine(const std::string& name, const std::string& description);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// `flag`, as "--rank", reads into `value`, whose value until then is the default. Whole numbers are
  /// decimal digits; lists are separated by commas, with no element missing; a path is not empty.
  Option option(const std::string& flag, std::filesystem::path& value, const std::string& help = "");
  Option option(const std::string& flag, std::string& value, const std::string& help = "");
  Option option(const std::string& flag, std::size_t& value, const std::string& help = "");
  Option option(const std::string& flag, double& value, const std::string& help = "");
  Option option(const std::string& flag, Decay& value, const std::string& help = "");
  Option option(const std::string& flag, SelectionCriterion& value, const std::string& help = "");
  Option option(const std::string& flag, std::vector<std::int32_t>& value, const std::string& help = "");
  Option option(const std::string& flag, std::vector<std::size_t>& value, const std::string& help = "");
  Option option(const std::string& flag, std::vector<std::string>& value, const std::string& help = "");
  /// A list whose elements keep the spaces around them, where a list of names loses them.
  Option texts(const std::string& flag, std::vector<std::string>& value, const std::string& help = "");
  /// Given: `value` becomes true; as "!--name": false.
  Option flag(const std::string& flag, bool& value, const std::string& help = "");
  /// --threads, which `run` obeys.
  Option threads();
  /// Of these, one has to be given and no more.
  void exactly_one_of(const std::vector<Option>& options);
  /// --config, a file of options for those that the command line leaves out (see read_config_file); --quiet;
  /// and --version, which prints `version`.
  void common_options(const std::string& version);
  /// What --help ends with: command lines, one a line.
  void examples(const std::string& lines);

  bool is_quiet() const;
  /// Every option that a file may give, as "--rank", and its text: what was given, else the default. Once
  /// `run` has read the command line.
  std::vector<std::pair<std::string, std::string>> values() const;
  /// Says how far the program is, on standard error, unless --quiet.
  void note(const std::string& line) const;

  /// Reads the command line and runs `body`; returns the exit status. Any failure is one message on standard
  /// error and a status that is not 0.
  int run(int argc, char** argv, const std::function<void()>& body);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// What --help shows of command lines that are given one a line.
std::string examples_text(const std::string& lines);

/// Says on standard error which of the options that were given change nothing; `where` as "at temperature 0".
void report_without_effect(const std::string& where, const std::vector<CommandLine::Option>& options);

}  // namespace sdlora::examples
