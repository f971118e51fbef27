#pragma once

#include <functional>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace sdlora::examples {

/// A program of several commands, of which the first argument names one.
class Program {
 public:
  /// What a command does: it adds its options to the command line, runs that, and returns the exit status.
  using Function = int (*)(CommandLine& command, int argc, char** argv);

  /// `examples` are command lines, one a line, which --help ends with.
  Program(std::string name, std::string description, std::string version, std::string examples)
      : name_(std::move(name)),
        description_(std::move(description)),
        version_(std::move(version)),
        examples_(std::move(examples)) {}

  /// Adds a command; `description` is one line.
  void command(std::string name, std::string description, Function function) {
    commands_.push_back({std::move(name), std::move(description), function});
  }

  /// Runs the command that the first argument names; returns the exit status. Without a command: the help,
  /// and 2.
  int run(int argc, char** argv) const;

 private:
  struct Command {
    std::string name, description;
    Function function;
  };

  std::string help() const;

  std::string name_, description_, version_, examples_;
  std::vector<Command> commands_;
};

}  // namespace sdlora::examples
