// examples/experiments/synthetic_s4.cpp: the deep-S4 regression of Galim et al. (arXiv 2410.09016,
// section 6.1).
//
//   synthetic_s4 --out build/synthetic_s4.jsonl [--seeds 4] [--quick] [--report]
//
// A frozen deep S4 of 4 layers (64 channels, 16 states) learns to be a target of 1 layer (8 states) on
// sequences of random integers. Methods, rates and seeds make cells. A line of JSON is written as each is
// done, and cells that the file has are not run again. The table is the mean over seeds of the test error at
// each method's best rate, by another set of sequences than the test's.
#include "support/command_line.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sdlora/adapters/methods.hpp>
#include <sdlora/model/deep_s4.hpp>
#include <sdlora/training/adamw.hpp>
#include <sdlora/training/progress.hpp>
#include <sdlora/training/schedule.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;

namespace {

struct Settings {
  std::size_t channels = 64, layers = 4, states = 16, target_states = 8;
  std::size_t length = 200, batch = 64, steps = 500, warm_up_steps = 20, test_batches = 8;
  double warm_up_rate = 1e-2;

  /// What a cell's line must agree in to count.
  std::string text() const {
    std::string all;
    for (const std::size_t size :
         {channels, layers, states, target_states, length, batch, steps, warm_up_steps, test_batches}) {
      all += std::to_string(size) + " ";
    }
    return all + std::to_string(warm_up_rate);
  }
  DeepS4Dimensions frozen() const { return {.d_model = channels, .n_layer = layers, .d_state = states}; }
  DeepS4Dimensions target() const { return {.d_model = channels, .n_layer = 1, .d_state = target_states}; }
};

using LoraW = Place<On<site::OutProj, LoRA<>>, On<site::OutBias, Full>>;
using LoraFree =
    Place<On<site::OutProj, LoRA<>>, On<site::OutBias, Full>, On<site::D, Full>, On<site::LogDt, Full>>;
using LoraBoth = Place<On<site::OutProj, LoRA<>>, On<site::OutBias, Full>, On<site::LogAReal, LoRA<>>,
                       On<site::AImag, LoRA<>>, On<site::C, LoRA<>>, On<site::LogDt, Full>>;
using Sdt = Place<On<site::LogAReal, SelectedDimensions<>>, On<site::AImag, SelectedDimensions<>>,
                  On<site::C, SelectedDimensions<>>, On<site::LogDt, Full>, On<site::D, Full>,
                  On<site::OutBias, Full>>;
using SdtLora = Place<On<site::LogAReal, SelectedDimensions<>>, On<site::AImag, SelectedDimensions<>>,
                      On<site::C, SelectedDimensions<>>, On<site::LogDt, Full>, On<site::D, Full>,
                      On<site::OutBias, Full>, On<site::OutProj, LoRA<>>>;
using All = Place<On<site::LogAReal, Full>, On<site::AImag, Full>, On<site::C, Full>, On<site::LogDt, Full>,
                  On<site::D, Full>, On<site::OutBias, Full>, On<site::OutProj, Full>>;

/// The instance of one seed: models and data.
class Instance {
 public:
  Instance(const Settings& settings, std::uint64_t seed)
      : settings_(settings),
        seed_(seed),
        frozen_(std::make_shared<DeepS4Base<float>>(
            DeepS4Base<float>::random(settings.frozen(), S4dStart::Random, 2 * seed))),
        target_(std::make_shared<DeepS4Base<float>>(
            DeepS4Base<float>::random(settings.target(), S4dStart::Random, 2 * seed + 1))),
        x_(rows() * settings.channels),
        y_(x_.size()) {
    for (std::size_t s = 0; s <= settings.batch; ++s) offsets_.push_back(s * settings.length);
  }
  const std::shared_ptr<const DeepS4Base<float>>& frozen() const { return frozen_; }
  std::size_t rows() const { return settings_.batch * settings_.length; }
  Sequences sequences() const { return {offsets_}; }
  MatrixView<const float> x() const { return {x_.data(), rows(), settings_.channels}; }
  SquaredError<float> loss() const { return {{y_.data(), rows(), settings_.channels}}; }

  /// Integers 0 to 9 and the target's outputs: batch `number` of a stream.
  void draw(std::uint64_t stream, std::uint64_t number) {
    const RandomStream random(seed_ + 1000 * stream, number);
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(random.below(i, 10));
    target_.forward(x(), sequences(), MatrixView<float>(y_.data(), rows(), settings_.channels));
  }
  static constexpr std::uint64_t training = 1, warm_up = 2, validation = 3, test = 4;

  /// The mean squared error on some batches of a stream.
  template <class Model>
  double error(const Model& model, std::uint64_t stream) {
    Loss sum;
    for (std::size_t i = 0; i < settings_.test_batches; ++i) {
      draw(stream, i);
      const Loss found = model.loss(x(), sequences(), loss());
      sum.sum += found.sum;
      sum.count += found.count;
    }
    return sum.mean();
  }

 private:
  Settings settings_;
  std::uint64_t seed_;
  std::shared_ptr<const DeepS4Base<float>> frozen_;
  DeepS4Model<Place<>> target_;
  std::vector<float> x_, y_;
  std::vector<std::size_t> offsets_;
};

/// Some steps of AdamW; shows where it is.
template <class Model>
void train(Model& model, Instance& instance, std::uint64_t stream, const Schedule& schedule,
           Progress* progress) {
  AdamW<float> optimizer(model.parameters());
  const Stopwatch watch;
  const auto count = static_cast<double>(instance.rows() * instance.frozen()->dimensions().d_model);
  for (std::size_t step = 0; step < schedule.steps; ++step) {
    instance.draw(stream, step);
    model.parameters().zero_gradients();
    const Loss loss =
        model.accumulate_gradients(instance.x(), instance.sequences(), instance.loss(), 1.0 / count);
    if (!std::isfinite(loss.sum)) throw Error("synthetic_s4: the loss is not a number; lower the rate");
    optimizer.step(model.parameters(), schedule(step));
    if (progress != nullptr) progress->update(step + 1, loss.mean(), instance.rows(), watch.seconds());
  }
}

/// The dimensions whose A moves the most while everything is trained for a few steps.
Selection select(const Settings& settings, Instance& instance, std::size_t channels, std::size_t states) {
  DeepS4Model<All> model(instance.frozen());
  train(model, instance, Instance::warm_up,
        {.peak = settings.warm_up_rate, .steps = settings.warm_up_steps, .decay = Decay::Constant}, nullptr);
  const auto moved = model.merged();
  Selection selection{settings.channels, settings.states, {}};
  std::vector<double> change(settings.channels * settings.states);
  for (std::size_t l = 0; l < settings.layers; ++l) {
    const S4dWeights<const float> before = instance.frozen()->layer(l), after = moved->layer(l);
    for (std::size_t i = 0; i < change.size(); ++i) {
      const auto at = [&](const MatrixView<const float>& values) {
        return static_cast<double>(values.data[i]);
      };
      change[i] = std::hypot(std::exp(at(after.log_A_real)) - std::exp(at(before.log_A_real)),
                             at(after.A_imag) - at(before.A_imag));
    }
    const MatrixView<const double> moves(change.data(), settings.channels, settings.states);
    selection.layers.push_back(select_layer(moves, channels, states));
  }
  return selection;
}

struct Result {
  std::size_t learned = 0, total = 0;
  double validation = 0.0, test = 0.0, seconds = 0.0;
};

template <class P>
Result run(const Settings& settings, Instance& instance, double rate, const std::string& label,
           const Selection& selection, const AdapterOptions& options) {
  const Stopwatch watch;
  DeepS4Model<P> model(instance.frozen(), selection, options);
  if constexpr (P::learns) {
    Progress progress(std::cerr, label, settings.steps);
    train(model, instance, Instance::training, {.peak = rate, .steps = settings.steps}, &progress);
  }
  const double validation = instance.error(model, Instance::validation);
  const double test = instance.error(model, Instance::test);
  return {model.parameters().size(), model.total_parameters(), validation, test, watch.seconds()};
}

/// A row of the table.
struct Method {
  std::string name;
  std::function<Result(Instance&, double rate, const std::string& label, std::uint64_t seed)> run;
  bool learns = true;
};

std::vector<Method> methods_of(const Settings& s) {
  std::vector<Method> all;
  const auto lora = [](std::size_t rank, std::size_t of_ssm, std::uint64_t seed) {
    AdapterOptions options{LoRAOptions{.rank = of_ssm}, Seed{seed}};
    options.set(options_at<site::OutProj>(LoRAOptions{.rank = rank}));
    return options;
  };
  all.push_back({"frozen",
                 [s](Instance& i, double rate, const std::string& label, std::uint64_t) {
                   return run<Place<>>(s, i, rate, label, {}, {});
                 },
                 false});
  for (const std::size_t rank : {4U, 8U, 16U}) {
    const std::string r = std::to_string(rank);
    all.push_back({"LoRA on W, rank " + r + "; b",
                   [=](Instance& i, double rate, const std::string& label, std::uint64_t seed) {
                     return run<LoraW>(s, i, rate, label, {}, lora(rank, 1, seed));
                   }});
  }
  for (const std::size_t rank : {4U, 8U, 16U}) {
    const std::string r = std::to_string(rank);
    all.push_back({"LoRA on W, rank " + r + "; b, D, log_dt",
                   [=](Instance& i, double rate, const std::string& label, std::uint64_t seed) {
                     return run<LoraFree>(s, i, rate, label, {}, lora(rank, 1, seed));
                   }});
  }
  for (const std::size_t rank : {4U, 8U, 16U}) {
    const std::string r = std::to_string(rank);
    all.push_back({"LoRA on W, rank " + r + ", and on A and C, rank 1; b, log_dt",
                   [=](Instance& i, double rate, const std::string& label, std::uint64_t seed) {
                     return run<LoraBoth>(s, i, rate, label, {}, lora(rank, 1, seed));
                   }});
  }
  struct Budget {
    std::size_t channels, states, rank;  // rank 0: no LoRA
  };
  const auto selected = [=](const Budget& b, std::uint64_t seed) {
    AdapterOptions options = b.rank == 0 ? AdapterOptions{Seed{seed}} : lora(b.rank, 1, seed);
    options.set(SelectedOptions{.channels = b.channels, .states = b.states});
    return options;
  };
  const auto text = [](const Budget& b) {
    return std::to_string(b.channels) + " channels × " + std::to_string(b.states) + " states";
  };
  for (const Budget b : {Budget{s.channels / 8, s.states / 2, 3}, Budget{s.channels / 4, s.states / 2, 8},
                         Budget{s.channels / 2, s.states / 2, 12}}) {
    all.push_back({"SDT, " + text(b) + ", and LoRA on W, rank " + std::to_string(b.rank) + "; b, D, log_dt",
                   [=](Instance& i, double rate, const std::string& label, std::uint64_t seed) {
                     return run<SdtLora>(s, i, rate, label, select(s, i, b.channels, b.states),
                                         selected(b, seed));
                   }});
  }
  for (const Budget b : {Budget{s.channels / 8, s.states / 2, 0}, Budget{s.channels / 4, s.states / 2, 0},
                         Budget{s.channels / 2, s.states, 0}}) {
    all.push_back({"SDT alone, " + text(b) + "; b, D, log_dt",
                   [=](Instance& i, double rate, const std::string& label, std::uint64_t seed) {
                     return run<Sdt>(s, i, rate, label, select(s, i, b.channels, b.states),
                                     selected(b, seed));
                   }});
  }
  all.push_back({"full", [s](Instance& i, double rate, const std::string& label, std::uint64_t) {
                   return run<All>(s, i, rate, label, {}, {});
                 }});
  return all;
}

/// A number as it is named in files and messages.
std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// What identifies a cell.
struct Cell {
  std::string settings, method, rate;
  std::uint64_t seed = 0;
  auto operator<=>(const Cell&) const = default;
};

/// The cells of a file. A last line that was cut off is passed over.
std::map<Cell, Result> read(const std::filesystem::path& path) {
  std::map<Cell, Result> found;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) continue;
    found[{json.at("settings"), json.at("method"), json.at("rate"), json.at("seed")}] = {
        json.at("learned"), json.at("total"), json.at("validation"), json.at("test"), json.at("seconds")};
  }
  return found;
}

void append(const std::filesystem::path& path, const Cell& cell, const Result& r) {
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  bool cut = false;  // where the last line has no end, this one begins on a line of its own
  if (std::ifstream file(path, std::ios::binary | std::ios::ate); file && file.tellg() > 0) {
    file.seekg(-1, std::ios::end);
    cut = file.get() != '\n';
  }
  std::ofstream file(path, std::ios::app);
  const nlohmann::json json{{"settings", cell.settings},  {"method", cell.method}, {"rate", cell.rate},
                            {"seed", cell.seed},          {"learned", r.learned},  {"total", r.total},
                            {"validation", r.validation}, {"test", r.test},        {"seconds", r.seconds}};
  file << (cut ? "\n" : "") + json.dump() + "\n" << std::flush;
  if (!file) throw FileError(path.string(), "", "cannot be written; give --out another place");
}

struct Statistics {
  std::size_t count = 0;
  double mean = 0.0, error = 0.0;
};
Statistics statistics(const std::vector<double>& values) {
  Statistics s{.count = values.size()};
  for (const double value : values) s.mean += value / static_cast<double>(values.size());
  if (values.size() < 2) return s;
  double squares = 0.0;
  for (const double value : values) squares += (value - s.mean) * (value - s.mean);
  const auto n = static_cast<double>(values.size());
  s.error = std::sqrt(squares / (n - 1.0) / n);
  return s;
}

void report(const Settings& settings, const std::vector<Method>& methods, const std::vector<double>& rates,
            const std::map<Cell, Result>& cells) {
  std::printf("| method | learns | share | MSE | rate | seeds |\n|---|---|---|---|---|---|\n");
  for (const Method& method : methods) {
    Statistics best_validation, best_test;
    std::string best_rate;
    Result any;
    for (const double rate : method.learns ? rates : std::vector<double>{0.0}) {
      std::vector<double> validation, test;
      for (const auto& [cell, result] : cells) {
        if (cell.settings != settings.text() || cell.method != method.name || cell.rate != number(rate))
          continue;
        validation.push_back(result.validation);
        test.push_back(result.test);
        any = result;
      }
      if (validation.empty()) continue;
      const Statistics here = statistics(validation);
      // Of rates with as many seeds the better one; one that lacks seeds waits for them.
      if (best_rate.empty() || here.count > best_validation.count ||
          (here.count == best_validation.count && here.mean < best_validation.mean)) {
        best_validation = here;
        best_test = statistics(test);
        best_rate = number(rate);
      }
    }
    if (best_rate.empty()) continue;
    std::printf("| %s | %zu | %.1f %% | %.3f", method.name.c_str(), any.learned,
                100.0 * static_cast<double>(any.learned) / static_cast<double>(any.total), best_test.mean);
    if (best_test.count > 1) std::printf(" ± %.3f", best_test.error);
    std::printf(" | %s | %zu |\n", method.learns ? best_rate.c_str() : "", best_test.count);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  std::filesystem::path out = "build/synthetic_s4.jsonl";
  std::size_t seeds = 4;
  bool quick = false, only_report = false;
  std::vector<std::string> rate_texts{"5e-3", "1e-2"}, only;
  examples::CommandLine command("synthetic_s4", "A deep S4 learns to be a smaller one, by several methods.");
  command.option("--out", out, "a line of JSON for each cell; those it has are not run again");
  command.option("--seeds", seeds, "instances: models and data").at_least_one();
  command.option("--rates", rate_texts, "learning rates, of which each method takes its best");
  command.option("--methods", only, "only those whose names begin so");
  const auto steps = command.option("--steps", settings.steps, "of training").at_least_one();
  const auto batch = command.option("--batch", settings.batch, "sequences of a step").at_least_one();
  command.flag("--quick", quick, "small models and few steps, to see that everything runs");
  command.flag("--report", only_report, "only the table of what the file has");
  command.threads();
  return command.run(argc, argv, [&] {
    if (quick) {
      const Settings given = settings;
      settings = {.channels = 16,
                  .layers = 2,
                  .states = 8,
                  .target_states = 4,
                  .length = 40,
                  .batch = 8,
                  .steps = 60,
                  .warm_up_steps = 5,
                  .test_batches = 2};
      if (steps.given()) settings.steps = given.steps;
      if (batch.given()) settings.batch = given.batch;
      seeds = std::min<std::size_t>(seeds, 2);
    }
    std::vector<double> rates;
    for (const std::string& text : rate_texts) {
      std::size_t used = 0;
      double rate = 0.0;
      try {
        rate = std::stod(text, &used);
      } catch (const std::exception&) {
        used = 0;
      }
      if (used != text.size() || !(rate > 0.0)) {
        throw ArgumentError("--rates: expected learning rates above 0, found '" + text +
                            "'; separate them by commas");
      }
      rates.push_back(rate);
    }
    std::vector<Method> methods = methods_of(settings);
    if (!only.empty()) {
      std::erase_if(methods, [&](const Method& method) {
        return std::none_of(only.begin(), only.end(),
                            [&](const std::string& name) { return method.name.starts_with(name); });
      });
      if (methods.empty())
        throw ArgumentError("--methods: no method's name begins so; leave it out to see all");
    }
    std::map<Cell, Result> cells = read(out);
    struct Work {
      const Method* method;
      double rate;
      std::uint64_t seed;
    };
    std::vector<Work> work;
    const auto cell_of = [&](const Work& w) {
      return Cell{settings.text(), w.method->name, number(w.rate), w.seed};
    };
    for (std::uint64_t seed = 1; seed <= seeds && !only_report; ++seed) {
      for (const Method& method : methods) {
        for (const double rate : method.learns ? rates : std::vector<double>{0.0}) {
          if (const Work one{&method, rate, seed}; !cells.contains(cell_of(one))) work.push_back(one);
        }
      }
    }
    const Stopwatch watch;
    std::unique_ptr<Instance> instance;
    std::uint64_t instance_seed = 0;
    for (std::size_t done = 0; done < work.size(); ++done) {
      const Work& w = work[done];
      if (instance == nullptr || instance_seed != w.seed) {
        instance = std::make_unique<Instance>(settings, w.seed);
        instance_seed = w.seed;
      }
      const std::string label = "[" + std::to_string(done + 1) + "/" + std::to_string(work.size()) + "] " +
                                w.method->name + ", rate " + number(w.rate) + ", seed " +
                                std::to_string(w.seed);
      const Result result = w.method->run(*instance, w.rate, label, w.seed);
      append(out, cell_of(w), result);
      cells[cell_of(w)] = result;
      const double left =
          watch.seconds() / static_cast<double>(done + 1) * static_cast<double>(work.size() - done - 1);
      command.note(label + ": MSE " + number(result.test) + " in " + duration_text(result.seconds) +
                   "; about " + duration_text(left) + " left");
    }
    report(settings, methods, rates, cells);
  });
}
