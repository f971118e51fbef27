#pragma once

#include <cstddef>
#include <filesystem>
#include <sdlora/training/trainer.hpp>
#include <span>
#include <string>
#include <vector>

#include "support/method_flags.hpp"
#include "support/placements.hpp"

// What `sdlora finetune` says of a run, and its page.

namespace sdlora::commands {

/// As "98.700 %".
std::string share_of(std::size_t part, std::size_t whole);

/// Refuses a --report that would replace another file: one of the run's, or one that is no report. A run that
/// resumes replaces what it finds, but not its own files.
void require_own_report(const std::filesystem::path& report, const std::filesystem::path& out, bool resume,
                        const std::vector<std::filesystem::path>& read);

/// What a run was made of, for its page.
struct ReportedRun {
  const examples::Placements::model_type& model;
  const examples::AnyBase& base;
  std::span<const Example> data;
  std::string title;
  std::string placement;   ///< by the name of --placement
  bool continues_adapter;  ///< whether layers are those of --from-adapter
};

/// The page of a run that has ended, as HTML. Reads its log. Throws FileError.
std::string report_of(const TrainingReport& report, const ReportedRun& run, const TrainerOptions& options,
                      const examples::CommandLine& command, const examples::MethodFlags& method_flags);

}  // namespace sdlora::commands
