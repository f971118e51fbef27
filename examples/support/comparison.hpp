#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <sdlora/adapters/options.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/training/choice_task.hpp>
#include <string>
#include <vector>

#include "placements.hpp"

namespace sdlora::examples {

/// One row of the comparison: a preset with its sizes and the learning rates worth trying.
struct Method {
  std::string name;    ///< of the row, as "sdlora"
  std::string preset;  ///< as `make_model` takes it
  std::string title;   ///< for people
  AdapterOptions adapter;
  double rate = 0.0;          ///< of the demo: what tuning in the full table chose; 0: of no demo
  std::vector<double> rates;  ///< that tuning tries
  bool full_only = false;     ///< a row of the full table that the demo leaves out
  /// For the analysis: runs once, at the rate tuned for the method of this name.
  std::string rate_of = {};
  /// Of the training split and the passes over it, where they are not those of the table.
  std::size_t examples = 0, epochs = 0;
};

/// The rows of the table, in order.
std::vector<Method> methods();

/// What a run trains on and is measured by.
struct Experiment {
  Method method;
  double rate = 0.0;
  std::uint64_t seed = 0;
  std::size_t examples = 0;  ///< of the training split, passed over `epochs` times
  std::size_t epochs = 1;
  std::size_t selection_steps = 0;  ///< of SDLoRA's first phase
  bool validation = false;          ///< measured on the validation split instead of the test split
  std::size_t items = 0;            ///< of that split; 0: all
  bool progress = true;
};

/// What came out of it.
struct Outcome {
  std::size_t trainable = 0;
  double percent = 0.0;
  double accuracy = 0.0;
  double loss = 0.0;  ///< of the last tenth of training, mean per token
  double seconds_per_step = 0.0;
  double tokens_per_second = 0.0;
  double peak_activation_bytes = 0.0;
  std::vector<std::size_t> predictions = {};  ///< empty where the outcome was read from a file
};

/// The data of the comparison: a fixed train / validation / test split of {"prompt","completion"}.
struct ComparisonData {
  JsonlDataset train, validation, test;
  std::vector<std::vector<std::int32_t>> candidates;
};
ComparisonData read_comparison(const std::filesystem::path& directory, const ByteTokenizer& tokenizer);

/// Trains and measures.
Outcome run_experiment(const AnyBasePointer& base, const ComparisonData& data, const Experiment& experiment);

/// The same, remembered in a file below `cache`, in a folder of this base and data: what has been run
/// before is read instead.
Outcome run_once(const std::filesystem::path& cache, const AnyBasePointer& base, const ComparisonData& data,
                 const Experiment& experiment);

/// A row that is measured: means over its seeds.
struct Row {
  Method method;
  double rate = 0.0;
  std::vector<Outcome> seeds;

  double accuracy() const;
  /// Of the mean over seeds: how far other seeds would move it. Nothing for a single seed.
  std::optional<double> seed_error() const;
  /// Of the accuracy as a sample of `items` test items.
  double sampling_error(std::size_t items) const;
  /// Both together.
  double error(std::size_t items) const;
};

/// Sentences on the paper's claims: held or not in these rows, and by how much.
std::vector<std::string> claims(const std::vector<Row>& rows, std::size_t items);

/// Writes results.json, results.csv and (with gnuplot) results.png; returns the names written.
std::vector<std::filesystem::path> write_results(const std::vector<Row>& rows,
                                                 const std::filesystem::path& directory);

}  // namespace sdlora::examples
