// What storing a base's matrices as bfloat16 or int8 costs, on the model of this repository and real text:
// how far the distribution of the next token moves, and how far gradients turn.
#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/io/tokenizer.hpp>
#include <sdlora/model/mamba_model.hpp>
#include <sdlora/tensor/random.hpp>

#include "support/numbers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;
using namespace sdlora_test;

namespace {

const std::filesystem::path examples = SDLORA_SOURCE_DIR "/examples";

Batch glosses(std::size_t count) {
  const auto data = JsonlDataset::open(examples / "data/wordnet/validation.jsonl", ByteTokenizer{});
  return Batch(data.examples().first(count));
}

/// The model of this repository, its matrices moved off what bfloat16 holds: its checkpoint is of that.
const Base<presets::AnyMamba>& floats() {
  static const auto base = [] {
    Base<presets::AnyMamba> moved(*load_base<presets::AnyMamba>(examples / "base"));
    std::uint64_t stream = 0;
    moved.visit([&](const std::string& name, MatrixView<float> values, const auto&) {
      if (values.rows == 1 || name.ends_with("A_log") || name.ends_with("conv1d.weight")) return;
      const RandomStream random(1, ++stream);
      for (std::size_t i = 0; i < values.rows * values.cols; ++i) {
        values.data[i] *= static_cast<float>(1.0 + (random.uniform(i) - 0.5) / 128.0);
      }
    });
    return moved;
  }();
  return base;
}
std::shared_ptr<const Base<presets::AnyMamba>> stored_base(StoredType stored) {
  return std::make_shared<const Base<presets::AnyMamba>>(floats().stored_as(stored));
}

struct Distance {
  double mean_kl = 0.0;    ///< KL(float ‖ stored) of the next token, in nats a token
  double agreement = 0.0;  ///< share of tokens with the same likeliest next token
};

Distance distance(MatrixView<const float> logits, MatrixView<const float> stored) {
  Distance result;
  for (std::size_t i = 0; i < logits.rows; ++i) {
    const auto log_total = [&](const float* row) {
      const auto largest = static_cast<double>(*std::max_element(row, row + logits.cols));
      double sum = 0.0;
      for (std::size_t j = 0; j < logits.cols; ++j) sum += std::exp(static_cast<double>(row[j]) - largest);
      return largest + std::log(sum);
    };
    const float *p = logits.row(i), *q = stored.row(i);
    const double log_p = log_total(p), log_q = log_total(q);
    for (std::size_t j = 0; j < logits.cols; ++j) {
      const double a = static_cast<double>(p[j]) - log_p, b = static_cast<double>(q[j]) - log_q;
      result.mean_kl += std::exp(a) * (a - b);
    }
    const auto top = [&](const float* row) { return std::max_element(row, row + logits.cols) - row; };
    result.agreement += top(p) == top(q) ? 1.0 : 0.0;
  }
  result.mean_kl /= static_cast<double>(logits.rows);
  result.agreement /= static_cast<double>(logits.rows);
  return result;
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0.0, squares_a = 0.0, squares_b = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    squares_a += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    squares_b += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return dot / std::sqrt(squares_a * squares_b);
}

}  // namespace

TEST_CASE("base precision: the distribution of the next token on bfloat16 and int8 against floats") {
  const Batch batch = glosses(8);
  const auto logits_on = [&](StoredType stored) {
    const MambaModel<presets::AnyMamba, presets::NothingTrains> model(stored_base(stored));
    return model.logits(batch);
  };
  const auto expected = logits_on(StoredType::Scalar);
  const auto check = [&](StoredType stored, double most, double agreement) {
    const auto found = logits_on(stored);
    const Distance d = distance(expected.matrix(), found.matrix());
    MESSAGE(stored_type_name(stored), ": mean KL ", d.mean_kl, " nats a token over ", batch.tokens(),
            " tokens, the same likeliest token for ", d.agreement);
    CHECK(d.mean_kl <= most);
    CHECK(d.mean_kl > 1e-9);  // something was rounded
    CHECK(d.agreement >= agreement);
  };
  check(StoredType::BFloat16, 1e-4, 0.99);
  check(StoredType::Int8, 1e-3, 0.98);
}

TEST_CASE("base precision: gradients on bfloat16 and int8 point where those on floats do") {
  using Model = MambaModel<presets::AnyMamba, presets::LoRALinear<4>>;
  const Batch batch = glosses(3);
  std::vector<float> values;
  const auto gradients_on = [&](StoredType stored) {
    Model model(stored_base(stored));
    if (values.empty()) {
      values = Normals(5).vector<float>(model.parameters().size());
      for (float& value : values) value *= 0.02F;
    }
    model.parameters().set_values(values);
    model.accumulate_gradients(batch, 1.0 / static_cast<double>(batch.loss_tokens()));
    const auto found = std::as_const(model).parameters().gradients();
    return std::vector<float>(found.begin(), found.end());
  };
  const std::vector<float> expected = gradients_on(StoredType::Scalar);
  const auto check = [&](StoredType stored, double least) {
    const double found = cosine(expected, gradients_on(stored));
    MESSAGE(stored_type_name(stored), ": cosine ", found);
    CHECK(found >= least);
    CHECK(found < 1.0 - 1e-9);
  };
  check(StoredType::BFloat16, 0.999);
  check(StoredType::Int8, 0.999);
}
