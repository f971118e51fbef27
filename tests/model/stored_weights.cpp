// Bases whose matrices are stored as bfloat16 or int8: what they hold, that models on them are those on a
// float base of the same values (every method: support/method_cases.hpp), training, adapters, sizes.
#include "support/model_device_cases.hpp"

#include <sdlora/io/adapter.hpp>
#include <sdlora/model/fingerprint.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/support.hpp"

using namespace sdlora;
using namespace sdlora_test;

namespace {

template <class C>
std::shared_ptr<const Base<C>> stored_base(const MambaDimensions& m, StoredType stored) {
  return std::make_shared<const Base<C>>(rough_base<C, float>(m)->stored_as(stored));
}
template <class C>
std::shared_ptr<const Base<C>> as_bfloat16(const MambaDimensions& m) {
  return stored_base<C>(m, StoredType::BFloat16);
}
template <class C>
std::shared_ptr<const Base<C>> widened(const std::shared_ptr<const Base<C>>& base) {
  return std::make_shared<const Base<C>>(base->stored_as(StoredType::Scalar));
}

std::span<const float> values_of(const Tensor<float, Extents<dyn, dyn>>& tensor) {
  return {tensor.data(), tensor.size()};
}

/// The whole of a placement on a stored base against a float base of the same values.
template <class P, class C>
void check_placement_on(StoredType stored, const AdapterOptions& options) {
  CAPTURE(stored_type_name(stored));
  const bool rounds = stored == StoredType::BFloat16;  // activations, too
  const auto base = stored_base<C>(dimensions(C::config), stored);
  auto expected = make_model<P, C, float>(widened(base), options);
  auto model = make_model<P, C, float>(base, options);
  stir(expected);
  model.parameters().set_values(expected.parameters().values());
  const Batch batch = some_batch({5, 1, 13});
  const auto logits = model.logits(batch), float_logits = expected.logits(batch);
  const double rounding = relative_norm(values_of(logits), values_of(float_logits));
  CHECK(rounding < (rounds ? 3e-2 : 1e-5));
  CHECK((rounding > 1e-5) == rounds);
  CHECK(model.loss(batch).sum == doctest::Approx(expected.loss(batch).sum).epsilon(rounds ? 2e-2 : 1e-6));
  if constexpr (P::learns) {
    const Pass pass{.training = true, .step = 3};
    model.accumulate_gradients(batch, 0.25, pass);
    expected.accumulate_gradients(batch, 0.25, pass);
    CHECK(relative_norm(std::as_const(model).parameters().gradients(),
                        std::as_const(expected).parameters().gradients()) < (rounds ? 1e-1 : 1e-4));
  }
  if constexpr (P::mergeable) {
    const auto merged = model.merged();
    CHECK(merged->weights() == StoredType::Scalar);
    const MambaModel<C, presets::NothingTrains> plain(merged);
    const auto after = plain.logits(batch);
    CHECK(relative_norm(values_of(after), values_of(float_logits)) < 1e-5);
  }
}

template <class P, class C = Tiny>
void check_placement(const std::string& name, const AdapterOptions& options = some_options()) {
  CAPTURE(name);
  for (const StoredType stored : {StoredType::BFloat16, StoredType::Int8}) {
    check_placement_on<P, C>(stored, options);
  }
}

}  // namespace

TEST_CASE("stored weights: the matrices are rounded once, everything else stays as it was") {
  const auto base = rough_base<TinyFalcon, float>(dimensions(TinyFalcon::config));
  const Base<TinyFalcon> stored = base->stored_as(StoredType::BFloat16);
  CHECK(stored.weights() == StoredType::BFloat16);
  CHECK(base->weights() == StoredType::Scalar);
  std::vector<std::string> rounded;
  std::vector<std::vector<float>> expected;
  std::as_const(*base).visit([&](const std::string&, MatrixView<const float> values, const auto&) {
    expected.emplace_back(values.data, values.data + values.rows * values.cols);
  });
  auto next = expected.begin();
  stored.visit([&]<class T>(const std::string& name, MatrixView<const T> values, const auto&) {
    CAPTURE(name);
    if constexpr (std::is_same_v<T, BFloat16>) rounded.push_back(name);
    REQUIRE(next->size() == values.rows * values.cols);
    for (std::size_t i = 0; i < next->size(); ++i) {
      const float value = (*next)[i];
      REQUIRE(static_cast<float>(values.data[i]) ==
              (std::is_same_v<T, BFloat16> ? static_cast<float>(BFloat16(value)) : value));
    }
    ++next;
  });
  CHECK(next == expected.end());
  std::vector<std::string> names{"backbone.embeddings.weight"};
  for (const char* layer : {"0", "1"}) {
    for (const char* matrix : {"in_proj", "x_proj", "dt_proj", "out_proj"}) {
      names.push_back(std::string("backbone.layers.") + layer + ".mixer." + matrix + ".weight");
    }
  }
  names.emplace_back("lm_head.weight");
  CHECK(rounded == names);
  CHECK(stored.A(1)(19, 15) == std::as_const(*base).A(1)(19, 15));
}

TEST_CASE("stored weights: int8 holds each row within half of its scale, and nothing else is narrowed") {
  const MambaDimensions m = dimensions(TinyFalcon::config);
  const auto base = rough_base<TinyFalcon, float>(m);
  const Base<TinyFalcon> stored = base->stored_as(StoredType::Int8);
  CHECK(stored.weights() == StoredType::Int8);
  std::vector<std::vector<float>> expected;
  std::as_const(*base).visit([&](const std::string&, MatrixView<const float> values, const auto&) {
    expected.emplace_back(values.data, values.data + values.rows * values.cols);
  });
  std::size_t next = 0, narrow = 0;
  stored.visit(Overloaded{
      [&](const std::string& name, MatrixView<const float> values, const auto&) {
        CAPTURE(name);
        CHECK(expected[next++] == std::vector<float>(values.data, values.data + values.rows * values.cols));
      },
      [&](const std::string& name, MatrixView<const std::int8_t> values, MatrixView<const float> scales,
          const std::vector<std::size_t>& shape) {
        CAPTURE(name);
        REQUIRE(scales.cols == values.rows);
        CHECK(shape == std::vector<std::size_t>{values.rows, values.cols});
        for (std::size_t i = 0; i < values.rows; ++i) {
          int largest = 0;
          for (std::size_t j = 0; j < values.cols; ++j) {
            const float value = static_cast<float>(values(i, j)) * scales(0, i);
            REQUIRE(std::abs(value - expected[next][i * values.cols + j]) <= 0.5001F * scales(0, i));
            largest = std::max(largest, std::abs(int{values(i, j)}));
          }
          REQUIRE(largest == 127);
        }
        ++next;
        ++narrow;
      }});
  CHECK(next == expected.size());
  CHECK(narrow == 2 + 4 * m.n_layer);
  CHECK(stored.A(1)(19, 15) == std::as_const(*base).A(1)(19, 15));
}

TEST_CASE("stored weights: copies, devices and the way back keep the values") {
  for (const StoredType type : {StoredType::BFloat16, StoredType::Int8}) {
    CAPTURE(stored_type_name(type));
    const auto base = stored_base<Tiny>(tiny_dimensions, type);
    const std::uint64_t expected = fingerprint(*base);
    const Base<Tiny> copy(*base);
    CHECK(copy.weights() == type);
    CHECK(copy.embedding().data != base->embedding().data);
    CHECK(fingerprint(copy) == expected);
    const Base<Tiny, float, Emulated> there(*base);
    CHECK(there.weights() == type);
    CHECK(fingerprint(there) == expected);
    CHECK(there.on_host().weights() == type);
    CHECK(there.stored_as(StoredType::Scalar).weights() == StoredType::Scalar);
    const auto back = widened(base);
    CHECK(fingerprint(*back) == expected);  // of the values, which are the same
    if (type == StoredType::BFloat16) CHECK(fingerprint(back->stored_as(type)) == expected);
    CHECK(fingerprint(*rough_base<Tiny, float>(tiny_dimensions)) != expected);  // before they were rounded
  }
}

TEST_CASE("stored weights: half the memory where matrices are most of a model") {
  MambaDimensions m = tiny_dimensions;
  m.d_model = 64;
  m.d_inner = 128;
  m.vocab_size = 1009;
  const Base<presets::AnyMamba> base(m), stored(m, StoredType::BFloat16), narrow(m, StoredType::Int8);
  const std::size_t matrices = m.vocab_size * 64 + m.n_layer * (256 * 64 + 35 * 128 + 128 * 3 + 64 * 128);
  CHECK(base.bytes() >= matrices * 4);
  CHECK(stored.bytes() <= base.bytes() - matrices * 2 + 4096);
  CHECK(static_cast<double>(stored.bytes()) < 0.6 * static_cast<double>(base.bytes()));
  CHECK(narrow.bytes() <= base.bytes() - matrices * 3 + (m.vocab_size + 4 * 1000) * 4 + 4096);
  CHECK(static_cast<double>(narrow.bytes()) < 0.4 * static_cast<double>(base.bytes()));
}

TEST_CASE("stored weights: what only a base of floats can do says so") {
  Base<Tiny> stored(tiny_dimensions, StoredType::BFloat16);
  CHECK_THROWS_WITH_AS(stored.embedding(), doctest::Contains("stored_as"), ArgumentError);
  CHECK_THROWS_WITH_AS(stored.head(), doctest::Contains("bfloat16"), ArgumentError);
  CHECK_THROWS_WITH_AS(stored.layer(1), doctest::Contains("bfloat16"), ArgumentError);
  CHECK_THROWS_WITH_AS(stored.model(), doctest::Contains("bfloat16"), ArgumentError);
  CHECK(stored.norm_f().cols == 10);
  CHECK_THROWS_WITH_AS(stored.visit([](const std::string&, MatrixView<float>, const auto&) {}),
                       doctest::Contains("embeddings.weight is stored as bfloat16"), ArgumentError);
  Base<Tiny> narrow(tiny_dimensions, StoredType::Int8);
  CHECK_THROWS_WITH_AS(narrow.layer(1), doctest::Contains("int8"), ArgumentError);
  CHECK_THROWS_WITH_AS(narrow.visit([](const std::string&, const auto&, const auto&) {}),
                       doctest::Contains("embeddings.weight is stored as int8"), ArgumentError);
  auto damaged = rough_base<Tiny, float>(tiny_dimensions);
  damaged->embedding()(3, 4) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(damaged->stored_as(StoredType::Int8), doctest::Contains("finite"), ArgumentError);
  for (const StoredType type : {StoredType::BFloat16, StoredType::Int8}) {
    CHECK_THROWS_WITH_AS((Base<Tiny, double>(tiny_dimensions, type)), doctest::Contains("Base of float"),
                         ArgumentError);
  }
  const MambaModel<Tiny, presets::LoRALinear<2>> model(as_bfloat16<Tiny>(tiny_dimensions));
  CHECK_THROWS_WITH_AS(model.add_change(stored, 1.0F), doctest::Contains("bfloat16"), ArgumentError);
}

TEST_CASE("stored weights: values can be changed as they are stored") {
  Base<Tiny> stored(tiny_dimensions, StoredType::BFloat16);
  stored.visit([]<class T>(const std::string&, MatrixView<T> values, const auto&) {
    for (std::size_t i = 0; i < values.rows * values.cols; ++i) values.data[i] = T(0.25F);
  });
  stored.finish();
  CHECK(std::as_const(stored).embedding()(18, 9) == 0.25F);
  CHECK(std::as_const(stored).layer(1).x_proj(34, 19) == 0.25F);
}

TEST_CASE("stored weights: presets are what they are on a float base of the same values") {
  using namespace presets;
  check_placement<NothingTrains>("NothingTrains");
  check_placement<NothingTrains, TinyFalcon>("NothingTrains, own head");
  check_placement<SDLoRALinear<2, 3, 2>>("SDLoRALinear");
  check_placement<BitFit>("BitFit");
}
TEST_CASE("stored weights: every kind of policy at once") { check_placement<Everything>("Everything"); }
TEST_CASE("stored weights: what learns as a whole begins at the rounded values") {
  for (const StoredType type : {StoredType::BFloat16, StoredType::Int8}) {
    const auto base = stored_base<Tiny>(tiny_dimensions, type);
    const MambaModel<Tiny, presets::FullFineTune> model(base);
    const MambaModel<Tiny, presets::FullFineTune> expected(widened(base));
    const auto values = model.parameters().values(), same = expected.parameters().values();
    CHECK(std::vector<float>(values.begin(), values.end()) == std::vector<float>(same.begin(), same.end()));
    const Batch batch = some_batch({7});
    CHECK(model.loss(batch).sum == expected.loss(batch).sum);  // nothing of the base's matrices is left
    CHECK(values.size() == total_parameters(tiny_dimensions));
  }
}

TEST_CASE("stored weights: steps and chunks are the whole pass within rounding") {
  for (const StoredType type : {StoredType::BFloat16, StoredType::Int8}) {
    const auto base = stored_base<Tiny>(tiny_dimensions, type);
    const MambaModel<Tiny, presets::NothingTrains> model(base);
    const Batch batch = some_batch({9});
    const auto whole = model.logits(batch);
    auto state = model.initial_state(1);
    Tensor<float, Extents<dyn, dyn>> logits(Extents<dyn, dyn>(9, 19));
    for (std::size_t t = 0; t < 9; ++t) {
      model.step(batch.ids().subspan(t, 1), state, logits.matrix().rows_from(t, 1));
    }
    CHECK(relative_norm(values_of(logits), values_of(whole)) < (type == StoredType::BFloat16 ? 1e-2 : 1e-3));
  }
}

TEST_CASE("stored weights: twenty steps of training follow those on floats") {
  using P = presets::SDLoRA<2, 3, 2>;
  for (const StoredType type : {StoredType::BFloat16, StoredType::Int8}) {
    const auto base = stored_base<Tiny>(tiny_dimensions, type);
    auto model = make_model<P, Tiny, float>(base);
    auto expected = make_model<P, Tiny, float>(widened(base));
    const std::vector<Example> data = some_examples({4, 7, 1, 5, 3, 9, 2, 6}, 19, 11);
    const TrainerOptions options{.steps = 20, .learning_rate = 1e-2, .batch_size = 4, .progress = false};
    const auto found = Trainer(model, options).fit(data);
    const auto floats = Trainer(expected, options).fit(data);
    REQUIRE(found.losses.size() == 20);
    for (std::size_t i = 0; i < 20; ++i) {
      CHECK(found.losses[i] == doctest::Approx(floats.losses[i]).epsilon(2e-2));
    }
    CHECK(evaluate_loss(model, data).mean() < 0.95 * found.losses.front());
  }
}

TEST_CASE("stored weights: an adapter belongs to the values, in whichever precision they are stored") {
  using Model = MambaModel<Tiny, presets::LoRALinear<2>>;
  const test::Folder folder;
  const auto base = as_bfloat16<Tiny>(tiny_dimensions);
  Model model(base);
  stir(model);
  save_adapter(model, folder / "adapter");
  const Batch batch = some_batch({6, 11});
  CHECK(load_adapter<Model>(base, folder / "adapter").loss(batch).sum == model.loss(batch).sum);
  CHECK(load_adapter<Model>(widened(base), folder / "adapter").loss(batch).sum ==
        doctest::Approx(model.loss(batch).sum).epsilon(1e-2));
  const std::shared_ptr<const Base<Tiny>> other = rough_base<Tiny, float>(tiny_dimensions);
  test::check_error<FileError>([&] { load_adapter<Model>(other, folder / "adapter"); }, {"base_fingerprint"});
}

TEST_CASE("stored weights: the emulated device under every kind of policy") {
  using P = Everything;
  for (const StoredType type : {StoredType::BFloat16, StoredType::Int8}) {
    const auto base = stored_base<Tiny>(tiny_dimensions, type);
    const auto far = std::make_shared<const Base<Tiny, float, Emulated>>(*base);
    const AdapterOptions options = some_options();
    const Selection selection = selection_for(tiny_dimensions, options);
    MambaModel<Tiny, P, Run<Cpu>> here(base, selection, options);
    MambaModel<Tiny, P, Run<Emulated>> there(far, selection, options);
    stir(here);
    there.parameters().set_values(here.parameters().values());
    const Batch batch = some_batch({5, 8});
    const double loss = here.accumulate_gradients(batch, 0.5).sum;
    CHECK(there.accumulate_gradients(batch, 0.5).sum == doctest::Approx(loss).epsilon(1e-3));
    CHECK(relative_norm(there.parameters().host_gradients(), here.parameters().host_gradients()) < 5e-3);
  }
}
