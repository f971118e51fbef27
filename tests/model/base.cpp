#include "support/tiny_models.hpp"

#include <sdlora/model/base.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>

using namespace sdlora;
using namespace sdlora_test;

TEST_CASE("base: visits every value of the checkpoint once, by Hugging Face's names") {
  Base<TinyAny, float> base(tiny_with_layers(3));
  std::map<std::string, std::vector<std::size_t>> shapes;
  std::size_t values = 0;
  base.visit([&](const std::string& name, MatrixView<float> view, const std::vector<std::size_t>& shape) {
    CHECK(shapes.emplace(name, shape).second);
    CHECK(view.contiguous());
    CHECK(view.rows * view.cols ==
          std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<std::size_t>()));
    for (std::size_t i = 0; i < view.rows * view.cols; ++i) {
      REQUIRE(view.data[i] == 0.0F);  // zeros, and no two names share memory
      view.data[i] = 1.0F;
    }
    values += view.rows * view.cols;
  });
  CHECK(values == total_parameters(tiny_with_layers(3)));
  CHECK(shapes.size() == 2 + 3 * 10);
  CHECK(shapes.at("backbone.embeddings.weight") == std::vector<std::size_t>{19, 10});
  CHECK(shapes.at("backbone.layers.2.mixer.conv1d.weight") == std::vector<std::size_t>{20, 1, 4});
  CHECK(shapes.at("backbone.layers.0.mixer.x_proj.weight") == std::vector<std::size_t>{35, 20});
  CHECK(shapes.at("backbone.layers.1.mixer.in_proj.weight") == std::vector<std::size_t>{40, 10});
  CHECK(shapes.at("backbone.norm_f.weight") == std::vector<std::size_t>{10});
}

TEST_CASE("base: A is −exp(A_log) after finish, and a copy is a base of its own") {
  auto base = rough_base<Tiny, double>(tiny_dimensions);
  for (std::size_t l = 0; l < 2; ++l) {
    for (std::size_t e = 0; e < 20; ++e) {
      for (std::size_t n = 0; n < 16; ++n)
        REQUIRE(base->A(l)(e, n) == doctest::Approx(-std::exp(base->layer(l).A_log(e, n))).epsilon(1e-6));
    }
  }
  Base<Tiny, double> copy(*base);
  CHECK(copy.A(1)(19, 15) == base->A(1)(19, 15));
  CHECK(copy.embedding()(18, 9) == base->embedding()(18, 9));
  copy.layer(0).A_log(0, 0) = 2.0;
  copy.finish();
  CHECK(copy.A(0)(0, 0) == doctest::Approx(-std::exp(2.0)));
  CHECK(base->A(0)(0, 0) != copy.A(0)(0, 0));
}

TEST_CASE("base: a move takes the values along") {
  Base<Tiny, double> base(*rough_base<Tiny, double>(tiny_dimensions));
  const double* values = base.embedding().data;
  const double A = base.A(1)(19, 15);
  const Base<Tiny, double> moved(std::move(base));
  CHECK(moved.embedding().data == values);
  CHECK(moved.A(1)(19, 15) == A);
}

TEST_CASE("base: a random one begins as Mamba's pre-training does") {
  const auto base = Base<Tiny, double>::random(tiny_dimensions, 7);
  const auto again = Base<Tiny, double>::random(tiny_dimensions, 7),
             other = Base<Tiny, double>::random(tiny_dimensions, 8);
  CHECK(base.layer(1).in_proj(3, 4) == again.layer(1).in_proj(3, 4));
  CHECK(base.layer(1).in_proj(3, 4) != other.layer(1).in_proj(3, 4));
  CHECK(base.layer(1).in_proj(3, 4) != base.layer(0).in_proj(3, 4));
  for (std::size_t l = 0; l < 2; ++l) {
    const auto w = base.layer(l);
    for (std::size_t e = 0; e < 20; ++e) {
      CHECK(w.D(0, e) == 1.0);
      const double dt = std::log1p(std::exp(w.dt_bias(0, e)));  // softplus
      CHECK(dt >= 0.999e-3);
      CHECK(dt <= 0.1001);
      for (std::size_t n = 0; n < 16; ++n)
        CHECK(base.A(l)(e, n) == doctest::Approx(-static_cast<double>(n + 1)));
      for (std::size_t r = 0; r < 3; ++r) CHECK(std::abs(w.dt_proj(e, r)) <= 1.0 / std::sqrt(3.0));
    }
    for (std::size_t j = 0; j < 10; ++j) CHECK(w.norm(0, j) == 1.0);
  }
}

TEST_CASE("base: sizes that contradict the configuration's type are named") {
  MambaDimensions m = tiny_dimensions;
  m.vocab_size = 20;
  CHECK_THROWS_WITH_AS((Base<Tiny, float>(m)),
                       doctest::Contains("vocab_size is 19 in the configuration's type but 20"),
                       ArgumentError);
  m = tiny_dimensions;
  m.n_layer = 3;
  CHECK_THROWS_WITH_AS((Base<Tiny, float>(m)), doctest::Contains("n_layer is 2"), ArgumentError);
  m = tiny_dimensions;
  m.dt_rank = 4;
  CHECK_THROWS_WITH_AS((Base<Tiny, float>(m)), doctest::Contains("dt_rank is 3"), ArgumentError);
  m = tiny_dimensions;
  m.d_state = 8;
  CHECK_THROWS_WITH_AS((Base<TinyAny, float>(m)), doctest::Contains("d_state is 16"), ArgumentError);
  m = tiny_dimensions;
  m.d_inner = 30;
  CHECK_THROWS_WITH_AS((Base<TinyAny, float>(m)), doctest::Contains("presets::AnyMamba"), ArgumentError);
}

TEST_CASE("base: norms of dt, B and C are the type's or left open, a head is the dimensions'") {
  MambaDimensions m = tiny_dimensions;
  m.mixer_norm_epsilon = 1e-6;
  CHECK_THROWS_WITH_AS((Base<Tiny, float>(m)), doctest::Contains("has no norms of dt, B and C"),
                       ArgumentError);
  CHECK_NOTHROW((Base<presets::AnyMamba, float>(m)));
  CHECK_NOTHROW((Base<TinyFalcon, float>(m)));  // of any ε
  CHECK_THROWS_WITH_AS((Base<TinyFalcon, float>(tiny_dimensions)), doctest::Contains("has norms of dt"),
                       ArgumentError);
  for (const double epsilon : {-1.0, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
    m.mixer_norm_epsilon = epsilon;
    CHECK_THROWS_WITH_AS((Base<presets::AnyMamba, float>(m)), doctest::Contains("mixer_norm_epsilon"),
                         ArgumentError);
  }

  m = tiny_dimensions;
  m.d_inner = 21;  // of any width where the type leaves expand open
  m.tied_head = false;
  const auto own = Base<presets::AnyMamba, float>::random(m, 5);
  CHECK(own.layer(1).out_proj.cols == 21);
  CHECK(own.head().rows == m.vocab_size);
  CHECK(own.head().cols == m.d_model);
  CHECK(own.head().data != own.embedding().data);
  CHECK(own.head()(18, 9) != 0.0F);
  CHECK(own.head()(18, 9) != own.embedding()(18, 9));
  const Base<presets::AnyMamba, float> copy(own);
  CHECK(copy.head()(18, 9) == own.head()(18, 9));
  CHECK(copy.head().data != own.head().data);
  const auto tied = Base<presets::AnyMamba, float>::random(tiny_dimensions, 5);
  CHECK(tied.head().data == tied.embedding().data);
  CHECK(tied.embedding()(18, 9) == own.embedding()(18, 9));  // a head changes no other value
}

TEST_CASE("base: sizes that no memory can hold") {
  const auto refused = [](const MambaDimensions& m) {
    CHECK_THROWS_AS((Base<TinyAny, float>(m)), ShapeError);
  };
  MambaDimensions m = tiny_dimensions;
  m.vocab_size = std::size_t{1} << 62;
  refused(m);
  m = tiny_dimensions;
  m.d_model = std::size_t{1} << 62;  // 2E·d is a multiple of 2^64
  m.d_inner = std::size_t{1} << 63;
  refused(m);
  m = tiny_dimensions;
  m.vocab_size = std::size_t{1} << 57;  // each fits, but not all together
  m.dt_rank = std::size_t{1} << 56;
  refused(m);
  m = tiny_with_layers(std::size_t{1} << 60);
  refused(m);
}
