// Which parameter-efficient method works, and where: fine-tunes one base model with every placement on
// WordNet glosses and compares. `./run demo` runs it small, `./run results` in full.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <sdlora/io/atomic_file.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <string>
#include <vector>

#include "support/command_line.hpp"
#include "support/comparison.hpp"
#include "support/labelled_text.hpp"
#include "support/naive_bayes.hpp"
#include "support/rate_search.hpp"

namespace {

using namespace sdlora;
using namespace sdlora::examples;

struct Settings {
  std::filesystem::path base = std::filesystem::path(SDLORA_SOURCE_DIR) / "examples/base";
  std::filesystem::path data = std::filesystem::path(SDLORA_SOURCE_DIR) / "examples/data/wordnet";
  std::filesystem::path out = std::filesystem::path(SDLORA_SOURCE_DIR) / "build/demo";
  bool quick = false;
  bool full = false;
  std::vector<std::string> only = {};
  std::vector<std::uint64_t> seeds = {};
  bool progress = true;
};

/// The sizes of a run of the table.
struct Sizes {
  std::size_t examples, epochs, selection_steps, items;
};
constexpr Sizes quick_sizes{320, 1, 10, 200};
constexpr Sizes demo_sizes{3200, 1, 40, 1000};
constexpr Sizes full_sizes{12000, 1, 120, 0};
constexpr Sizes tuning_sizes{3200, 1, 40, 0};

std::string mega(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f", bytes / 1e6);
  return text;
}

Method method_named(const std::string& name) {
  for (Method& method : methods()) {
    if (method.name == name) return std::move(method);
  }
  throw ArgumentError("no row is named " + name);
}

/// ArgumentError where --only names a row that this run does not have.
void require_rows(const Settings& settings) {
  std::string names, full_names;
  for (const Method& method : methods()) {
    std::string& list = method.full_only && !settings.full ? full_names : names;
    list += (list.empty() ? "" : ", ") + method.name;
  }
  for (const std::string& name : settings.only) {
    if ((", " + names + ",").find(", " + name + ",") != std::string::npos) continue;
    throw ArgumentError("--only: '" + name + "' is no row; choose of " + names +
                        (full_names.empty() ? "" : ", with --full also " + full_names));
  }
}

void print_table(const std::vector<Row>& rows, std::size_t items) {
  std::printf("\n%-13s %10s %8s  %-18s %9s %9s %9s\n", "placement", "trainable", "%", "test accuracy, %",
              "s/step", "tokens/s", "peak MB");
  for (const Row& row : rows) {
    const Outcome& o = row.seeds[0];
    char accuracy[48];
    if (const auto error = row.seed_error()) {
      std::snprintf(accuracy, sizeof accuracy, "%.1f ± %.1f (± %.1f)", 100.0 * row.accuracy(), 100.0 * *error,
                    100.0 * row.sampling_error(items));
    } else {
      std::snprintf(accuracy, sizeof accuracy, "%.1f (± %.1f)", 100.0 * row.accuracy(),
                    100.0 * row.sampling_error(items));
    }
    std::printf("%-13s %10zu %8.3f  %-18s %9.4f %9.0f %9s\n", row.method.name.c_str(), o.trainable, o.percent,
                accuracy, o.seconds_per_step, o.tokens_per_second, mega(o.peak_activation_bytes).c_str());
  }
}

/// The best row, of those of the table or of the longer ones, beside naive Bayes.
std::string against_naive_bayes(const std::vector<Row>& rows, bool longer, const Accuracy& naive_bayes,
                                const char* which, std::size_t items) {
  const Row* best = nullptr;
  for (const Row& row : rows) {
    if ((row.method.examples > 0) != longer) continue;
    if (best == nullptr || row.accuracy() > best->accuracy()) best = &row;
  }
  if (best == nullptr) return "No placement to compare with naive Bayes.";
  const double difference = 100.0 * (best->accuracy() - naive_bayes.value());
  const double error = 100.0 * std::hypot(best->error(items), naive_bayes.standard_error());
  char text[300];
  std::snprintf(
      text, sizeof text,
      "The best %splacement beats naive Bayes %s: %s. %s %.1f %%, naive Bayes %.1f %%: %+.1f points "
      "(standard error %.1f).",
      longer ? "longer trained " : "", which, difference > 0.0 ? "held" : "not held",
      best->method.name.c_str(), 100.0 * best->accuracy(), 100.0 * naive_bayes.value(), difference, error);
  return text;
}

std::string page(const std::vector<Row>& rows, const Baselines& baselines, const Baselines& of_all,
                 const Settings& settings, std::size_t items) {
  const std::string seeds = std::to_string(settings.seeds.size());
  std::string text =
      "# Placements compared\n\n"
      "Made by `./run results`. Base: `examples/base`. Task: WordNet noun gloss → one of 25 categories\n"
      "(`examples/data/wordnet`). Where nothing else is said a placement was trained on " +
      std::to_string(full_sizes.examples) + " examples, " + std::to_string(full_sizes.epochs) +
      " epoch, batch 16, AdamW without\ndecay, linear schedule, clip 1.0, with " + seeds +
      " seeds. The rate of each is the best of those listed on the validation split,\nafter " +
      std::to_string(tuning_sizes.examples) +
      " examples; where the best was the lowest or highest of them, the next one beyond was tried too. The "
      "test\n"
      "split was used once, for this table. Accuracy: mean over the seeds, its standard error over them, and "
      "that of " +
      std::to_string(items) +
      "\ntest items as a sample. A prediction is the class whose name has the highest sum of "
      "log-probabilities, end "
      "of\ntext included. `./run demo` prints the time of a step.\n\n"
      "| placement | trainable | % | rate (tried) | test accuracy, % | over seeds | as a sample | "
      "peak activation MB |\n|---|---|---|---|---|---|---|---|\n";
  char line[512];
  for (const Row& row : rows) {
    std::string tried;
    for (const double rate : row.method.rates) {
      std::snprintf(line, sizeof line, "%s%g", tried.empty() ? "" : ", ", rate);
      tried += line;
    }
    std::string rate = "–";
    if (row.rate > 0.0) {
      std::snprintf(line, sizeof line, "%g (%s)", row.rate,
                    row.method.rate_of.empty() ? tried.c_str() : ("as " + row.method.rate_of).c_str());
      rate = line;
    }
    std::string seed_error = "one run";
    if (const auto error = row.seed_error()) {
      std::snprintf(line, sizeof line, "± %.1f", 100.0 * *error);
      seed_error = line;
    }
    std::snprintf(line, sizeof line, "| %s | %zu | %.3f | %s | %.1f | %s | ± %.1f | %s |\n",
                  row.method.title.c_str(), row.seeds[0].trainable, row.seeds[0].percent, rate.c_str(),
                  100.0 * row.accuracy(), seed_error.c_str(), 100.0 * row.sampling_error(items),
                  mega(row.seeds[0].peak_activation_bytes).c_str());
    text += line;
  }
  std::snprintf(
      line, sizeof line,
      "\nBaselines on the same test split: majority class %.1f %%; multinomial naive Bayes on words "
      "%.1f ± %.1f %% after the\nsame examples, %.1f ± %.1f %% after the whole training split.\n\n",
      100.0 * baselines.majority.value(), 100.0 * baselines.naive_bayes.value(),
      100.0 * baselines.naive_bayes.standard_error(), 100.0 * of_all.naive_bayes.value(),
      100.0 * of_all.naive_bayes.standard_error());
  text += line;
  for (const std::string& claim : claims(rows, items)) text += "- " + claim + "\n";
  text +=
      "- " + against_naive_bayes(rows, false, baselines.naive_bayes, "after the same examples", items) + "\n";
  text += "- " +
          against_naive_bayes(rows, true, of_all.naive_bayes, "after the whole training split", items) + "\n";
  text += "\nWhat these figures mean: [analysis.md](analysis.md).\n";
  return text;
}

void compare(Settings settings) {
  const auto begin = std::chrono::steady_clock::now();
  require_rows(settings);
  const ByteTokenizer tokenizer;
  require_compatible(tokenizer, read_base_config(settings.base));
  const auto base = load_base<presets::AnyMamba>(settings.base);
  const ComparisonData data = read_comparison(settings.data, tokenizer);
  const Sizes sizes = settings.full ? full_sizes : settings.quick ? quick_sizes : demo_sizes;
  const std::size_t items = sizes.items == 0 ? data.test.size() : std::min(sizes.items, data.test.size());
  const bool partial = !settings.only.empty() || !settings.seeds.empty();
  if (settings.seeds.empty())
    settings.seeds = settings.full ? std::vector<std::uint64_t>{1, 2, 3} : std::vector<std::uint64_t>{1};
  std::printf("%zu training examples per method%s, %zu test items, %zu seed%s, %zu threads\n", sizes.examples,
              settings.full ? "" : " (./run results takes more, tunes the rates and repeats over seeds)",
              items, settings.seeds.size(), settings.seeds.size() == 1 ? "" : "s", thread_count());
  if (settings.full) {
    std::printf("tuning and training take about three hours of a core; what is done is kept in %s\n",
                (settings.out / "runs").c_str());
  }
  std::fflush(stdout);

  std::vector<Row> rows;
  for (const Method& method : methods()) {
    if (!settings.only.empty() &&
        std::find(settings.only.begin(), settings.only.end(), method.name) == settings.only.end()) {
      continue;
    }
    if (method.full_only && !settings.full) continue;
    Row row{method, method.rate, {}};
    if (settings.full) {
      const Method tuned = method.rate_of.empty() ? method : method_named(method.rate_of);
      const auto accuracy = [&](double rate) {
        return run_once(settings.out / "runs", base, data,
                        {.method = tuned,
                         .rate = rate,
                         .seed = 0,
                         .examples = tuning_sizes.examples,
                         .epochs = tuning_sizes.epochs,
                         .selection_steps = tuning_sizes.selection_steps,
                         .validation = true,
                         .items = tuning_sizes.items,
                         .progress = settings.progress})
            .accuracy;
      };
      if (!tuned.rates.empty()) {
        ChosenRate chosen = choose_rate(tuned.rates, accuracy);
        row.rate = chosen.rate;
        row.method.rates = std::move(chosen.tried);
      }
      if (!method.rate_of.empty()) row.method.rates = {row.rate};
    }
    for (const std::uint64_t seed : settings.seeds) {
      const Experiment experiment{.method = method,
                                  .rate = row.rate,
                                  .seed = seed,
                                  .examples = method.examples == 0 ? sizes.examples : method.examples,
                                  .epochs = method.epochs == 0 ? sizes.epochs : method.epochs,
                                  .selection_steps = sizes.selection_steps,
                                  .items = sizes.items,
                                  .progress = settings.progress};
      row.seeds.push_back(settings.full ? run_once(settings.out / "runs", base, data, experiment)
                                        : run_experiment(base, data, experiment));
      // Nothing is random where nothing learns.
      if (method.preset == "frozen" || !method.rate_of.empty()) break;
    }
    std::printf("%-13s %.1f %%\n", method.name.c_str(), 100.0 * row.accuracy());
    std::fflush(stdout);
    rows.push_back(std::move(row));
  }
  if (settings.full && partial) return;

  print_table(rows, items);
  const auto labelled = [&](const char* name) { return read_labelled_texts(settings.data / name); };
  const std::vector<LabelledText> training = labelled("train.jsonl"),
                                  validation = labelled("validation.jsonl"), test = labelled("test.jsonl");
  const std::span<const LabelledText> all(training);
  const Baselines baselines =
      measure_baselines(all.first(std::min(sizes.examples, all.size())), validation, test);
  const Baselines of_all = measure_baselines(all, validation, test);
  std::printf(
      "majority class %.1f %%, naive Bayes on words: %.1f %% after the same examples, %.1f %% after all "
      "%zu\n\n",
      100.0 * baselines.majority.value(), 100.0 * baselines.naive_bayes.value(),
      100.0 * of_all.naive_bayes.value(), all.size());
  for (const std::string& claim : claims(rows, items)) std::printf("%s\n", claim.c_str());

  // Rows that were read from files have no predictions to show.
  const bool shows =
      std::any_of(rows.begin(), rows.end(), [](const Row& row) { return !row.seeds[0].predictions.empty(); });
  if (shows) std::printf("\n");
  for (std::size_t i = 0; shows && i < std::min<std::size_t>(3, items); ++i) {
    const ChoiceTask task = choice_task(data.test.examples().subspan(i, 1), data.candidates);
    const auto text = [&](const std::vector<std::int32_t>& ids) { return tokenizer.decode(ids); };
    std::printf("%s%s\n  predicted:", text(task.prompts[0]).c_str(),
                text(task.candidates[task.answers[0]]).c_str());
    for (const Row& row : rows) {
      if (row.seeds[0].predictions.empty()) continue;
      std::printf(" %s %s;", row.method.name.c_str(),
                  text(task.candidates[row.seeds[0].predictions[i]]).c_str());
    }
    std::printf("\n");
  }

  if (settings.full) {
    const std::filesystem::path file = settings.out / "placements.md";
    write_file(file, page(rows, baselines, of_all, settings, items));
    std::printf("\nwritten: %s\n", file.c_str());
  }
  std::printf("\n");
  for (const auto& file : write_results(rows, settings.out)) std::printf("written: %s\n", file.c_str());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%.0f s in all\n", seconds);
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CommandLine command("compare_placements", "Fine-tunes a base model with every placement and compares them");
  command.option("--base", settings.base, "base checkpoint directory");
  command.option("--data", settings.data, "directory of train, validation and test.jsonl");
  command.option("--out", settings.out, "directory of the results");
  const auto quick = command.flag("--quick", settings.quick, "a tenth of the examples");
  command.flag("--full", settings.full, "the full table: tuned rates, three seeds, all examples; resumes")
      .excludes(quick);
  command.option("--only", settings.only, "only these placements");
  command.option("--seeds", settings.seeds, "only these seeds");
  command.threads();
  command.flag("!--no-progress", settings.progress, "no progress bars");
  return command.run(argc, argv, [&] { compare(settings); });
}
