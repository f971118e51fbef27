#pragma once

#include <filesystem>
#include <sdlora/adapters/selection.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sdlora::examples {

/// Names and what they stand for, in the order in which a page shows them.
using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// One line of a chart: its name, and points (step, value), ascending.
struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

/// Curves over the steps of a run, under one title.
struct Chart {
  std::string title;
  std::vector<Curve> curves;
};

/// What a run's page shows. Where a part is empty the page leaves it out.
struct RunReport {
  std::string title;
  NamedTexts figures;
  std::vector<Chart> charts;
  Selection selection;
  NamedTexts settings;
};

/// What a metrics log says of a run, those parts included from which it was resumed.
struct RunMetrics {
  /// Losses, learning rate, perplexity of evaluations, gradient norm and throughput; those that the log has.
  std::vector<Chart> charts;
  double tokens = 0.0;   ///< that went through the model
  double seconds = 0.0;  ///< of the steps alone
};

/// Reads the log that a Trainer wrote. Throws FileError.
RunMetrics read_metrics(const std::filesystem::path& log);

/// The page as HTML: one file with its charts as SVG, for light and dark screens, without scripts and without
/// anything that lies elsewhere. All texts are escaped; points that are not finite are left out, and where a
/// curve has more than can be seen, the lowest and the highest of each stretch stay.
std::string report_page(const RunReport& report);

/// FileError where `path` holds something that is no such page, which a page would replace.
void require_report_or_free(const std::filesystem::path& path);

}  // namespace sdlora::examples
