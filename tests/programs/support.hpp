#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <sdlora/io/base_checkpoint.hpp>
#include <string>
#include <utility>
#include <vector>

#include "io/support.hpp"

// Runs the built programs as a user does.
namespace programs {

using Arguments = std::vector<std::string>;

struct Result {
  int status = -1;  ///< exit status; −1: ended by a signal
  std::string out;
  std::string err;
};

/// sdlora, examples, and the programs of bench/ that are no benchmarks.
inline std::string path_of(const std::string& name) {
  for (const char* folder : {"/bin/", "/bench/"}) {
    if (const std::string path = SDLORA_BUILD_DIR + (folder + name); std::filesystem::exists(path))
      return path;
  }
  return SDLORA_BUILD_DIR "/examples/" + name;
}

/// What a name as "sdlora merge" starts: the program's path, and a command of it.
inline Arguments words_of(const std::string& name) {
  const std::size_t space = name.find(' ');
  if (space == std::string::npos) return {path_of(name)};
  return {path_of(name.substr(0, space)), name.substr(space + 1)};
}

/// One running program, its output going to files of `folder`.
class Running {
 public:
  Running(const std::string& name, const Arguments& arguments, const test::Folder& folder,
          const std::string& out = "")
      : out_(out.empty() ? folder / "stdout" : std::filesystem::path(out)), err_(folder / "stderr") {
    Arguments texts = words_of(name);
    texts.insert(texts.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& text : texts) argv.push_back(text.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ != 0) return;
    redirect("/dev/null", O_RDONLY, 0);
    redirect(out_, O_WRONLY | O_CREAT | O_TRUNC, 1);
    redirect(err_, O_WRONLY | O_CREAT | O_TRUNC, 2);
    ::execv(argv[0], argv.data());
    ::_exit(126);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (pid_ > 0) kill();
  }

  /// SIGKILL, at once. Whether it was still running.
  bool kill() {
    ::kill(pid_, SIGKILL);
    return wait().status == -1;
  }

  /// SIGINT, as Ctrl-C sends it.
  Result interrupt() {
    ::kill(pid_, SIGINT);
    return wait();
  }

  Result wait() {
    int status = 0;
    REQUIRE(::waitpid(pid_, &status, 0) == pid_);
    pid_ = 0;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            std::filesystem::is_regular_file(out_) ? test::content(out_) : "", test::content(err_)};
  }

 private:
  static void redirect(const std::filesystem::path& path, int flags, int to) {
    const int from = ::open(path.c_str(), flags, 0666);
    if (from < 0 || ::dup2(from, to) < 0) ::_exit(127);
    if (from != to) ::close(from);
  }

  std::filesystem::path out_, err_;
  pid_t pid_ = 0;
};

inline Result run(const std::string& name, const Arguments& arguments, const std::string& out = "") {
  const test::Folder folder;
  return Running(name, arguments, folder, out).wait();
}

/// The standard output of a run that must succeed.
inline std::string run_well(const std::string& name, const Arguments& arguments) {
  CAPTURE(name);
  const Result result = run(name, arguments);
  CAPTURE(result.err);
  REQUIRE(result.status == 0);
  return result.out;
}

/// A run that must fail with one message that has all the parts, and print nothing else.
inline void check_fails(const std::string& name, const Arguments& arguments,
                        std::initializer_list<std::string> parts) {
  std::string line = name;
  for (const std::string& argument : arguments) line += " " + argument;
  CAPTURE(line);
  const Result result = run(name, arguments);
  CAPTURE(result.err);
  CHECK(result.status > 0);
  CHECK(result.status < 126);
  CHECK(result.out.empty());
  CHECK(result.err.starts_with(name + ": "));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(result.err.find(part) != std::string::npos);
  }
}

/// `more` behind `arguments`.
inline Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// A folder with a tiny byte-level checkpoint (base), the same with other weights (other_base), one of 37
/// tokens that are not bytes (ids_base) and data: train.jsonl, dev.jsonl, ids.jsonl.
class Workplace : public test::Folder {
 public:
  Workplace() {
    save(*this / "base", 264, 1, "byte");
    save(*this / "other_base", 264, 2, "byte");
    save(*this / "ids_base", 37, 3, {});
    std::string lines, ids;
    for (int i = 0; i < 10; ++i) {
      const std::string digit(1, static_cast<char>('0' + i));
      lines +=
          "{\"prompt\": \"" + digit + " and one is \", \"completion\": \"" + std::to_string(i + 1) + "\"}\n";
      ids += "{\"input_ids\": [" + digit + ", 5, 6], \"labels\": [-100, 7, " + digit + "]}\n";
    }
    write("train.jsonl", lines);
    write("dev.jsonl", "{\"text\": \"nothing\"}\n");
    write("ids.jsonl", ids);
  }

  std::string at(const std::string& name) const { return (*this / name).string(); }

  /// Gives a field of a checkpoint's config.json another value.
  void set_config(const std::string& checkpoint, const char* field, const nlohmann::json& value) const {
    nlohmann::json config = nlohmann::json::parse(test::content(*this / (checkpoint + "/config.json")));
    config[field] = value;
    write(checkpoint + "/config.json", config.dump());
  }

  /// A short run of sdlora finetune into `out`.
  Arguments finetune(const std::string& placement, const std::string& out) const {
    return {"--model",
            at("base"),
            "--data",
            at("train.jsonl"),
            "--out",
            at(out),
            "--placement",
            placement,
            "--steps",
            "3",
            "--batch-size",
            "2",
            "--rank",
            "2",
            "--channels",
            "3",
            "--states",
            "2",
            "--selection-steps",
            "2",
            "--prompt-length",
            "3",
            "--learning-rate",
            "0.02",
            "--threads",
            "2"};
  }

 private:
  static void save(const std::filesystem::path& to, std::size_t vocabulary, std::uint64_t seed,
                   std::optional<std::string> tokenizer) {
    const sdlora::MambaDimensions m{.d_model = 12,
                                    .n_layer = 2,
                                    .vocab_size = vocabulary,
                                    .dt_rank = 1,
                                    .d_inner = 24,
                                    .d_state = 16,
                                    .d_conv = 4};
    auto base = sdlora::Base<sdlora::presets::AnyMamba>::random(m, seed);
    // An embedding that matters, so that differences show.
    const auto embedding = base.embedding();
    for (std::size_t i = 0; i < embedding.rows * embedding.cols; ++i) embedding.data[i] *= 20.0F;
    sdlora::save_base(base, to, {.tokenizer = std::move(tokenizer)});
  }
};

struct Scores {
  std::vector<std::int32_t> ids;
  std::vector<double> logprobs;
  double perplexity = 0.0;
};

/// The object that `sdlora score --json` prints, checked.
inline Scores score(const Arguments& arguments) {
  const std::string out = run_well("sdlora score", with(arguments, {"--json"}));
  const auto json = nlohmann::json::parse(out);
  REQUIRE(json.size() == 3);
  Scores scores{json.at("ids"), json.at("logprobs"), json.at("perplexity")};
  REQUIRE(scores.ids.size() == scores.logprobs.size() + 1);
  double sum = 0.0;
  for (const double value : scores.logprobs) {
    CHECK(value < 0.0);
    sum += value;
  }
  CHECK(std::log(scores.perplexity) ==
        doctest::Approx(-sum / static_cast<double>(scores.logprobs.size())).epsilon(1e-6));
  return scores;
}

inline double largest_difference(const Scores& a, const Scores& b) {
  REQUIRE(a.ids == b.ids);
  double largest = 0.0;
  for (std::size_t i = 0; i < a.logprobs.size(); ++i)
    largest = std::max(largest, std::abs(a.logprobs[i] - b.logprobs[i]));
  return largest;
}

/// The names in a folder, sorted; hidden ones too.
inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace programs
