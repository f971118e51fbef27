#include "program.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string_view>

#include "nearest.hpp"

namespace sdlora::examples {

std::string Program::help() const {
  CLI::App app(description_, name_);
  app.set_version_flag("--version", version_);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  app.require_subcommand(1);
  for (const Command& each : commands_) app.add_subcommand(each.name, each.description)->group("Commands");
  app.footer(name_ + " COMMAND --help lists a command's options.\n\n" + examples_text(examples_));
  return app.help();
}

int Program::run(int argc, char** argv) const {
  const std::string_view first = argc > 1 ? argv[1] : "";
  for (const Command& each : commands_) {
    if (each.name != first) continue;
    CommandLine command(name_ + " " + each.name, each.description);
    command.common_options(name_ + " " + version_);
    return each.function(command, argc - 1, argv + 1);
  }
  if (first == "--help" || first == "-h") {
    std::fputs(help().c_str(), stdout);
  } else if (first == "--version") {
    std::printf("%s %s\n", name_.c_str(), version_.c_str());
  } else if (argc < 2) {
    std::fputs(help().c_str(), stderr);
    return 2;
  } else {
    std::vector<std::string> names;
    std::string all;
    for (const Command& each : commands_) {
      names.push_back(each.name);
      all += (all.empty() ? "" : ", ") + each.name;
    }
    const std::string near = nearest(first, names);
    std::fprintf(stderr, "%s: expected a command first, found '%s'%s; the commands are %s\n", name_.c_str(),
                 std::string(first).c_str(), near.empty() ? "" : (", which is near '" + near + "'").c_str(),
                 all.c_str());
    return 2;
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace sdlora::examples
