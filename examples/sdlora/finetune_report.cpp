#include "finetune_report.hpp"

#include <sdlora/io/atomic_file.hpp>
#include <sdlora/text.hpp>
#include <sdlora/training/run_identity.hpp>
#include <sdlora/version.hpp>

#include <sys/resource.h>

#include <cstdio>
#include <system_error>
#include <utility>

#include "support/report.hpp"

namespace sdlora::commands {
namespace {

std::string version() {
  return std::to_string(SDLORA_VERSION_MAJOR) + "." + std::to_string(SDLORA_VERSION_MINOR) + "." +
         std::to_string(SDLORA_VERSION_PATCH);
}

/// What a run came to, as its page names it; `metrics` are of all of it, those parts included that it was
/// resumed from.
examples::NamedTexts figures_of(const TrainingReport& report, const examples::RunMetrics& metrics,
                                const examples::Placements::model_type& model) {
  const auto rounded = [](double value, const char* unit) {
    char text[48];
    std::snprintf(text, sizeof text, "%.4g %s", value, unit);
    return std::string(text);
  };
  const char* const end = report.end == RunEnd::Patience ? ", ended by --patience" : "";
  examples::NamedTexts figures{
      {"steps", std::to_string(report.last_step) + " of " + std::to_string(report.steps) + end},
      {"parameters that learn", std::to_string(model.parameters().size()) + " of " +
                                    std::to_string(model.total_parameters()) + " (" +
                                    share_of(model.parameters().size(), model.total_parameters()) + ")"}};
  if (report.best) {
    figures.emplace_back("best evaluation", detail::short_number(report.best->second) + " after step " +
                                                std::to_string(report.best->first));
  }
  figures.emplace_back("time of all steps", rounded(metrics.seconds, "s"));
  figures.emplace_back("tokens", detail::short_number(metrics.tokens));
  if (metrics.seconds > 0.0)
    figures.emplace_back("throughput", rounded(metrics.tokens / metrics.seconds, "tokens a second"));
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) == 0) {
    figures.emplace_back("peak memory of the process",
                         rounded(static_cast<double>(used.ru_maxrss) / 1024.0, "MiB"));
  }
  return figures;
}

}  // namespace

std::string share_of(std::size_t part, std::size_t whole) {
  char text[16];
  std::snprintf(text, sizeof text, "%.3f", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return std::string(text) + " %";
}

void require_own_report(const std::filesystem::path& report, const std::filesystem::path& out, bool resume,
                        const std::vector<std::filesystem::path>& read) {
  std::error_code none;
  const auto same = [&](const std::filesystem::path& other) {
    return !other.empty() &&
           std::filesystem::weakly_canonical(report, none) == std::filesystem::weakly_canonical(other, none);
  };
  std::vector<std::filesystem::path> others = read;
  for (const char* name : {"adapter.safetensors", "metrics.jsonl", "checkpoint/checkpoint.safetensors",
                           "checkpoint/selection.json"})
    others.push_back(out / name);
  for (const auto& other : others) {
    if (same(other))
      throw ArgumentError("--report: " + report.string() + " is another file of this run; choose another");
  }
  if (!resume) examples::require_report_or_free(report);
}

std::string report_of(const TrainingReport& report, const ReportedRun& run, const TrainerOptions& options,
                      const examples::CommandLine& command, const examples::MethodFlags& method_flags) {
  examples::RunMetrics metrics = examples::read_metrics(options.log_path);
  examples::RunReport page{.title = run.title,
                           .figures = figures_of(report, metrics, run.model),
                           .charts = std::move(metrics.charts),
                           .selection = run.model.selection(),
                           .settings = {{"version of sdlora", version()},
                                        {"placement", run.model.placement()},
                                        {"base", detail::base_text(run.base)},
                                        {"data", detail::data_text(run.data)}}};
  if (!options.initial_values.empty()) page.settings.emplace_back("initial values", options.initial_values);
  for (auto& [name, text] : command.values()) {
    if (name == "--placement") text = run.placement;
    if (!method_flags.have(name)) page.settings.emplace_back(name, text);
  }
  if (run.continues_adapter) {
    for (const LayerRange& range : run.model.options().layers)
      page.settings.emplace_back("layers of " + range.site,
                                 std::to_string(range.first) + " to " + std::to_string(range.last - 1));
  }
  for (auto& row : method_flags.values(run.model.placement(), run.model.options()))
    page.settings.push_back(std::move(row));
  return examples::report_page(page);
}

}  // namespace sdlora::commands
