#include "command_line.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <sdlora/error.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <string_view>
#include <system_error>

#include "config_file.hpp"
#include "nearest.hpp"

namespace sdlora::examples {

namespace {

constexpr std::size_t most_threads = 1024;

// CLI11's own conversion reads -1 and 2^64 as other numbers, 010 as 8, and 1,,2 as 1, 2.
template <class Number>
Number read_whole_number(const std::string& flag, std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw CLI::ValidationError(flag, "expected a whole number from " +
                                         std::to_string(std::numeric_limits<Number>::min()) + " to " +
                                         std::to_string(std::numeric_limits<Number>::max()) + ", found " +
                                         (text.empty() ? "nothing" : std::string(text)));
  }
  return value;
}

template <class Element, class Read>
std::vector<Element> read_list(std::string_view text, const Read& read) {
  std::vector<Element> list;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(',', begin);
    list.push_back(read(text.substr(begin, end - begin)));
    if (end == std::string_view::npos) return list;
    begin = end + 1;
  }
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

template <class Number>
auto whole_numbers(const std::string& flag) {
  return [flag](const std::string& text) {
    return read_list<Number>(
        text, [&](std::string_view element) { return read_whole_number<Number>(flag, trimmed(element)); });
  };
}

/// Takes the numbers of standard streams that the process was started without, so that no file which it opens
/// becomes one of them. To use them stays an error.
void occupy_closed_streams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (::fcntl(stream, F_GETFD) == -1 && errno == EBADF) {
      [[maybe_unused]] const int taken = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

/// An error of the library without the name of the type or function that threw it, which is nothing to a
/// program's user: "MambaModel: ", "select_dimensions: ".
std::string_view without_name(std::string_view text) {
  const std::size_t colon = text.find(": ");
  if (colon == std::string_view::npos || colon == 0) return text;
  const std::string_view name = text.substr(0, colon);
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
  };
  const bool type = name[0] >= 'A' && name[0] <= 'Z', function = name.find('_') != std::string_view::npos;
  if ((!type && !function) || !std::all_of(name.begin(), name.end(), letter)) return text;
  return text.substr(colon + 2);
}

}  // namespace

struct CommandLine::Implementation {
  Implementation(const std::string& name, const std::string& description) : app(description, name) {}

  template <class Value, class Read>
  CLI::Option* add(const std::string& flag, Value& value, const std::string& type, const std::string& help,
                   const Read& read) {
    CLI::Option* option = app.add_option_function<std::string>(
        flag, [&value, read](const std::string& text) { value = read(text); }, help);
    return option->type_name(type);
  }

  /// Gives the options that the command line left out what a file says.
  void read_config(const std::string& file) {
    for (const ConfigEntry& entry : read_config_file(file)) {
      const auto refuse = [&](const std::string& what) {
        throw CLI::ValidationError(file + ": line " + std::to_string(entry.line), what);
      };
      CLI::Option* const option = app.get_option_no_throw("--" + entry.key);
      if (option == nullptr || !option->get_configurable()) refuse(unknown_key(entry.key));
      if (option->count() > 0) continue;
      try {
        if (option->get_expected_min() > 0) {
          option->add_result(entry.value);
          option->run_callback();
        } else if (entry.value == "true") {
          option->add_result(option->get_flag_value(entry.key, "true"));
          option->run_callback();
        } else if (entry.value != "false") {
          refuse("--" + entry.key + ": expected true or false, found '" + entry.value + "'");
        }
      } catch (const CLI::ValidationError& error) {
        const std::string text = error.what();
        if (text.starts_with(file)) throw;
        refuse(text);
      } catch (const CLI::ConversionError& error) {
        refuse(error.what());
      }
    }
  }

  std::string unknown_key(const std::string& key) const {
    return "expected the name of an option, found '" + key + "'" + near_option(key);
  }

  /// As ", which is near 'rank'", or nothing.
  std::string near_option(const std::string& key) const {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
      if (!option->get_configurable()) continue;
      for (const std::string& name : option->get_lnames()) names.push_back(name);
    }
    const std::string near = nearest(key, names);
    return near.empty() ? "" : ", which is near '" + near + "'";
  }

  /// What is near an argument that nothing takes.
  std::string near_extra() const {
    for (const std::string& extra : app.remaining()) {
      if (extra.starts_with("--")) return near_option(extra.substr(2, extra.find('=') - 2));
    }
    return {};
  }

  CLI::App app;
  std::size_t threads = 0;
  bool quiet = false;
};

CommandLine::Option& CommandLine::Option::required() {
  option_->required();
  return *this;
}

CommandLine::Option& CommandLine::Option::at_least_one() {
  option_->check(CLI::Validator(
      [](std::string& text) -> std::string {
        return text.find_first_not_of('0') == std::string::npos ? "expected a number of at least 1, found 0"
                                                                : "";
      },
      "", "at least one"));
  return *this;
}

CommandLine::Option& CommandLine::Option::without_default() {
  option_->default_str("");
  return *this;
}

CommandLine::Option& CommandLine::Option::excludes(const Option& other) {
  option_->excludes(other.option_);
  return *this;
}

bool CommandLine::Option::given() const { return option_->count() > 0; }

std::string CommandLine::Option::name() const { return option_->get_name(); }

CommandLine::CommandLine(const std::string& name, const std::string& description)
    : implementation_(std::make_unique<Implementation>(name, description)) {}
CommandLine::~CommandLine() = default;

CommandLine::Option CommandLine::option(const std::string& flag, std::filesystem::path& value,
                                        const std::string& help) {
  return Option(implementation_
                    ->add(flag, value, "PATH", help,
                          [flag](const std::string& text) {
                            if (text.empty()) {
                              throw CLI::ValidationError(
                                  flag, "expected a path, found an empty one; is a variable unset?");
                            }
                            return std::filesystem::path(text);
                          })
                    ->default_str(value.string()));
}

CommandLine::Option CommandLine::option(const std::string& flag, std::string& value,
                                        const std::string& help) {
  return Option(implementation_->add(flag, value, "TEXT", help, [](const std::string& text) { return text; })
                    ->default_str(value));
}

CommandLine::Option CommandLine::option(const std::string& flag, std::size_t& value,
                                        const std::string& help) {
  return Option(
      implementation_
          ->add(flag, value, "UINT", help,
                [flag](const std::string& text) { return read_whole_number<std::size_t>(flag, text); })
          ->default_str(std::to_string(value)));
}

CommandLine::Option CommandLine::option(const std::string& flag, double& value, const std::string& help) {
  return Option(implementation_->app.add_option(flag, value, help)->capture_default_str());
}

CommandLine::Option CommandLine::option(const std::string& flag, Decay& value, const std::string& help) {
  return Option(implementation_
                    ->add(flag, value, "TEXT", help,
                          [flag](const std::string& text) {
                            try {
                              return parse_decay(text);
                            } catch (const ArgumentError& error) {
                              throw CLI::ValidationError(flag, error.what());
                            }
                          })
                    ->default_str(std::string(decay_name(value))));
}

CommandLine::Option CommandLine::option(const std::string& flag, SelectionCriterion& value,
                                        const std::string& help) {
  return Option(implementation_
                    ->add(flag, value, "TEXT", help,
                          [flag](const std::string& text) {
                            try {
                              return parse_selection_criterion(text);
                            } catch (const ArgumentError& error) {
                              throw CLI::ValidationError(flag, error.what());
                            }
                          })
                    ->default_str(std::string(selection_criterion_name(value))));
}

CommandLine::Option CommandLine::option(const std::string& flag, std::vector<std::int32_t>& value,
                                        const std::string& help) {
  return Option(implementation_->add(flag, value, "INT,…", help, whole_numbers<std::int32_t>(flag)));
}

CommandLine::Option CommandLine::option(const std::string& flag, std::vector<std::size_t>& value,
                                        const std::string& help) {
  return Option(implementation_->add(flag, value, "UINT,…", help, whole_numbers<std::size_t>(flag)));
}

CommandLine::Option CommandLine::option(const std::string& flag, std::vector<std::string>& value,
                                        const std::string& help) {
  return Option(implementation_->add(flag, value, "TEXT,…", help, [](const std::string& text) {
    return read_list<std::string>(text,
                                  [](std::string_view element) { return std::string(trimmed(element)); });
  }));
}

CommandLine::Option CommandLine::texts(const std::string& flag, std::vector<std::string>& value,
                                       const std::string& help) {
  return Option(implementation_->add(flag, value, "TEXT,…", help, [](const std::string& text) {
    return read_list<std::string>(text, [](std::string_view element) { return std::string(element); });
  }));
}

CommandLine::Option CommandLine::flag(const std::string& flag, bool& value, const std::string& help) {
  return Option(implementation_->app.add_flag(flag, value, help));
}

CommandLine::Option CommandLine::threads() {
  return Option(implementation_
                    ->add("--threads", implementation_->threads, "UINT", "0: one per processor",
                          [](const std::string& text) {
                            const auto count = read_whole_number<std::size_t>("--threads", text);
                            if (count <= most_threads) return count;
                            throw CLI::ValidationError("--threads", "expected a number of at most " +
                                                                        std::to_string(most_threads) +
                                                                        ", found " + text);
                          })
                    ->default_str("0"));
}

void CommandLine::exactly_one_of(const std::vector<Option>& options) {
  CLI::Option_group* group = implementation_->app.add_option_group("input");
  for (const Option& option : options) group->add_option(option.option_);
  group->require_option(1);
}

void CommandLine::common_options(const std::string& version) {
  Implementation& i = *implementation_;
  constexpr const char* common = "Options of every command";
  // First, so that a file is read before the other options take effect.
  i.app
      .add_option_function<std::string>(
          "--config", [&i](const std::string& file) { i.read_config(file); },
          "a file of options, key = value a line; the command line wins")
      ->type_name("PATH")
      ->configurable(false)
      ->group(common);
  i.app.add_flag("--quiet", i.quiet, "say nothing of the progress")->group(common);
  i.app.set_version_flag("--version", version, "print the version")->configurable(false)->group(common);
}

void CommandLine::examples(const std::string& lines) { implementation_->app.footer(examples_text(lines)); }

bool CommandLine::is_quiet() const { return implementation_->quiet; }

std::vector<std::pair<std::string, std::string>> CommandLine::values() const {
  std::vector<std::pair<std::string, std::string>> values;
  for (const CLI::Option* option : implementation_->app.get_options()) {
    if (!option->get_configurable() || option == implementation_->app.get_help_ptr()) continue;
    std::string text;
    if (option->get_expected_min() == 0) {
      text = option->count() > 0 ? "true" : "false";
    } else if (option->count() > 0) {
      for (const std::string& part : option->results()) text += (text.empty() ? "" : ",") + part;
    } else {
      text = option->get_default_str();
    }
    values.emplace_back(option->get_name(), text);
  }
  return values;
}

void CommandLine::note(const std::string& line) const {
  if (!is_quiet()) std::fprintf(stderr, "%s\n", line.c_str());
}

int CommandLine::run(int argc, char** argv, const std::function<void()>& body) {
  occupy_closed_streams();
  CLI::App& app = implementation_->app;
  const std::string name = app.get_name();
  try {
    app.parse(argc, argv);
    if (implementation_->threads != 0) set_thread_count(implementation_->threads);
    body();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      std::fprintf(stderr, "%s: standard output could not be written\n", name.c_str());
      return 1;
    }
    return 0;
  } catch (const CLI::Success& asked) {  // for the help or the version
    return app.exit(asked);
  } catch (const CLI::ExtrasError& error) {
    std::fprintf(stderr, "%s: %s%s; --help lists the options\n", name.c_str(), error.what(),
                 implementation_->near_extra().c_str());
    return 2;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s; --help lists the options\n", name.c_str(), error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fprintf(
        stderr,
        "%s: there is not the memory that these sizes need; choose smaller ones (ranks, rows, lengths, "
        "batches) or a smaller model\n",
        name.c_str());
    return 1;
  } catch (const std::filesystem::filesystem_error& error) {
    std::fprintf(stderr, "%s: %s: %s; check the path, or choose another\n", name.c_str(),
                 error.path1().c_str(), error.code().message().c_str());
    return 1;
  } catch (const FileError& error) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
    return 1;
  } catch (const std::exception& error) {
    const std::string text(without_name(error.what()));
    std::fprintf(stderr, "%s: %s\n", name.c_str(), text.c_str());
    return 1;
  }
}

std::string examples_text(const std::string& lines) {
  std::string text = "Examples:";
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', begin), lines.size());
    text += "\n  " + lines.substr(begin, end - begin);
    begin = end + 1;
  }
  return text;
}

void report_without_effect(const std::string& where, const std::vector<CommandLine::Option>& options) {
  std::string names;
  for (const CommandLine::Option& each : options) {
    if (each.given()) names += (names.empty() ? "" : ", ") + each.name();
  }
  if (!names.empty()) std::fprintf(stderr, "without effect %s: %s\n", where.c_str(), names.c_str());
}

}  // namespace sdlora::examples
