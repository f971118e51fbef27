#include <doctest/doctest.h>

#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <sdlora/training/adamw.hpp>
#include <sdlora/training/schedule.hpp>

#include "io/support.hpp"
#include "support/instances.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

using namespace sdlora;

namespace {

std::filesystem::path reference(const std::string& name) {
  return std::filesystem::path(SDLORA_SOURCE_DIR) / "tests/reference/data" / name;
}

/// Batch number `step` of a training dump.
Batch batch_of(const TensorFile& file, std::size_t step) {
  const auto ids = file.read<std::int32_t>("input_ids");
  const auto labels = file.read<std::int32_t>("labels");
  const auto lengths = file.read<std::int64_t>("lengths");
  const std::vector<std::size_t>& shape = file.info("input_ids").shape;  // (steps, S, L)
  const std::size_t rows = shape[1];
  const std::size_t size = rows * shape[2];
  std::vector<std::size_t> of_step;
  for (std::size_t s = 0; s < rows; ++s)
    of_step.push_back(static_cast<std::size_t>(lengths[step * rows + s]));
  return Batch::from_padded(std::span(ids).subspan(step * size, size),
                            std::span(labels).subspan(step * size, size), of_step);
}

template <class T>
double largest_difference(std::span<const T> found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(found[i]) - expected[i]));
  }
  return largest;
}

/// Five steps as PyTorch made them, with `gradients()` filling the store from the step's batch.
template <class T, class Gradients>
void replay(const TensorFile& file, ParameterStore<T>& store, const Schedule& schedule, double tolerance,
            const Gradients& gradients) {
  const auto losses = file.read<double>("loss");
  const auto norms = file.read<double>("gradient_norm");
  const auto rates = file.read<double>("learning_rate");
  const double decay = file.read<double>("weight_decay")[0];
  AdamW<T> optimizer(store, {.weight_decay = decay});
  for (std::size_t step = 0; step < losses.size(); ++step) {
    CAPTURE(step);
    store.zero_gradients();
    CHECK(gradients(batch_of(file, step)) == doctest::Approx(losses[step]).epsilon(tolerance));
    CHECK(clip_gradients(store, 1.0) == doctest::Approx(norms[step]).epsilon(tolerance));
    CHECK(gradient_norm(store) <= std::min(1.0, norms[step]) * (1.0 + tolerance));
    CHECK(schedule(step) == doctest::Approx(rates[step]).epsilon(1e-14));
    optimizer.step(store, schedule(step));
  }
  CHECK(optimizer.steps() == losses.size());
}

/// Training of every weight.
template <class T>
void full_training(double tolerance) {
  using C = presets::AnyMamba;
  const TensorFile file = TensorFile::open(reference("training_full") / "outputs.safetensors");
  auto base = std::make_shared<Base<C, T>>(load_base<C, T>(reference("two_layers"))->dimensions());
  base->visit([&](const std::string& name, MatrixView<T> values, const auto&) {
    file.read("initial." + name, std::span<T>(values.data, values.rows * values.cols));
  });
  base->finish();
  MambaModel<C, presets::FullFineTune, T> model(base);
  replay(file, model.parameters(), {.peak = 1e-2, .steps = 5, .warm_up = 2}, tolerance,
         [&](const Batch& batch) {
           return model.accumulate_gradients(batch, 1.0 / static_cast<double>(batch.loss_tokens())).mean();
         });
  model.merged()->visit([&](const std::string& name, MatrixView<const T> values, const auto&) {
    CAPTURE(name);
    const auto expected = file.read<double>("final." + name);
    CHECK(largest_difference(std::span<const T>(values.data, values.rows * values.cols), expected) <
          tolerance);
  });
}

struct FusedLoRA : Place<On<site::InProjX, LoRA<3>>, On<site::InProjZ, LoRA<3>>, On<site::XProjDt, LoRA<3>>,
                         On<site::XProjB, LoRA<3>>, On<site::XProjC, LoRA<3>>> {};

/// Training of peft's adapters, whose one A serves all parts of a fused projection: the parts' copies
/// of A share their values, and their gradients add up.
template <class T>
void lora_training(double tolerance) {
  using C = presets::AnyMamba;
  const TensorFile file = TensorFile::open(reference("training_lora") / "outputs.safetensors");
  const auto base = load_base<C, T>(reference("two_layers"));
  MambaModel<C, FusedLoRA, T> model(base, AdapterOptions{LoRAOptions{.rank = 3, .alpha = 6.0}});

  struct Part {
    ParameterInfo fused;  // A or B of peft
    std::size_t offset;   // of the part's values in it
    ParameterInfo own;    // of the model
  };
  std::vector<Part> parts;
  std::size_t size = 0;
  for (const std::string& name : file.names()) {
    if (name.starts_with("initial.")) size += file.info(name).elements();
  }
  ParameterStore<T> store(size);
  for (std::size_t l = 0; l < 2; ++l) {
    for (const std::string fused : {"in_proj", "x_proj"}) {
      for (const std::string half : {"lora_A", "lora_B"}) {
        std::string stored;
        for (const std::string& name : file.names()) {
          const std::string layer = "layers." + std::to_string(l) + ".";
          if (name.starts_with("initial.") && name.find(layer) != std::string::npos &&
              name.find("." + fused + ".") != std::string::npos && name.find(half) != std::string::npos) {
            stored = name.substr(8);
          }
        }
        REQUIRE(!stored.empty());
        const auto shape = file.info("initial." + stored).shape;
        store.add(stored, fused, shape[0], shape[1], true);
        const ParameterInfo whole = store.entries().back();
        file.read("initial." + stored, store.values(whole));
        std::size_t offset = 0;
        const std::vector<std::string> sites =
            fused == "in_proj" ? std::vector<std::string>{"in_proj_x", "in_proj_z"}
                               : std::vector<std::string>{"x_proj_dt", "x_proj_B", "x_proj_C"};
        for (const std::string& site : sites) {
          const ParameterInfo* own =
              model.parameters().find("layers." + std::to_string(l) + "." + site + "." + half);
          REQUIRE(own != nullptr);
          parts.push_back({whole, offset, *own});
          if (half == "lora_B") offset += own->size();
        }
        CHECK(offset == (half == "lora_B" ? whole.size() : 0));
      }
    }
  }
  REQUIRE(store.size() == size);

  replay(file, store, {.peak = 2e-2, .steps = 5}, tolerance, [&](const Batch& batch) {
    model.parameters().zero_gradients();
    for (const Part& part : parts) {
      const auto from = store.values(part.fused).subspan(part.offset, part.own.size());
      std::copy(from.begin(), from.end(), model.parameters().values(part.own).begin());
    }
    const Loss loss = model.accumulate_gradients(batch, 1.0 / static_cast<double>(batch.loss_tokens()));
    for (const Part& part : parts) {
      const auto to = store.gradients(part.fused).subspan(part.offset, part.own.size());
      const auto from = model.parameters().gradients(part.own);
      for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
    }
    return loss.mean();
  });
  for (const ParameterInfo& entry : store.entries()) {
    CAPTURE(entry.name);
    const std::span<const T> values = store.values(entry);
    CHECK(largest_difference(values, file.read<double>("final." + entry.name)) < tolerance);
  }
}

}  // namespace

TEST_CASE("five steps of full training are PyTorch's") {
  full_training<double>(1e-9);
  full_training<float>(1e-4);
}

TEST_CASE("five steps of LoRA training are those of peft and PyTorch") {
  lora_training<double>(1e-9);
  lora_training<float>(1e-4);
}

TEST_CASE("AdamW against its definition, at sizes around vectors and blocks") {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{7}, std::size_t{16}, std::size_t{37}, std::size_t{40001}}) {
    CAPTURE(size);
    ParameterStore<double> store(size + 3);
    store.add("a", "out_proj", 1, size, true);
    store.add("b", "D", 3, 1, false);
    const RandomStream random(1, size);
    std::vector<double> value(size + 3), first(size + 3), second(size + 3);
    for (std::size_t i = 0; i < value.size(); ++i) store.values()[i] = value[i] = random.normal(i);
    AdamW<double> optimizer(store, {.beta1 = 0.8,
                                    .beta2 = 0.95,
                                    .epsilon = 1e-6,
                                    .weight_decay = 0.3,
                                    .groups = {{.site = "D", .rate_factor = 4.0, .weight_decay = 0.2}}});
    for (std::size_t step = 1; step <= 3; ++step) {
      for (std::size_t i = 0; i < value.size(); ++i) store.gradients()[i] = random.normal(step * 1000003 + i);
      optimizer.step(store, 0.01);
      double worst = 0.0;
      for (std::size_t i = 0; i < value.size(); ++i) {
        const double g = store.gradients()[i];
        const double rate = i < size ? 0.01 : 0.04;
        const double n = static_cast<double>(step);
        value[i] -= rate * (i < size ? 0.3 : 0.2) * value[i];
        first[i] = 0.8 * first[i] + 0.2 * g;
        second[i] = 0.95 * second[i] + 0.05 * g * g;
        value[i] -= rate * (first[i] / (1.0 - std::pow(0.8, n))) /
                    (std::sqrt(second[i] / (1.0 - std::pow(0.95, n))) + 1e-6);
        worst = std::max(worst, std::abs(store.values()[i] - value[i]));
      }
      CHECK(worst < 1e-12);
    }
  }
}

TEST_CASE("parameters without decay keep it off; groups name sites that learn") {
  ParameterStore<float> store(2);
  store.add("w", "out_proj", 1, 1, true);
  store.add("A", "A_log", 1, 1, false);
  store.values()[0] = store.values()[1] = 1.0F;
  AdamW<float> optimizer(store, {.weight_decay = 0.5});
  optimizer.step(store, 0.1);  // gradients are zero: only decay acts
  CHECK(store.values()[0] == doctest::Approx(0.95));
  CHECK(store.values()[1] == 1.0F);
  test::check_error<ArgumentError>([&] { AdamW<float>(store, {.groups = {{.site = "A_lgo"}}}); },
                                   {"A_lgo", "check"});
  const auto refuse = [&](std::vector<ParameterGroup> groups, const std::string& part) {
    test::check_error<ArgumentError>([&] { AdamW<float>(store, {.groups = std::move(groups)}); },
                                     {"group of site 'A_log': ", part});
  };
  refuse({{.site = "A_log", .rate_factor = -1.0}}, "a rate factor of at least 0, found -1");
  refuse({{.site = "A_log", .rate_factor = std::nan("")}}, "a rate factor of at least 0, found nan");
  refuse({{.site = "A_log", .weight_decay = std::nan("")}}, "a finite weight decay, found nan");
  refuse({{.site = "A_log", .rate_factor = 2.0}, {.site = "A_log", .weight_decay = 0.1}}, "another group");
  const std::vector<float> three(3);
  test::check_error<ShapeError>([&] { optimizer.restore(three, three, 1); }, {"2 values", "found 3"});
  ParameterStore<float> smaller(1);
  smaller.add("w", "out_proj", 1, 1, true);
  const std::uint64_t steps = optimizer.steps();
  test::check_error<ShapeError>([&] { optimizer.step(smaller, 0.1); },
                                {"the store of 2 values that it was made for, found one of 1"});
  CHECK(optimizer.steps() == steps);
}

TEST_CASE("clipping: the norm of all gradients, the same for any number of threads") {
  const std::size_t size = 100003;
  ParameterStore<float> store(size);
  store.add("w", "out_proj", 1, size, true);
  const RandomStream random(4, 4);
  double sum = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    store.gradients()[i] = static_cast<float>(random.normal(i));
    sum += static_cast<double>(store.gradients()[i]) * static_cast<double>(store.gradients()[i]);
  }
  const double norm = gradient_norm(store);
  CHECK(norm == doctest::Approx(std::sqrt(sum)).epsilon(1e-13));
  const std::size_t threads = thread_count();
  for (const std::size_t count : {1U, 3U, 5U}) {
    set_thread_count(count);
    CHECK(gradient_norm(store) == norm);
  }
  set_thread_count(threads);
  const std::vector<float> before(store.gradients().begin(), store.gradients().end());
  CHECK(clip_gradients(store, 0.0) == norm);
  CHECK(clip_gradients(store, 2.0 * norm) == norm);
  CHECK(std::equal(before.begin(), before.end(), store.gradients().begin()));
  CHECK(clip_gradients(store, 0.5) == norm);
  CHECK(gradient_norm(store) == doctest::Approx(0.5).epsilon(1e-6));
}
