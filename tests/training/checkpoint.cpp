#include <doctest/doctest.h>

#include <sdlora/training/checkpoint.hpp>
#include <sdlora/training/trainer.hpp>

#include "training/support.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using P = presets::SDLoRA<2, 3, 2>;
using Model = MambaModel<Tiny, P, float>;

Model new_model(double dropout = 0.3) {
  const auto base = rough_base<Tiny, float>(tiny_dimensions);
  return {base, some_selection(tiny_dimensions, 3, 2),
          AdapterOptions{LoRAOptions{.dropout = dropout}, Seed{5}}};
}

/// 11 examples at 2 × 2 a step: 3 steps an epoch, the last one short; 9 steps in all.
TrainerOptions options_in(const std::filesystem::path& directory) {
  return {.epochs = 3,
          .learning_rate = 1e-2,
          .batch_size = 2,
          .accumulation = 2,
          .weight_decay = 0.1,
          .warm_up_steps = 2,
          .decay = Decay::Cosine,
          .seed = 3,
          .checkpoint_every = 2,
          .checkpoint_directory = directory,
          .progress = false};
}

struct Stopped {};

}  // namespace

TEST_CASE("a resumed run ends with the bits of one that was never stopped, on any number of threads") {
  const auto data = doubling_task(11);
  const std::size_t threads = thread_count();
  const test::Folder folder;
  Model whole = new_model();
  const TrainingReport expected = Trainer(whole, options_in(folder / "whole")).fit(data, data);
  REQUIRE(expected.steps == 9);

  for (std::uint64_t stop = 1; stop <= 9; ++stop) {
    CAPTURE(stop);
    TrainerOptions options = options_in(folder / ("run" + std::to_string(stop)));
    options.log_path = folder / "log.jsonl";
    {
      Model model = new_model();
      TrainerOptions stopped = options;
      stopped.on_step = [&](const StepReport& step) {
        if (step.step == stop) throw Stopped();
      };
      CHECK_THROWS_AS(Trainer(model, stopped).fit(data, data), Stopped);
    }
    options.resume = true;
    set_thread_count(1 + stop % 4);
    Model model = new_model();
    const TrainingReport report = Trainer(model, options).fit(data, data);
    set_thread_count(threads);
    CHECK(report.first_step == (stop == 9 ? 9 : stop / 2 * 2));
    CHECK(report.losses.size() == 9 - report.first_step);
    CHECK(std::equal(report.losses.rbegin(), report.losses.rend(), expected.losses.rbegin()));
    CHECK(values_of(model) == values_of(whole));
    // The log tells of every step once.
    const std::string log = test::content(folder / "log.jsonl");
    for (std::size_t step = 1; step <= 9; ++step) {
      const std::string line = "{\"step\": " + std::to_string(step) + ", \"epoch\"";
      CHECK(log.find(line) != std::string::npos);
      CHECK(log.find(line) == log.rfind(line));
    }
  }
}

TEST_CASE("a run that is killed at any moment, again and again, arrives all the same") {
  const auto data = doubling_task(11);
  const test::Folder folder;
  Model whole = new_model();
  Trainer(whole, options_in(folder / "whole")).fit(data);

  TrainerOptions options = options_in(folder / "run");
  options.checkpoint_every = 1;
  options.resume = true;
  const std::size_t threads = thread_count();
  set_thread_count(1);  // a forked process has no other threads
  int killed = 0;
  bool arrived = false;
  for (int attempt = 0; attempt < 200 && !arrived; ++attempt) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::alarm(60);
      try {
        Model model = new_model();
        Trainer(model, options).fit(data);
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(300 + 700 * attempt));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
      ++killed;
    } else {
      REQUIRE(WEXITSTATUS(status) == 0);
      arrived = true;
    }
    const auto checkpoint = folder / "run" / "checkpoint.safetensors";
    if (std::filesystem::exists(checkpoint)) CHECK_NOTHROW(TensorFile::open(checkpoint));
  }
  set_thread_count(threads);
  CHECK(killed > 0);
  CHECK(arrived);
  Model model = new_model();
  Trainer(model, options).fit(data);
  CHECK(values_of(model) == values_of(whole));
  // Nothing half-written is left beside the last checkpoint.
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "run"), {}) == 1);
}

TEST_CASE("a checkpoint of another run is refused, and says why") {
  const auto data = doubling_task(11);
  const test::Folder folder;
  const TrainerOptions options = options_in(folder / "run");
  {
    Model model = new_model();
    Trainer(model, options).fit(data);
  }
  const auto refuse = [&](auto& model, TrainerOptions other, const std::vector<Example>& examples,
                          const std::string& part) {
    other.resume = true;
    const auto before = values_of(model);
    test::check_error<FileError>([&] { Trainer(model, other).fit(examples); },
                                 {"checkpoint.safetensors", part});
    CHECK(values_of(model) == before);
  };
  Model model = new_model();
  TrainerOptions other = options;
  other.learning_rate = 2e-2;
  refuse(model, other, data, "learning_rate = \"0.01\", this one has \"0.02\"");
  other = options;
  other.seed = 4;
  refuse(model, other, data, "seed");
  other = options;
  other.epochs = 4;
  refuse(model, other, data, "steps = \"9\", this one has \"12\"");
  other = options;
  other.groups = {{.site = "A_log", .rate_factor = 2.0}};
  refuse(model, other, data, "groups");
  refuse(model, options, doubling_task(11, 2), "data");
  refuse(model, options, doubling_task(12), "data");
  Model dropless = new_model(0.0);
  refuse(dropless, options, data, "dropout");
  Model elsewhere(rough_base<Tiny, float>(tiny_dimensions, 2), some_selection(tiny_dimensions, 3, 2),
                  AdapterOptions{LoRAOptions{.dropout = 0.3}, Seed{5}});
  refuse(elsewhere, options, data, "base");
  Selection selection = some_selection(tiny_dimensions, 3, 2);
  std::swap(selection.layers[0], selection.layers[1]);
  Model unselected(rough_base<Tiny, float>(tiny_dimensions), selection,
                   AdapterOptions{LoRAOptions{.dropout = 0.3}, Seed{5}});
  refuse(unselected, options, data, "selection");
  MambaModel<Tiny, presets::LoRALinear<2>, float> placed(
      rough_base<Tiny, float>(tiny_dimensions), AdapterOptions{LoRAOptions{.dropout = 0.3}, Seed{5}});
  refuse(placed, options, data, "placement");

  // What does not decide a number may change.
  other = options;
  other.resume = true;
  other.checkpoint_every = 1;
  other.log_path = folder / "log.jsonl";
  CHECK(Trainer(model, other).fit(data).first_step == 9);
  // A new run does not overwrite an old one's checkpoint.
  test::check_error<FileError>([&] { Trainer(model, options).fit(data); }, {"checkpoint", "resume"});
}

TEST_CASE("a run that a callback stopped, again and again, goes on with the bits of one that was not") {
  const auto data = doubling_task(11);
  const test::Folder folder;
  Model whole = new_model();
  const TrainingReport expected = Trainer(whole, options_in(folder / "whole")).fit(data);
  TrainerOptions options = options_in(folder / "run");
  options.checkpoint_every = 100;  // the stop alone writes one
  options.resume = true;
  options.log_path = folder / "log.jsonl";
  std::vector<double> losses;
  std::uint64_t stop = 0;
  options.on_step = [&](const StepReport& step) { return step.step < stop; };
  for (stop = 1; stop <= 9; stop += 2) {
    Model model = new_model();
    const TrainingReport report = Trainer(model, options).fit(data);
    CHECK(report.last_step == stop);
    CHECK(report.end == (stop == 9 ? RunEnd::AllSteps : RunEnd::Stopped));
    losses.insert(losses.end(), report.losses.begin(), report.losses.end());
    if (stop == 9) CHECK(values_of(model) == values_of(whole));
  }
  CHECK(losses == expected.losses);
  const std::string log = test::content(folder / "log.jsonl");
  CHECK(std::count(log.begin(), log.end(), '\n') == 9);
}

TEST_CASE("the best evaluation and the patience left go on with a run") {
  const auto data = doubling_task(11);
  const test::Folder folder;
  // The evaluation by the step: 3 is the best, 7 the fourth after it.
  std::uint64_t step = 0;
  const auto by_step = [&](const Model&) {
    const double values[] = {9, 5, 6, 2, 4, 3, 7, 8, 6, 5};
    return values[++step];
  };
  const auto train = [&](TrainerOptions options, std::uint64_t first) {
    options.evaluate_every = 1;
    options.keep_best = true;
    step = first;
    Model model = new_model();
    const TrainingReport report = Trainer(model, options).fit(data, by_step);
    return std::pair(report, values_of(model));
  };
  TrainerOptions whole_options = options_in(folder / "whole");
  whole_options.patience = 4;
  const auto [whole, expected] = train(whole_options, 0);
  CHECK(whole.end == RunEnd::Patience);
  CHECK(whole.last_step == 7);
  CHECK(whole.best == std::pair<std::uint64_t, double>{3, 2.0});

  for (std::uint64_t stop = 1; stop < 7; ++stop) {
    CAPTURE(stop);
    TrainerOptions options = options_in(folder / ("run" + std::to_string(stop)));
    options.patience = 4;
    options.on_step = [&](const StepReport& made) { return made.step < stop; };
    train(options, 0);
    options.on_step = {};
    options.resume = true;
    const auto [report, values] = train(options, stop);
    CHECK(report.first_step == stop);
    CHECK(report.last_step == 7);
    CHECK(report.best == whole.best);
    CHECK(values == expected);
    // It has ended: a further one makes no step and leaves the same. More patience goes on, to the bits of a
    // run that had it from its beginning.
    const auto [again, same] = train(options, 7);
    CHECK(again.losses.empty());
    CHECK(again.end == RunEnd::Patience);
    CHECK(same == expected);
    options.patience = 5;
    const auto [longer, others] = train(options, 7);
    CHECK(longer.first_step == 7);
    CHECK(longer.last_step == 8);
    CHECK(others == expected);
  }
  // Another way to evaluate has another best, and so has a run that kept none.
  TrainerOptions options = options_in(folder / "run1");
  options.resume = true;
  options.evaluate_every = 1;
  const auto refuse = [&](const auto& evaluation, const std::string& part) {
    Model model = new_model();
    const auto before = values_of(model);
    test::check_error<FileError>([&] { Trainer(model, options).fit(data, evaluation); },
                                 {"checkpoint.safetensors", part});
    CHECK(values_of(model) == before);
  };
  refuse(by_step, "keep_best = \"yes\", this one has \"\"");
  options.keep_best = true;
  refuse(data, "evaluation = \"a function, every 1\", this one has \"11 examples ");
  options.evaluate_every = 2;
  refuse(by_step, "evaluation = \"a function, every 1\", this one has \"a function, every 2\"");
}

TEST_CASE(
    "a finished run of constant decay goes on for more epochs; one whose rate fell says why it cannot") {
  const auto data = doubling_task(11);
  const test::Folder folder;
  const auto train = [&](const std::string& name, std::size_t epochs, Decay decay, bool resume) {
    TrainerOptions options = options_in(folder / name);
    options.epochs = epochs;
    options.decay = decay;
    options.resume = resume;
    Model model = new_model();
    const TrainingReport report = Trainer(model, options).fit(data);
    return std::pair(report, values_of(model));
  };
  const auto [whole, expected] = train("whole", 5, Decay::Constant, false);
  const auto [first, of_two] = train("run", 2, Decay::Constant, false);
  CHECK(of_two != expected);
  const auto [second, of_four] = train("run", 4, Decay::Constant, true);
  CHECK(second.first_step == 6);
  CHECK(second.last_step == 12);
  const auto [third, of_five] = train("run", 5, Decay::Constant, true);
  CHECK(third.first_step == 12);
  CHECK(third.steps == 15);
  CHECK(of_five == expected);
  const auto refuse = [&](const std::string& name, std::size_t epochs, Decay decay, const std::string& part) {
    test::check_error<FileError>([&] { train(name, epochs, decay, true); }, {"checkpoint.safetensors", part});
  };
  refuse("run", 4, Decay::Constant, "of step 15, beyond the 12 of this run; give at least as many");
  refuse("run", 6, Decay::Linear, "decay = \"constant\", this one has \"linear\"");
  for (const Decay decay : {Decay::Linear, Decay::Cosine}) {
    const std::string name(decay_name(decay));
    train(name, 2, decay, false);
    refuse(
        name, 3, decay,
        "steps = \"6\", this one has \"9\": where the learning rate falls, that of every step follows from "
        "their number");
    CHECK(train(name, 2, decay, true).first.first_step == 6);
  }
}

TEST_CASE("two runs do not use one checkpoint directory at a time") {
  const test::Folder folder;
  const auto data = doubling_task(8);
  Model model = new_model();
  TrainerOptions options = options_in(folder / "run");
  std::size_t tried = 0;
  options.on_step = [&](const StepReport& step) {
    if (step.step != 3) return;
    ++tried;
    for (const bool resume : {false, true}) {
      Model other = new_model();
      TrainerOptions same = options_in(folder / "run");
      same.resume = resume;
      const auto before = values_of(other);
      test::check_error<FileError>(
          [&] { Trainer(other, same).fit(data); },
          {same.checkpoint_directory.string() + ": another run writes into this folder"});
      CHECK(values_of(other) == before);
    }
  };
  Trainer(model, options).fit(data);
  CHECK(tried == 1);
}

TEST_CASE("a damaged checkpoint is refused and changes nothing") {
  const test::Folder folder;
  ParameterStore<double> store(5);
  store.add("a", "out_proj", 1, 3, true);
  store.add("b", "D", 2, 1, false);
  for (std::size_t i = 0; i < 5; ++i) {
    store.values()[i] = 0.1 * static_cast<double>(i + 1);
    store.gradients()[i] = 1.0 / static_cast<double>(i + 3);
  }
  AdamW<double> optimizer(store);
  optimizer.step(store, 0.1);
  const RunIdentity identity{{"base", "x"}};
  const auto path = folder / "checkpoint.safetensors";
  save_checkpoint(path, store, optimizer, identity);

  ParameterStore<double> other(5);
  other.add("a", "out_proj", 1, 3, true);
  other.add("b", "D", 2, 1, false);
  AdamW<double> fresh(other);
  CHECK(load_checkpoint(path, other, fresh, identity) == 1);
  test::check_error<FileError>([&] { load_checkpoint(path, other, fresh, identity, nullptr, 0); },
                               {"of step 1, beyond the 0 of this run"});
  CHECK(fresh.steps() == 1);
  CHECK(same_bits<double>(other.values(), store.values()));
  CHECK(same_bits<double>(HostCopy(fresh.first_moments()).values(),
                          HostCopy(optimizer.first_moments()).values()));
  CHECK(same_bits<double>(HostCopy(fresh.second_moments()).values(),
                          HostCopy(optimizer.second_moments()).values()));

  ParameterStore<double> untouched(5);
  untouched.add("a", "out_proj", 1, 3, true);
  untouched.add("b", "D", 2, 1, false);
  AdamW<double> unmoved(untouched);
  const std::string bytes = test::content(path);
  for (const std::size_t kept : {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() - 1}) {
    folder.write("checkpoint.safetensors", std::string_view(bytes).substr(0, kept));
    CHECK_THROWS_AS(load_checkpoint(path, untouched, unmoved, identity), FileError);
  }
  folder.write("checkpoint.safetensors", bytes);
  test::check_error<FileError>([&] { load_checkpoint(path, untouched, unmoved, {{"base", "y"}}); },
                               {"base = \"x\"", "y"});
  test::check_error<FileError>([&] { load_checkpoint(path, untouched, unmoved, {{"new", "y"}}); },
                               {"run.new"});
  ParameterStore<double> shaped(5);
  shaped.add("a", "out_proj", 3, 1, true);
  shaped.add("b", "D", 2, 1, false);
  AdamW<double> shaped_optimizer(shaped);
  test::check_error<FileError>([&] { load_checkpoint(path, shaped, shaped_optimizer, identity); }, {"shape"});
  for (const double value : untouched.values()) CHECK(value == 0.0);
  CHECK(unmoved.steps() == 0);

  // With the best evaluation, and what it was of.
  const auto with_best = folder / "best.safetensors";
  BestEvaluation<double> best{.value = 1.0 / 3.0, .step = 4, .since = 2, .parameters = {1, 2, 3, 4, 5}};
  save_checkpoint(with_best, store, optimizer, identity, best);
  BestEvaluation<double> found{.since = 7};
  CHECK(load_checkpoint(with_best, other, fresh, identity, &found) == 1);
  CHECK(same_bits<double>(other.values(), store.values()));
  CHECK(found.value == best.value);
  CHECK(found.step == 4);
  CHECK(found.since == 2);
  CHECK(found.parameters == best.parameters);
  CHECK(load_checkpoint(path, other, fresh, identity, &found) == 1);
  CHECK(found.step == 0);
  CHECK(found.since == 0);
  CHECK(found.parameters.empty());
  CHECK(load_checkpoint(with_best, other, fresh, identity) == 1);
  best.parameters[3] = std::numeric_limits<double>::quiet_NaN();
  test::check_error<Error>([&] { save_checkpoint(with_best, store, optimizer, identity, best); },
                           {"best.b is not finite"});

  // Values that are no numbers never replace good ones.
  store.values()[4] = std::numeric_limits<double>::infinity();
  test::check_error<Error>([&] { save_checkpoint(path, store, optimizer, identity); },
                           {"b is not finite", "begin anew"});
  CHECK(test::content(path) == bytes);
  // Nor do moments, which no run could go on from: here the square of a large gradient.
  store.values()[4] = 1.0;
  store.gradients()[4] = 1e200;
  optimizer.step(store, 0.1);
  CHECK(store.values()[4] == 1.0);
  test::check_error<Error>([&] { save_checkpoint(path, store, optimizer, identity); },
                           {"second_moment.b is not finite"});
  CHECK(test::content(path) == bytes);
}
