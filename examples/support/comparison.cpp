#include "comparison.hpp"

#include <sdlora/adapters/methods.hpp>
#include <sdlora/io/atomic_file.hpp>
#include <sdlora/io/json.hpp>
#include <sdlora/model/fingerprint.hpp>
#include <sdlora/training/candidate_scorer.hpp>
#include <sdlora/training/trainer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <system_error>
#include <utility>

namespace sdlora::examples {

std::vector<Method> methods() {
  const std::vector<double> low_rank{1e-3, 3e-3, 1e-2};
  const std::vector<double> few{3e-3, 1e-2, 3e-2};
  return {
      {"frozen", "frozen", "frozen", {}, 0.0, {}},
      {"prompt",
       "prompt",
       "prompt tuning, 16 rows",
       {RowsOptions{.prompt_length = 16}},
       1e-2,
       {1e-2, 3e-2, 1e-1}},
      {"prefix", "prefix", "prefix tuning, 16 rows", {RowsOptions{.prompt_length = 16}}, 3e-1, few},
      {"initial-state", "initial-state", "initial state", {}, 3e-2, few, true},
      {"state-offset", "state-offset", "state-offset tuning", {}, 0.0, few, true},
      {"bitfit", "bitfit", "BitFit", {}, 3e-2, few},
      {"lora-ssm", "lora-ssm", "LoRA on the SSM, r = 8", {LoRAOptions{.rank = 8}}, 3e-2, low_rank},
      {"lora-linear",
       "lora-linear",
       "LoRA on linear projections, r = 8",
       {LoRAOptions{.rank = 8}},
       1e-2,
       low_rank},
      {"rslora-linear",
       "rslora-linear",
       "rsLoRA on linear projections, r = 8",
       {LoRAOptions{.rank = 8}},
       0.0,
       low_rank,
       true},
      {"dora-linear",
       "dora-linear",
       "DoRA on linear projections, r = 8",
       {DoRAOptions{.rank = 8}},
       0.0,
       low_rank,
       true},
      {"vera-linear",
       "vera-linear",
       "VeRA on linear projections, r = 256",
       {VeRAOptions{.rank = 256}},
       0.0,
       few,
       true},
      {"ia3", "ia3", "(IA)³ on every projection", {}, 0.0, few, true},
      {"lora-all", "lora-all", "LoRA everywhere, r = 8", {LoRAOptions{.rank = 8}}, 1e-2, low_rank},
      {"sdlora",
       "sdlora",
       "SDLoRA, r = 24 (the budget of lora-linear)",
       {LoRAOptions{.rank = 24}, SelectedOptions{.states = 4}},
       1e-2,
       low_rank},
      {"full", "full", "full fine-tuning", {}, 1e-3, {3e-4, 1e-3, 3e-3}},
      {"sdlora-r8",
       "sdlora",
       "SDLoRA, r = 8 (as published)",
       {LoRAOptions{.rank = 8}, SelectedOptions{.states = 4}},
       1e-2,
       {},
       true,
       "sdlora"},
      {"lora-out",
       "lora-out",
       "LoRA on out_proj, r = 24 (SDLoRA less its dimensions)",
       {LoRAOptions{.rank = 24}},
       1e-2,
       {},
       true,
       "sdlora"},
      {"sdlora-linear",
       "sdlora-linear",
       "lora-linear and SDLoRA's dimensions, r = 8",
       {LoRAOptions{.rank = 8}, SelectedOptions{.states = 4}},
       1e-2,
       {},
       true,
       "lora-linear"},
      {"lora-linear-long",
       "lora-linear",
       "LoRA on linear projections, r = 8, 20000 examples × 4 epochs",
       {LoRAOptions{.rank = 8}},
       1e-2,
       {},
       true,
       "lora-linear",
       20000,
       4},
      {"full-long",
       "full",
       "full fine-tuning, 20000 examples × 4 epochs",
       {},
       1e-3,
       {},
       true,
       "full",
       20000,
       4},
  };
}

ComparisonData read_comparison(const std::filesystem::path& directory, const ByteTokenizer& tokenizer) {
  ComparisonData data{JsonlDataset::open(directory / "train.jsonl", tokenizer),
                      JsonlDataset::open(directory / "validation.jsonl", tokenizer),
                      JsonlDataset::open(directory / "test.jsonl", tokenizer),
                      {}};
  data.candidates = distinct_completions(data.train);
  return data;
}

Outcome run_experiment(const AnyBasePointer& base, const ComparisonData& data, const Experiment& e) {
  constexpr std::size_t batch_size = 16;
  const auto train = data.train.examples().first(std::min(e.examples, data.train.size()));
  AdapterOptions adapter = e.method.adapter;
  adapter.seed = e.seed;
  Selection selection;
  if (Placements::find(e.method.preset).selects) {
    selection = Placements::select(e.method.preset, base, train,
                                   {.steps = e.selection_steps,
                                    .learning_rate = e.rate,
                                    .batch_size = batch_size,
                                    .seed = e.seed + 1000,
                                    .adapters = adapter,
                                    .progress = e.progress});
  }
  const auto model = Placements::make(e.method.preset, base, selection, adapter);
  Outcome outcome;
  outcome.trainable = model->parameters().size();
  outcome.percent =
      100.0 * static_cast<double>(outcome.trainable) / static_cast<double>(model->total_parameters());
  if (outcome.trainable > 0) {
    Trainer trainer(*model, {.epochs = e.epochs,
                             .learning_rate = e.rate,
                             .batch_size = batch_size,
                             .seed = e.seed,
                             .progress = e.progress,
                             .label = e.method.name});
    const TrainingReport report = trainer.fit(train);
    outcome.seconds_per_step = report.seconds / static_cast<double>(report.losses.size());
    outcome.tokens_per_second = static_cast<double>(report.tokens) / report.seconds;
    const std::size_t tail = std::max<std::size_t>(1, report.losses.size() / 10);
    for (std::size_t i = report.losses.size() - tail; i < report.losses.size(); ++i)
      outcome.loss += report.losses[i];
    outcome.loss /= static_cast<double>(tail);
  }
  outcome.peak_activation_bytes = static_cast<double>(thread_workspace().peak_bytes());
  const JsonlDataset& measured = e.validation ? data.validation : data.test;
  const auto items =
      measured.examples().first(e.items == 0 ? measured.size() : std::min(e.items, measured.size()));
  ChoiceResult result = evaluate_choices(*model, choice_task(items, data.candidates));
  outcome.accuracy = result.accuracy;
  outcome.predictions = std::move(result.predictions);
  return outcome;
}

namespace {

/// What outcomes follow from besides the experiment, as the name of a folder.
std::string identity(const AnyBasePointer& base, const ComparisonData& data) {
  std::string name = fingerprint_text(fingerprint(*base));
  for (const JsonlDataset* split : {&data.train, &data.validation, &data.test})
    name += "-" + fingerprint_text(fingerprint(split->examples()));
  return name;
}

}  // namespace

Outcome run_once(const std::filesystem::path& cache, const AnyBasePointer& base, const ComparisonData& data,
                 const Experiment& e) {
  char name[160];
  std::snprintf(name, sizeof name, "%s-rate%g-seed%llu-n%zux%zu-w%zu-%s%zu.json", e.method.name.c_str(),
                e.rate, static_cast<unsigned long long>(e.seed), e.examples, e.epochs, e.selection_steps,
                e.validation ? "validation" : "test", e.items);
  const std::filesystem::path path = cache / identity(base, data) / name;
  if (std::filesystem::exists(path)) {
    const nlohmann::json document = read_json(path);
    const JsonObject json(document, path.string());
    return {.trainable = json.required<std::size_t>("trainable"),
            .percent = json.required<double>("percent"),
            .accuracy = json.required<double>("accuracy"),
            .loss = json.required<double>("loss"),
            .seconds_per_step = json.required<double>("seconds_per_step"),
            .tokens_per_second = json.required<double>("tokens_per_second"),
            .peak_activation_bytes = json.required<double>("peak_activation_bytes")};
  }
  const Outcome o = run_experiment(base, data, e);
  char text[512];
  std::snprintf(text, sizeof text,
                "{\"trainable\": %zu, \"percent\": %.6f, \"accuracy\": %.6f, \"loss\": %.6f, "
                "\"seconds_per_step\": %.6f, "
                "\"tokens_per_second\": %.1f, \"peak_activation_bytes\": %.0f}\n",
                o.trainable, o.percent, o.accuracy, o.loss, o.seconds_per_step, o.tokens_per_second,
                o.peak_activation_bytes);
  make_directories(path.parent_path());
  write_file(path, std::string(text));
  return o;
}

double Row::accuracy() const {
  double sum = 0.0;
  for (const Outcome& outcome : seeds) sum += outcome.accuracy;
  return sum / static_cast<double>(seeds.size());
}

std::optional<double> Row::seed_error() const {
  if (seeds.size() < 2) return std::nullopt;
  double sum = 0.0;
  for (const Outcome& outcome : seeds)
    sum += (outcome.accuracy - accuracy()) * (outcome.accuracy - accuracy());
  const double n = static_cast<double>(seeds.size());
  return std::sqrt(sum / (n - 1.0) / n);
}

double Row::sampling_error(std::size_t items) const {
  return std::sqrt(accuracy() * (1.0 - accuracy()) / static_cast<double>(items));
}

double Row::error(std::size_t items) const {
  return std::hypot(sampling_error(items), seed_error().value_or(0.0));
}

std::vector<std::string> claims(const std::vector<Row>& rows, std::size_t items) {
  const auto find = [&](const char* name) -> const Row* {
    for (const Row& row : rows) {
      if (row.method.name == name) return &row;
    }
    return nullptr;
  };
  const auto better = [](const Row* a, const Row* b) {
    return a == nullptr || (b != nullptr && b->accuracy() > a->accuracy()) ? b : a;
  };
  std::vector<std::string> result;
  const auto compare = [&](const char* claim, const Row* high, const Row* low) {
    if (high == nullptr || low == nullptr) return;
    const double difference = 100.0 * (high->accuracy() - low->accuracy());
    // Both were measured on the same items, so this is rather too large.
    const double error = 100.0 * std::hypot(high->error(items), low->error(items));
    char text[400];
    std::snprintf(text, sizeof text,
                  "%s: %s here. %s %.1f %%, %s %.1f %%: %+.1f points (standard error %.1f).", claim,
                  difference > 2.0 * error    ? "held"
                  : difference > 0.0          ? "held, but within the error,"
                  : difference > -2.0 * error ? "not held, but within the error,"
                                              : "not held",
                  high->method.name.c_str(), 100.0 * high->accuracy(), low->method.name.c_str(),
                  100.0 * low->accuracy(), difference, error);
    result.emplace_back(text);
  };
  compare("Prompt-based methods fail against LoRA on linear projections", find("lora-linear"),
          better(find("prompt"), find("prefix")));
  compare("LoRA on linear projections beats LoRA on the SSM", find("lora-linear"), find("lora-ssm"));
  compare("SDLoRA beats LoRA on linear projections at equal budget", find("sdlora"), find("lora-linear"));
  compare("SDLoRA's selected dimensions add to its LoRA on out_proj", find("sdlora"), find("lora-out"));
  compare("They add to LoRA on all linear projections", find("sdlora-linear"), find("lora-linear"));
  return result;
}

namespace {

double mean(const Row& row, double Outcome::* field) {
  double sum = 0.0;
  for (const Outcome& outcome : row.seeds) sum += outcome.*field;
  return sum / static_cast<double>(row.seeds.size());
}

/// Draws the accuracy of every row that learns against its trainable share. Where no image came out, why.
std::string plot(const std::vector<Row>& rows, const std::filesystem::path& image) {
  // Not one of an earlier run, beside the other results of this one.
  std::error_code none;
  std::filesystem::remove(image, none);
  if (std::none_of(rows.begin(), rows.end(), [](const Row& row) { return row.seeds[0].trainable > 0; }))
    return "no row has anything that learns";
  const std::filesystem::path script = image.parent_path() / "results.gnuplot";
  std::string text =
      "set terminal pngcairo size 900,560 font 'sans,11'\nset output '" + image.string() +
      "'\nset logscale x\nset format x '%g'\nset xlabel 'trainable parameters, % (log scale)'\n"
      "set ylabel 'test accuracy, %'\nset grid\nset key off\nset offsets graph 0.12, graph 0.2, graph 0.08, "
      "graph 0.05\n"
      "$points << EOD\n";
  char line[160];
  for (const Row& row : rows) {
    if (row.seeds[0].trainable == 0) continue;
    std::snprintf(line, sizeof line, "%.6f %.3f \"%s\"\n", row.seeds[0].percent, 100.0 * row.accuracy(),
                  row.method.name.c_str());
    text += line;
  }
  text += "EOD\n";
  for (const Row& row : rows) {
    if (row.seeds[0].trainable != 0) continue;
    std::snprintf(line, sizeof line, "frozen = %.3f\n", 100.0 * row.accuracy());
    text += line;
  }
  text +=
      "plot $points using 1:2 with points pt 7 ps 1.4 lc rgb '#2060a0', "
      "$points using 1:2:3 with labels offset 0,0.9 noenhanced";
  if (text.find("\nfrozen = ") != std::string::npos) text += ", frozen with lines dt 2 lc rgb '#a04020'";
  write_file(script, text + "\n");
  const std::string command = "gnuplot '" + script.string() + "' >/dev/null 2>&1";
  if (std::system(command.c_str()) == 0) return {};
  std::filesystem::remove(image, none);
  return "gnuplot is missing or failed (Debian: gnuplot-nox)";
}

}  // namespace

std::vector<std::filesystem::path> write_results(const std::vector<Row>& rows,
                                                 const std::filesystem::path& directory) {
  make_directories(directory);
  std::string json = "[";
  std::string csv =
      "placement,trainable,percent,accuracy,seconds_per_step,tokens_per_second,peak_activation_bytes\n";
  for (const Row& row : rows) {
    char text[400];
    const auto fill = [&](const char* format) {
      std::snprintf(text, sizeof text, format, row.method.name.c_str(), row.seeds[0].trainable,
                    row.seeds[0].percent, row.accuracy(), mean(row, &Outcome::seconds_per_step),
                    mean(row, &Outcome::tokens_per_second), mean(row, &Outcome::peak_activation_bytes));
    };
    fill(
        "{\"placement\": \"%s\", \"trainable\": %zu, \"percent\": %.6f, \"accuracy\": %.6f, "
        "\"seconds_per_step\": %.6f, "
        "\"tokens_per_second\": %.1f, \"peak_activation_bytes\": %.0f}");
    json += (json.size() == 1 ? "\n  " : ",\n  ") + std::string(text);
    fill("%s,%zu,%.6f,%.6f,%.6f,%.1f,%.0f\n");
    csv += text;
  }
  std::vector<std::filesystem::path> written{directory / "results.json", directory / "results.csv"};
  write_file(written[0], json + "\n]\n");
  write_file(written[1], csv);
  if (const std::string reason = plot(rows, directory / "results.png"); reason.empty()) {
    written.push_back(directory / "results.png");
  } else {
    std::fprintf(stderr, "results.png was not drawn: %s\n", reason.c_str());
  }
  return written;
}

}  // namespace sdlora::examples
