#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

namespace sdlora::examples {

/// Parses the command line (options of unsigned types refuse negative numbers) and runs `body`; any failure
/// is one message on standard error and a non-zero exit status.
template <class Body>
int run_program(CLI::App& app, int argc, char** argv, const Body& body) {
  // Without this a negative number would be read as a huge one.
  const CLI::Validator not_negative(
      [](std::string& text) {
        return text.find('-') == std::string::npos ? "" : "expected a number of at least 0, found " + text;
      },
      "", "not negative");
  for (CLI::Option* option : app.get_options({})) {
    if (option->get_type_name().starts_with("UINT")) option->check(not_negative);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s; --help lists the options\n", app.get_name().c_str(), error.what());
    return 2;
  }
  try {
    body();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      std::fprintf(stderr, "%s: standard output could not be written\n", app.get_name().c_str());
      return 1;
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), error.what());
    return 1;
  }
}

}  // namespace sdlora::examples
