#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <system_error>

namespace sdlora::examples {

/// Refuses 0.
inline CLI::Validator at_least_one() {
  return {[](std::string& text) -> std::string {
            return text == "0" ? "expected a number of at least 1, found 0" : "";
          },
          "", "at least one"};
}

/// Refuses whole numbers above `most`.
inline CLI::Validator at_most(std::uint64_t most) {
  return {[most](std::string& text) -> std::string {
            if (std::strtoull(text.c_str(), nullptr, 10) <= most) return "";
            return "expected a number of at most " + std::to_string(most) + ", found " + text;
          },
          "", "at most"};
}

/// Parses the command line (options of unsigned types take whole numbers only) and runs `body`; any failure
/// is one message on standard error and a non-zero exit status.
template <class Body>
int run_program(CLI::App& app, int argc, char** argv, const Body& body) {
  // CLI11 itself reads -1 and 2^64 as other numbers, and 010 as 8.
  const CLI::Validator whole_number(
      [](std::string& text) -> std::string {
        std::uint64_t value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error == std::errc{} && end == text.data() + text.size()) {
          text = std::to_string(value);
          return "";
        }
        return "expected a whole number from 0 to 18446744073709551615, found " + text;
      },
      "", "whole number");
  for (CLI::Option* option : app.get_options({})) {
    if (option->get_type_name().starts_with("UINT")) option->transform(whole_number);
    if (option->get_name() == "--threads") option->check(at_most(1024));
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
  } catch (const std::bad_alloc&) {
    std::fprintf(
        stderr,
        "%s: there is not the memory that these sizes need; choose smaller ones (ranks, rows, lengths, "
        "batches) or a smaller model\n",
        app.get_name().c_str());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), error.what());
    return 1;
  }
}

}  // namespace sdlora::examples
