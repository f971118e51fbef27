#include <sdlora/layers/s4d/initialize.hpp>
#include <sdlora/model/deep_s4_base.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <numbers>

using namespace sdlora;

namespace {

constexpr DeepS4Dimensions sizes{.d_model = 61, .n_layer = 2, .d_state = 7};

double real_of(const S4dWeights<const double>& w, std::size_t h, std::size_t n) {
  return -std::exp(w.log_A_real(h, n));
}
const DeepS4Base<double> of(S4dStart start) { return DeepS4Base<double>::random(sizes, start, 3); }

}  // namespace

TEST_CASE("s4d initialize: A of Lin, Inv and Real") {
  const auto lin = of(S4dStart::Lin), inv = of(S4dStart::Inv), real = of(S4dStart::Real);
  for (const std::size_t n : {0U, 1U, 6U}) {
    const auto k = static_cast<double>(n);
    CHECK(real_of(lin.layer(1), 60, n) == doctest::Approx(-0.5));
    CHECK(lin.layer(1).A_imag(60, n) == doctest::Approx(std::numbers::pi * k));
    CHECK(real_of(inv.layer(0), 2, n) == doctest::Approx(-0.5));
    CHECK(inv.layer(0).A_imag(2, n) ==
          doctest::Approx(14.0 / std::numbers::pi * (14.0 / (2.0 * k + 1.0) - 1.0)));
    CHECK(real_of(real.layer(0), 2, n) == doctest::Approx(-(k + 1.0)));
    CHECK(real.layer(0).A_imag(2, n) == 0.0);
  }
}

TEST_CASE("s4d initialize: random values lie where they are said to, and differ by layer and seed") {
  const auto base = of(S4dStart::Random);
  double squares = 0.0, log_dt = 0.0;
  for (std::size_t l = 0; l < 2; ++l) {
    const S4dWeights<const double> w = base.layer(l);
    bool hit[7] = {};
    for (std::size_t h = 0; h < 61; ++h) {
      for (std::size_t n = 0; n < 7; ++n) {
        CHECK(real_of(w, h, n) < 0.0);
        CHECK(real_of(w, h, n) >= -1.0);
        const double turn = w.A_imag(h, n) / std::numbers::pi;
        CHECK(turn == doctest::Approx(std::round(turn)));
        hit[static_cast<std::size_t>(std::lround(turn))] = true;
        squares += w.C(h, 2 * n) * w.C(h, 2 * n) + w.C(h, 2 * n + 1) * w.C(h, 2 * n + 1);
      }
      CHECK(w.log_dt(0, h) >= std::log(1e-3));
      CHECK(w.log_dt(0, h) < std::log(1e-1) + 1e-12);
      log_dt += w.log_dt(0, h);
    }
    for (const bool each : hit) CHECK(each);
    for (std::size_t i = 0; i < 61 * 61; ++i) CHECK(std::abs(w.out_proj.data[i]) <= 1.0 / std::sqrt(61.0));
  }
  CHECK(squares / (2 * 61 * 7) == doctest::Approx(1.0).epsilon(0.1));
  CHECK(log_dt / (2 * 61) == doctest::Approx(std::log(1e-2)).epsilon(0.1));
  CHECK(base.layer(0).C(0, 0) != base.layer(1).C(0, 0));
  CHECK(base.layer(0).C(0, 0) != DeepS4Base<double>::random(sizes, S4dStart::Random, 4).layer(0).C(0, 0));
  CHECK(base.values() == of(S4dStart::Random).values());
}
