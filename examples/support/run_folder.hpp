#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace sdlora::examples {

/// FileError where `out` holds a model or parts of one, which what a program writes there would replace or
/// stand among. `fix` says what to do.
void require_no_model(const std::filesystem::path& out, const std::string& fix);

/// The same for a program that writes a model to `out`; ArgumentError where that is the folder of its `base`
/// (which may be empty: none).
void require_no_model_or_base(const std::filesystem::path& out, const std::filesystem::path& base);

/// FileError where `out` holds a run of sdlora finetune: its adapter or its checkpoint.
void require_no_run(const std::filesystem::path& out);

/// Removes what a killed program left half-written in `out` of the model that it was saving there.
void remove_model_leftovers(const std::filesystem::path& out);

/// The checkpoint of a training run that writes to `out`.
std::filesystem::path checkpoint_in(const std::filesystem::path& out);

/// Whether `out` has the checkpoint of an earlier run. FileError where it has and the run does not `resume`.
bool has_checkpoint(const std::filesystem::path& out, bool resume);

/// Says on standard error where a run to `resume` finds no checkpoint. From here on, interrupted (Ctrl-C,
/// SIGTERM), the process says how to go on.
void begin_run(const std::filesystem::path& out, bool resume);

/// Calls `train`, whose FileErrors about files of `out` then say how the user goes on: with --resume once
/// there is room on a full disk, or anew where the checkpoint to `resume` from is damaged or of another run.
void train_in(const std::filesystem::path& out, bool resume, const std::function<void()>& train);

/// Makes a folder; the destructor removes it again, with those above that it made, where nothing was
/// written there.
class NewFolder {
 public:
  /// FileError where the folder cannot be made.
  explicit NewFolder(const std::filesystem::path& folder);
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder();

 private:
  std::vector<std::filesystem::path> made_;
};

}  // namespace sdlora::examples
