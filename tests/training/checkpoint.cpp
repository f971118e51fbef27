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
