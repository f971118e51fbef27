#include <sdlora/adapters/place.hpp>
#include <sdlora/adapters/vera.hpp>
#include <sdlora/io/adapter.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace sdlora;

namespace {

SitePlace<double> place_of(const std::vector<double>& base, std::size_t rows, const AdapterOptions& options) {
  return {.name = "a",
          .site = {"out_proj", SiteKind::Linear, {rows, base.size() / rows}},
          .base = MatrixView<const double>(base.data(), rows, base.size() / rows),
          .options = &options};
}

struct Small {
  static constexpr MambaConfig config{.d_model = 8, .n_layer = 2, .vocab_size = 16};
};
using Model = MambaModel<Small, Place<On<site::InProjZ, VeRA<>>, On<site::OutProj, VeRA<>>>>;

std::shared_ptr<const Base<Small>> small_base() {
  return std::make_shared<const Base<Small>>(Base<Small>::random(dimensions(Small::config), 1));
}

std::vector<float> merged_weights(const Model& model) {
  std::vector<float> all;
  model.merged()->visit([&](const std::string&, MatrixView<const float> values, const auto&) {
    all.insert(all.end(), values.data, values.data + values.rows * values.cols);
  });
  return all;
}

}  // namespace

TEST_CASE("vera: y += b ∘ B·(d ∘ A·x), d at first 0.1 and b zero") {
  const std::vector<double> base(6, 1.0), x{1, -2};
  const AdapterOptions options{VeRAOptions{.rank = 4}, Seed{3}};
  ParameterStore<double> store(VeRA<>::count({"out_proj", SiteKind::Linear, {3, 2}}, {.rank = 4}));
  const VeRA<>::Linear<double> state(store, place_of(base, 3, options));
  REQUIRE(store.size() == 4 + 3);
  CHECK(store.entries()[0].name == "a.vera_d");
  CHECK(!store.entries()[0].decay);
  CHECK(store.entries()[1].name == "a.vera_b");
  CHECK(store.entries()[1].decay);
  CHECK(store.host_values() == std::vector<double>{0.1, 0.1, 0.1, 0.1, 0, 0, 0});

  const std::vector<double> values{1, 2, 3, 4, 5, 6, 7};
  store.set_values(values);
  Workspace workspace;
  std::vector<double> y{10, 20, 30}, change(6, 0.0);
  state.forward(MatrixView<const double>(x.data(), 1, 2), MatrixView<double>(y.data(), 1, 3), {}, workspace);
  state.add_change(MatrixView<double>(change.data(), 3, 2), -1.0);
  for (std::size_t i = 0; i < 3; ++i) {
    double sum = 0.0;
    for (std::size_t k = 0; k < 4; ++k) {
      sum += state.b()(i, k) * values[k] * (state.a()(k, 0) * x[0] + state.a()(k, 1) * x[1]);
    }
    const double added = values[4 + i] * sum;
    CHECK(y[i] == doctest::Approx(10.0 * static_cast<double>(i + 1) + added));
    CHECK(change[2 * i] * x[0] + change[2 * i + 1] * x[1] == doctest::Approx(-added));
  }
}

TEST_CASE("vera: A and B are uniform, follow from their seed alone, and are the same bits for ever") {
  const std::vector<double> base(60 * 50, 0.0);
  const auto made = [&](const AdapterOptions& options) {
    ParameterStore<double> store(300);
    const VeRA<>::Linear<double> state(store, place_of(base, 60, options));
    const auto values = [](MatrixView<const double> m) {
      return std::vector(m.data, m.data + m.rows * m.cols);
    };
    return std::pair{values(state.a()), values(state.b())};
  };
  const auto [a, b] = made(VeRAOptions{.rank = 50});
  CHECK(made({VeRAOptions{.rank = 50}, Seed{9}}) == std::pair{a, b});
  const auto [other_a, other_b] = made(VeRAOptions{.rank = 50, .projection_seed = 1});
  CHECK(other_a[0] != a[0]);
  CHECK(other_b[0] != b[0]);
  CHECK(a[0] != b[0]);
  const auto check = [](const std::vector<double>& values) {
    double largest = 0.0, sum = 0.0, squares = 0.0;
    for (const double value : values) {
      largest = std::max(largest, std::abs(value));
      sum += value;
      squares += value * value;
    }
    const auto count = static_cast<double>(values.size());
    CHECK(largest <= std::sqrt(6.0 / 50.0));
    CHECK(std::abs(sum / count) < 0.02);
    CHECK(squares / count == doctest::Approx(2.0 / 50.0).epsilon(0.05));  // Kaiming's
  };
  check(a);
  check(b);
  // Adapter files do not hold them, so that these numbers may never change.
  CHECK(a[0] == -0.12795928827725997);
  CHECK(b[0] == 0.22923699629267472);
}

TEST_CASE("vera: the sites of a model share what is of one shape, and no two models share anything") {
  const std::vector<double> wide(3 * 5, 0.0), tall(4 * 5, 0.0);
  const AdapterOptions options{VeRAOptions{.rank = 2}};
  const AdapterOptions other_seed{VeRAOptions{.rank = 2, .projection_seed = 7}};
  using State = VeRA<>::Linear<double>;
  ParameterStore<double> store(100);
  const State first(store, place_of(wide, 3, options)), second(store, place_of(wide, 3, options));
  CHECK(second.a().data == first.a().data);
  CHECK(second.b().data == first.b().data);
  const State third(store, place_of(tall, 4, options));
  CHECK(third.a().data == first.a().data);
  CHECK(third.b().data != first.b().data);
  const State seeded(store, place_of(wide, 3, other_seed));
  CHECK(seeded.a().data != first.a().data);
  const VeRA<3>::Linear<double> ranked(store, place_of(wide, 3, options));
  CHECK(ranked.a().rows == 3);

  ParameterStore<double> of_other(100);
  const State other(of_other, place_of(wide, 3, options));
  CHECK(other.a().data != first.a().data);
  ParameterStore<double> moved(std::move(store));
  const State late(moved, place_of(wide, 3, options));
  CHECK(late.a().data == first.a().data);
  SitePlace<double> outside = place_of(wide, 3, options);
  outside.active = false;
  CHECK(!State(moved, outside).active());
}

TEST_CASE("vera: a rank that would make the random matrices too large is refused before they are made") {
  const auto base = small_base();
  static_assert(VeRAOptions::most_rank == 16384);
  for (const std::size_t rank : {0U, 16385U, 1U << 24}) {
    CHECK_THROWS_WITH_AS(
        (Model{base, {VeRAOptions{.rank = rank}}}),
        doctest::Contains(("expected a rank from 1 to 16384, found " + std::to_string(rank)).c_str()),
        ArgumentError);
  }
}

TEST_CASE("vera: a loaded adapter draws the A and B that it was trained with") {
  const auto base = small_base();
  const std::filesystem::path folder = SDLORA_BUILD_DIR "/vera-adapter";
  for (const std::size_t rank : {3U, 8U, 256U}) {  // 8 is LoRA's usual rank, 256 VeRA's own
    CAPTURE(rank);
    Model model{base, {VeRAOptions{.rank = rank, .projection_seed = 5}}};
    std::vector<float> values(model.parameters().size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.01F * static_cast<float>(i % 7);
    model.parameters().set_values(values);
    save_adapter(model, folder);
    const Model loaded = load_adapter<Model>(base, folder);
    CHECK(merged_weights(loaded) == merged_weights(model));
  }
  std::filesystem::remove_all(folder);
}
