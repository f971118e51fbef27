#include "run_folder.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <sdlora/io/atomic_file.hpp>
#include <sdlora/io/tokenizer_files.hpp>
#include <string_view>
#include <system_error>

namespace sdlora::examples {

namespace {

// Of the checkpoint, for the signal handler, which may not allocate.
std::array<char, 4096> checkpoint_name{};

void write_error(std::string_view text) {
  // Nothing is to be done where standard error cannot be written.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

extern "C" void explain(int signal) {
  if (::access(checkpoint_name.data(), F_OK) == 0) {
    write_error("\ninterrupted; the same command with --resume goes on from the last checkpoint\n");
  } else {
    write_error("\ninterrupted before the first checkpoint was written\n");
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void require_no_model(const std::filesystem::path& out, const std::string& fix) {
  std::error_code none;
  for (const char* name :
       {"config.json", "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"}) {
    if (std::filesystem::exists(out / name, none)) {
      throw FileError(out.string(), "", std::string("holds a model already (") + name + "); " + fix);
    }
  }
}

void require_no_model_or_base(const std::filesystem::path& out, const std::filesystem::path& base) {
  std::error_code none;
  if (std::filesystem::equivalent(out, base, none)) {
    throw ArgumentError("--out is the base's own directory; choose another, so that the base stays");
  }
  require_no_model(out, "remove it, or choose another --out");
}

void require_no_run(const std::filesystem::path& out) {
  std::error_code none;
  for (const char* name : {"adapter.safetensors", "metrics.jsonl", "checkpoint"}) {
    if (std::filesystem::exists(out / name, none)) {
      throw FileError(out.string(), "",
                      std::string("holds a run of sdlora finetune (") + name +
                          "), which could not go on beside a model; choose another --out");
    }
  }
}

void remove_model_leftovers(const std::filesystem::path& out) {
  for (const char* name : {"config.json", "model.safetensors"}) remove_leftovers(out / name);
  for (const std::string_view name : tokenizer_files) remove_leftovers(out / name);
}

std::filesystem::path checkpoint_in(const std::filesystem::path& out) {
  return out / "checkpoint" / "checkpoint.safetensors";
}

bool has_checkpoint(const std::filesystem::path& out, bool resume) {
  const std::filesystem::path checkpoint = checkpoint_in(out);
  const bool found = std::filesystem::exists(checkpoint);
  if (found && !resume) {
    throw FileError(
        checkpoint.string(), "",
        "is the checkpoint of an earlier run; go on with it by --resume, or choose another --out");
  }
  return found;
}

void begin_run(const std::filesystem::path& out, bool resume) {
  const std::filesystem::path checkpoint = checkpoint_in(out);
  if (resume && !has_checkpoint(out, resume)) {
    std::fprintf(stderr, "no checkpoint in %s: begins at step 1\n", checkpoint.parent_path().c_str());
  }
  const std::string name = std::filesystem::absolute(checkpoint).string();
  if (name.size() >= checkpoint_name.size()) return;
  std::copy(name.begin(), name.end(), checkpoint_name.begin());
  for (const int signal : {SIGINT, SIGTERM}) {
    // As nohup and shells start what runs in the background.
    if (std::signal(signal, &explain) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
}

void train_in(const std::filesystem::path& out, bool resume, const std::function<void()>& train) {
  try {
    train();
  } catch (const FileError& error) {
    const std::string text = error.what(), checkpoint = checkpoint_in(out).parent_path().string();
    std::string way;
    if (text.find("the free space") != std::string::npos) {
      if (std::filesystem::exists(checkpoint_in(out))) way = "; then the same command with --resume goes on";
    } else if (resume && text.starts_with(checkpoint)) {
      way = "; to begin anew, remove " + checkpoint + " and leave --resume out";
    }
    const std::size_t colon = text.find(": ", out.string().size());
    if (way.empty() || !text.starts_with(out.string()) || colon == std::string::npos) throw;
    throw FileError(text.substr(0, colon), "", text.substr(colon + 2) + way);
  }
}

NewFolder::NewFolder(const std::filesystem::path& folder) {
  std::error_code none;
  for (auto each = folder; !each.empty() && !std::filesystem::exists(each, none); each = each.parent_path())
    made_.push_back(each);
  make_directories(folder);
}

NewFolder::~NewFolder() {
  // From the lowest up; what is not empty stays.
  std::error_code none;
  for (const auto& each : made_) std::filesystem::remove(each, none);
}

}  // namespace sdlora::examples
