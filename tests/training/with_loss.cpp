#include <doctest/doctest.h>

#include <sdlora/training/evaluate.hpp>
#include <sdlora/training/trainer.hpp>
#include <sdlora/training/with_loss.hpp>

#include "training/support.hpp"

#include <cmath>
#include <cstddef>
#include <string>

using namespace sdlora;
using namespace sdlora_test;

namespace {

using Model = MambaModel<Tiny, presets::LoRALinear<4>, double>;

Model new_model() { return Model(rough_base<Tiny, double>(tiny_dimensions)); }

/// Cross-entropy, scaled, plainly written; how many batches it saw begin.
struct Scaled {
  double by = 1.0;
  std::size_t* batches = nullptr;

  Loss operator()(const LossRows<>& rows, MatrixView<const double> logits, MatrixView<double> d_logits) {
    if (batches != nullptr && rows.first == 0) ++*batches;
    Loss loss{0.0, rows.size()};
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto target = static_cast<std::size_t>(rows.targets[i]);
      double sum = 0.0;
      for (std::size_t j = 0; j < logits.cols; ++j) sum += std::exp(logits(i, j));
      loss.sum += by * (std::log(sum) - logits(i, target));
      for (std::size_t j = 0; d_logits && j < logits.cols; ++j) {
        d_logits(i, j) = by * (std::exp(logits(i, j)) / sum - (j == target ? 1.0 : 0.0));
      }
    }
    return loss;
  }
};

static_assert(TrainableModel<WithLoss<Model, Scaled>>);

TrainerOptions quiet() { return {.steps = 9, .learning_rate = 1e-2, .clip = 0.0, .progress = false}; }

}  // namespace

TEST_CASE("with_loss: a run by the usual loss, written as one's own, is the usual run") {
  const auto data = doubling_task(11);
  Model usual = new_model();
  const TrainingReport expected = Trainer(usual, quiet()).fit(data, data);
  Model model = new_model();
  std::size_t batches = 0;
  WithLoss same{model, Scaled{1.0, &batches}, "cross-entropy"};
  const TrainingReport report = Trainer(same, quiet()).fit(data, data);
  REQUIRE(report.losses.size() == expected.losses.size());
  for (std::size_t i = 0; i < report.losses.size(); ++i) {
    CHECK(report.losses[i] == doctest::Approx(expected.losses[i]).epsilon(1e-9));
  }
  CHECK(report.evaluations.back().second ==
        doctest::Approx(expected.evaluations.back().second).epsilon(1e-9));
  CHECK(batches == 9 + report.evaluations.size());
  CHECK(evaluate_loss(same, data).mean() ==
        doctest::Approx(evaluate_loss(model, data).mean()).epsilon(1e-12));

  Model other = new_model();
  WithLoss twice{other, Scaled{2.0}, "twice"};
  CHECK(evaluate_loss(twice, data).sum == doctest::Approx(2.0 * evaluate_loss(other, data).sum));
}

TEST_CASE("with_loss: a run does not go on by another loss") {
  const auto data = doubling_task(8);
  const test::Folder folder;
  TrainerOptions options = quiet();
  options.checkpoint_directory = folder / "run";
  Model model = new_model();
  WithLoss begun{model, Scaled{}, "cross-entropy"};
  Trainer(begun, options).fit(data);
  options.resume = true;
  CHECK(Trainer(begun, options).fit(data).first_step == 9);
  WithLoss other{model, Scaled{2.0}, "twice"};
  const std::string placement = model.placement();
  test::check_error<FileError>([&] { Trainer(other, options).fit(data); },
                               {"placement = \"" + placement + " by cross-entropy\"", "by twice\""});
  test::check_error<FileError>([&] { Trainer(model, options).fit(data); }, {"by cross-entropy\""});
}
