#include <doctest/doctest.h>

#include <sdlora/training/trainer.hpp>

#include "training/support.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using Lora = presets::LoRALinear<4>;
template <class T>
using LoraModel = MambaModel<Tiny, Lora, T>;

template <class T>
LoraModel<T> new_model(double dropout = 0.0) {
  return LoraModel<T>(rough_base<Tiny, T>(tiny_dimensions),
                      AdapterOptions{LoRAOptions{.dropout = dropout}, Seed{5}});
}

TrainerOptions quiet() { return {.learning_rate = 1e-2, .progress = false}; }

}  // namespace

TEST_CASE("a tiny task is learned") {
  MambaModel<Tiny, presets::FullFineTune, float> model(rough_base<Tiny, float>(tiny_dimensions));
  const auto data = doubling_task(40);
  TrainerOptions options = quiet();
  options.epochs = 60;
  options.evaluate_every = 250;
  const TrainingReport report = Trainer(model, options).fit(data, data);
  REQUIRE(report.steps == 600);
  REQUIRE(report.losses.size() == 600);
  CHECK(report.losses.front() > 2.0);
  CHECK(report.losses.back() < 0.05);
  REQUIRE(report.evaluations.size() == 3);
  CHECK(report.evaluations.back().first == 600);
  CHECK(report.evaluations.back().second < 0.05);
  CHECK(report.evaluations.back().second == doctest::Approx(evaluate_loss(model, data).mean()));
  CHECK(report.tokens == 60 * (40 * 5 + 14));
  CHECK(report.seconds > 0.0);

  // Adapters alone, around frozen random weights and a frozen head, get most of the way.
  auto adapted = new_model<float>();
  const TrainingReport other = Trainer(adapted, options).fit(data);
  CHECK(other.losses.back() < 0.25 * other.losses.front());
}

TEST_CASE("two batches of two accumulated are one of four") {
  const auto data = some_examples({9, 2, 3, 11, 4, 7, 2, 5}, 19);  // a mean of means would not do
  const auto train = [&](std::size_t batch_size, std::size_t accumulation) {
    auto model = new_model<double>();
    TrainerOptions options = quiet();
    options.steps = 7;
    options.batch_size = batch_size;
    options.accumulation = accumulation;
    std::vector<double> losses = Trainer(model, options).fit(data).losses;
    losses.insert(losses.end(), model.parameters().values().begin(), model.parameters().values().end());
    return losses;
  };
  const auto whole = train(4, 1);
  for (const auto& parts : {train(2, 2), train(1, 4)}) {
    REQUIRE(parts.size() == whole.size());
    double worst = 0.0;
    for (std::size_t i = 0; i < whole.size(); ++i) worst = std::max(worst, std::abs(whole[i] - parts[i]));
    CHECK(worst < 1e-10);
  }
  CHECK(train(3, 1) != whole);
}

TEST_CASE("the gradient of a step is the tree sum of its micro-batches' gradients, each from zero") {
  // 14 examples of unequal lengths in micro-batches of 3: four of 3 and one of 2.
  const auto data = some_examples({9, 2, 3, 11, 4, 7, 2, 5, 6, 8, 3, 10, 4, 5}, 19);
  TrainerOptions options = quiet();
  options.steps = 1;
  options.batch_size = 3;
  options.accumulation = 5;
  options.clip = 0.0;
  options.seed = 6;
  const auto trained = [&] {
    auto model = new_model<float>(0.2);
    Trainer(model, options).fit(data);
    const auto gradients = std::as_const(model).parameters().gradients();
    return std::vector<float>(gradients.begin(), gradients.end());
  };
  const std::vector<float> found = trained();

  std::vector<std::uint32_t> order(data.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  RandomStream(options.seed, 0).shuffle(order.data(), order.size());
  std::size_t targets = 0;
  for (const Example& example : data) targets += loss_tokens(example);
  auto model = new_model<float>(0.2);
  std::vector<std::vector<float>> parts;
  std::vector<double> losses;
  for (std::uint64_t micro = 0; micro < 5; ++micro) {
    Batch batch;
    for (std::size_t i = 3 * micro; i < std::min<std::size_t>(14, 3 * micro + 3); ++i)
      batch.add(data[order[i]]);
    model.parameters().zero_gradients();
    losses.push_back(model
                         .accumulate_gradients(batch, 1.0 / static_cast<double>(targets),
                                               {.training = true, .step = micro})
                         .sum);
    parts.emplace_back(model.parameters().gradients().begin(), model.parameters().gradients().end());
  }
  std::size_t other = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto at = [&](std::size_t part) { return parts[part][i]; };
    CHECK(found[i] == ((at(0) + at(1)) + (at(2) + at(3))) + at(4));
    other += found[i] != (((at(0) + at(1)) + at(2)) + at(3)) + at(4) ? 1 : 0;
  }
  CHECK(other > 0);  // one after another has other bits
  auto again = new_model<float>(0.2);
  const TrainingReport report = Trainer(again, options).fit(data);
  CHECK(report.losses[0] ==
        (((losses[0] + losses[1]) + (losses[2] + losses[3])) + losses[4]) / static_cast<double>(targets));

  const std::size_t threads = thread_count();
  set_thread_count(3);
  CHECK(trained() == found);
  set_thread_count(threads);
}

TEST_CASE("a run is a function of its seeds, whatever the number of threads") {
  const auto data = doubling_task(11);
  const auto train = [&](std::uint64_t seed) {
    auto model = new_model<float>(0.2);
    TrainerOptions options = quiet();
    options.epochs = 3;
    options.seed = seed;
    Trainer(model, options).fit(data);
    return values_of(model);
  };
  const auto values = train(1);
  const std::size_t threads = thread_count();
  set_thread_count(3);
  CHECK(train(1) == values);
  set_thread_count(threads);
  CHECK(train(2) != values);
}

TEST_CASE("every epoch takes every example once, in an order of its own") {
  std::vector<Example> data;
  for (std::size_t i = 0; i < 7; ++i) {  // example i has i + 2 tokens: the tokens of a step tell its example
    data.push_back({std::vector<std::int32_t>(i + 2, 1), std::vector<std::int32_t>(i + 2, 1)});
  }
  auto model = new_model<float>();
  std::vector<std::size_t> tokens;
  TrainerOptions options = quiet();
  options.epochs = 2;
  options.batch_size = 1;
  options.on_step = [&](const StepReport& step) {
    tokens.push_back(step.tokens);
    CHECK(step.step == tokens.size());
    CHECK(step.epoch == doctest::Approx(static_cast<double>(tokens.size()) / 7.0));
  };
  Trainer(model, options).fit(data);
  REQUIRE(tokens.size() == 14);
  std::vector<std::size_t> first(tokens.begin(), tokens.begin() + 7);
  std::vector<std::size_t> second(tokens.begin() + 7, tokens.end());
  CHECK(first != second);
  for (auto* epoch : {&first, &second}) {
    std::sort(epoch->begin(), epoch->end());
    CHECK(*epoch == std::vector<std::size_t>{2, 3, 4, 5, 6, 7, 8});
  }
  // The last step of an epoch takes what is left.
  options.batch_size = 4;
  options.epochs = 1;
  tokens.clear();
  options.on_step = [&](const StepReport& step) { tokens.push_back(step.tokens); };
  Trainer(model, options).fit(data);
  REQUIRE(tokens.size() == 2);
  CHECK(tokens[0] + tokens[1] == 35);
}

TEST_CASE("the loss is the mean over the step's targets; groups, schedule and clipping reach the optimizer") {
  const auto data = some_examples({9, 3, 6}, 19);
  auto model = new_model<double>();
  const double expected = model.loss(Batch(data)).mean();
  StepReport seen;
  TrainerOptions options = quiet();
  options.steps = 4;
  options.warm_up_steps = 2;
  options.on_step = [&](const StepReport& step) {
    if (step.step == 1) seen = step;
  };
  CHECK(Trainer(model, options).fit(data).losses[0] == doctest::Approx(expected).epsilon(1e-12));
  CHECK(seen.loss == doctest::Approx(expected).epsilon(1e-12));
  CHECK(seen.learning_rate == 0.0);
  CHECK(seen.gradient_norm > 0.0);
  options.groups = {{.site = "no_such_site"}};
  test::check_error<ArgumentError>([&] { Trainer(model, options).fit(data); }, {"no_such_site"});
}

TEST_CASE("a loss that is not finite stops the run, spoils nothing and says what there is to go on from") {
  const auto base = rough_base<Tiny, float>(tiny_dimensions);
  const float whole = base->embedding()(13, 0);
  const auto data = doubling_task(5);
  const test::Folder folder;
  TrainerOptions options = quiet();
  options.batch_size = 1;
  options.epochs = 9;
  options.checkpoint_every = 1;
  options.checkpoint_directory = folder / "run";
  // The embedding is the head too: from then on no loss is finite.
  std::vector<float> before;
  std::uint64_t last = 0;
  const auto fails = [&](std::uint64_t spoilt_after) {
    base->embedding()(13, 0) = whole;
    LoraModel<float> model(base);
    if (spoilt_after == 0) base->embedding()(13, 0) = std::numeric_limits<float>::quiet_NaN();
    before = values_of(model);
    last = 0;
    options.on_step = [&](const StepReport& step) {
      before = values_of(model);
      last = step.step;
      if (last >= spoilt_after) base->embedding()(13, 0) = std::numeric_limits<float>::quiet_NaN();
    };
    const std::string text = test::error_of<Error>([&] { Trainer(model, options).fit(data); });
    CHECK(values_of(model) == before);
    CHECK(text.find("at step " + std::to_string(last + 1)) != std::string::npos);
    CHECK((text.find("begin anew with a lower learning rate than 0.01") != std::string::npos) == (last > 0));
    return text;
  };
  // No rate was used yet.
  test::check_parts(fails(0), {"nothing was learned yet", "but the base or the examples of this step"});
  CHECK(!std::filesystem::exists(folder / "run" / "checkpoint.safetensors"));
  // A resumed run would refuse another rate.
  CHECK(
      fails(3).ends_with("(in another directory: the checkpoint, of step 3, goes on with the settings of "
                         "its run only)"));
  CHECK(std::filesystem::exists(folder / "run" / "checkpoint.safetensors"));
  options.resume = true;
  options.checkpoint_every = 100;
  CHECK(fails(4).find("the checkpoint, of step 3,") != std::string::npos);
  CHECK(last == 4);
  options.resume = false;
  options.checkpoint_directory = folder / "other";
  CHECK(fails(1).ends_with("(no checkpoint was written)"));
  options.checkpoint_every = 0;
  options.checkpoint_directory.clear();
  CHECK(fails(1).find("checkpoint") == std::string::npos);
}

TEST_CASE("options and data that make no sense are refused") {
  auto model = new_model<float>();
  const auto data = doubling_task(3);
  const auto refuse = [&](TrainerOptions options, const std::string& part) {
    options.progress = false;
    test::check_error<ArgumentError>([&] { Trainer(model, options).fit(data); }, {part});
  };
  refuse({.epochs = 0}, "epochs");
  refuse({.epochs = std::size_t{1} << 63, .batch_size = 2}, "epochs of 2 steps are more than can be counted");
  refuse({.learning_rate = -1.0}, "learning rate above 0, found -1");
  refuse({.learning_rate = std::nan("")}, "learning rate");
  refuse({.batch_size = 0, .accumulation = 3}, "batch size of 1 to 2^24, found 0; correct batch_size");
  refuse({.accumulation = 0}, "an accumulation of 1 to 2^24, found 0");
  refuse({.weight_decay = -0.1}, "weight decay");
  refuse({.clip = -1.0}, "clipping");
  refuse({.checkpoint_every = 3}, "directory");
  refuse({.resume = true}, "directory");
  refuse({.keep_best = true}, "keep_best goes by evaluations, expected something to evaluate on, found none");
  refuse({.patience = 2}, "patience goes by evaluations");
  refuse({.beta2 = 1.0}, "a beta2 of at least 0 and below 1, found 1");
  refuse({.epsilon = std::numeric_limits<double>::infinity()}, "finite epsilon");
  refuse({.final_rate = std::nan("")}, "final rate of 0 to 1");
  refuse({.final_rate = 5.0}, "final rate of 0 to 1, a part of the learning rate, found 5");
  refuse({.final_rate = -0.1}, "final rate");
  test::check_error<ArgumentError>([&] { Trainer(model, quiet()).fit(std::vector<Example>{}); },
                                   {"found none"});
  // Before the first step, wherever they come in the order.
  const auto unusable = [&](const Example& example, const std::string& part) {
    const auto before = values_of(model);
    auto examples = doubling_task(30);
    examples.push_back(example);
    test::check_error<ArgumentError>([&] { Trainer(model, quiet()).fit(examples); },
                                     {"Trainer: example 30: " + part});
    test::check_error<ArgumentError>([&] { Trainer(model, quiet()).fit(data, examples); },
                                     {"Trainer: evaluation example 30: " + part});
    CHECK(values_of(model) == before);
  };
  unusable({{1, 19}, {1, 2}}, "expected ids from 0 to 18, found 19 at position 1");
  unusable({{1, 2}, {1, -1}}, "expected labels of -100 or from 0 to 18, found -1 at position 1");
  unusable({{1, 2, 3}, {1, 2}}, "expected tokens, and a label for each, found 3 tokens and 2 labels");
  unusable({}, "expected tokens, and a label for each, found 0 tokens");
  const std::vector<Example> mute{{{1, 2}, {1, ignored_label}}};
  test::check_error<ArgumentError>([&] { Trainer(model, quiet()).fit(mute); }, {"label"});
}

TEST_CASE("progress and metrics are written") {
  auto model = new_model<float>();
  const test::Folder folder;
  std::ostringstream shown;
  TrainerOptions options{.epochs = 2, .batch_size = 5, .log_path = folder / "log.jsonl", .output = &shown};
  options.label = "tuning";
  Trainer(model, options).fit(doubling_task(10), doubling_task(3, 9));
  CHECK(shown.str().find("tuning 1/4  loss ") != std::string::npos);
  CHECK(shown.str().find("tuning 4/4  loss ") != std::string::npos);
  CHECK(shown.str().find("tuning: evaluation after step 2: loss ") != std::string::npos);
  CHECK(shown.str().find('\r') == std::string::npos);
  const std::string log = test::content(folder / "log.jsonl");
  CHECK(std::count(log.begin(), log.end(), '\n') == 4 + 2);
  CHECK(log.starts_with("{\"step\": 1, \"epoch\": 0.5, \"loss\": "));
  CHECK(log.find("{\"step\": 4, \"evaluation_loss\": ") != std::string::npos);
}

TEST_CASE("a warm-up that never ends is told of") {
  auto model = new_model<float>();
  std::ostringstream shown;
  TrainerOptions options{.steps = 4, .learning_rate = 0.1, .warm_up_steps = 4, .output = &shown};
  Trainer(model, options).fit(doubling_task(10));
  CHECK(shown.str().find("warm-up of 4 steps takes all of the run's 4") != std::string::npos);
  CHECK(shown.str().find("rises to 0.075, not to 0.1") != std::string::npos);
  shown.str("");
  options.warm_up_steps = 3;
  Trainer(model, options).fit(doubling_task(10));
  CHECK(shown.str().find("warm-up") == std::string::npos);
}

namespace {

/// Evaluations by a table: the n-th is values[n]. How often it was asked, and what the model had then.
struct Table {
  std::vector<double> values;
  std::vector<std::vector<float>> seen = {};

  double operator()(const LoraModel<float>& model) {
    seen.push_back(values_of(model));
    return values.at(seen.size() - 1);
  }
};

}  // namespace

TEST_CASE("a callback ends a run, and sees the evaluation of its step") {
  auto model = new_model<float>();
  const auto data = doubling_task(10);  // 3 steps an epoch
  TrainerOptions options = quiet();
  options.epochs = 4;
  options.evaluate_every = 2;
  std::vector<std::optional<double>> evaluations;
  options.on_step = [&](const StepReport& step) {
    evaluations.push_back(step.evaluation);
    return step.step < 5;
  };
  const TrainingReport report = Trainer(model, options).fit(data, data);
  CHECK(report.end == RunEnd::Stopped);
  CHECK(report.last_step == 5);
  CHECK(report.steps == 12);
  CHECK(report.losses.size() == 5);
  REQUIRE(evaluations.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(evaluations[i].has_value() == (i % 2 == 1));
  REQUIRE(report.evaluations.size() == 2);
  CHECK(*evaluations[1] == report.evaluations[0].second);
  CHECK(*evaluations[3] == report.evaluations[1].second);
  // At its last step there is nothing left to end.
  options.steps = 5;
  auto whole = new_model<float>();
  options.on_step = [](const StepReport& step) { return step.step < 5; };
  CHECK(Trainer(whole, options).fit(data).end == RunEnd::AllSteps);
}

TEST_CASE("what is evaluated best is what a run leaves, and patience ends it") {
  const auto data = doubling_task(10);
  const auto train = [&](TrainerOptions options, Table& table, LoraModel<float>& model) {
    options.steps = 8;
    options.evaluate_every = 1;
    options.decay = Decay::Constant;
    return Trainer(model, options).fit(data, [&](const LoraModel<float>& now) { return table(now); });
  };
  TrainerOptions options = quiet();
  Table last{{3, 2, 1, 4, 5, 1, 6, 7}};
  auto model = new_model<float>();
  const TrainingReport all = train(options, last, model);
  CHECK(all.end == RunEnd::AllSteps);
  CHECK(all.best == std::pair<std::uint64_t, double>{3, 1.0});  // the first of two equal ones
  CHECK(values_of(model) == last.seen[7]);

  options.keep_best = true;
  Table best{last.values};
  auto kept = new_model<float>();
  const TrainingReport report = train(options, best, kept);
  CHECK(report.last_step == 8);
  CHECK(best.seen == last.seen);
  CHECK(values_of(kept) == last.seen[2]);
  CHECK(report.evaluations.size() == 8);
  CHECK(report.evaluations[3] == std::pair<std::uint64_t, double>{4, 4.0});

  options.patience = 2;
  Table patient{last.values};
  auto ended = new_model<float>();
  const TrainingReport early = train(options, patient, ended);
  CHECK(early.end == RunEnd::Patience);
  CHECK(early.last_step == 5);
  CHECK(values_of(ended) == last.seen[2]);
  options.patience = 3;  // the third is the last, which the sixth does not beat
  Table other{last.values};
  auto later = new_model<float>();
  CHECK(train(options, other, later).last_step == 6);
  options.keep_best = false;
  Table without{last.values};
  auto final = new_model<float>();
  CHECK(train(options, without, final).last_step == 6);
  CHECK(values_of(final) == last.seen[5]);

  // Where no evaluation is a number, there is no best, and patience ends.
  options.keep_best = true;
  Table nothing{std::vector<double>(8, std::nan(""))};
  auto lost = new_model<float>();
  const TrainingReport none = train(options, nothing, lost);
  CHECK(none.last_step == 3);
  CHECK(!none.best);
  CHECK(values_of(lost) == last.seen[2]);
}

TEST_CASE("how a run ended is told and logged") {
  auto model = new_model<float>();
  const test::Folder folder;
  const auto data = doubling_task(10);
  std::ostringstream shown;
  TrainerOptions options{.steps = 6, .log_path = folder / "log.jsonl", .evaluate_every = 1, .output = &shown};
  options.keep_best = true;
  options.patience = 2;
  Table table{{0.5, 2, 3}};
  Trainer(model, options).fit(data, [&](const LoraModel<float>& now) { return table(now); });
  CHECK(shown.str().find("training: evaluation after step 2: 2\n") != std::string::npos);
  CHECK(shown.str().find("training: ended after step 3: none of the last 2 evaluations was better than that "
                         "of step 1\n") != std::string::npos);
  CHECK(shown.str().find("training: the values are those of step 1, of the best evaluation\n") !=
        std::string::npos);
  CHECK(test::content(folder / "log.jsonl").find("{\"step\": 2, \"evaluation\": 2}\n") != std::string::npos);
  shown.str("");
  options.patience = 0;
  options.keep_best = false;
  options.on_step = [](const StepReport&) { return false; };
  Trainer(model, options).fit(data);
  CHECK(shown.str().find("training: ended after step 1, as on_step asked for\n") != std::string::npos);
  CHECK(shown.str().find("values are those") == std::string::npos);
}
