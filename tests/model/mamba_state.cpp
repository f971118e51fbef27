#include <sdlora/model/mamba_state.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

using namespace sdlora;

namespace {

constexpr MambaDimensions m{
    .d_model = 2, .n_layer = 3, .vocab_size = 5, .dt_rank = 1, .d_inner = 4, .d_state = 16, .d_conv = 4};
constexpr std::size_t window = 3 * 4, h = 4 * 16;

/// Sequence s of layer l holds 100·l + s in its window and 1000 more in its state.
MambaState<double> numbered(std::size_t sequences) {
  MambaState<double> state(m, sequences);
  for (std::size_t l = 0; l < 3; ++l) {
    const BlockState<double> layer = state.layer(l);
    for (std::size_t s = 0; s < sequences; ++s) {
      std::fill_n(layer.window.row(s), window, static_cast<double>(100 * l + s));
      std::fill_n(layer.h.row(s), h, static_cast<double>(1000 + 100 * l + s));
    }
  }
  return state;
}

void check_sequence(MambaState<double>& state, std::size_t s, std::size_t number) {
  for (std::size_t l = 0; l < 3; ++l) {
    const BlockState<double> layer = state.layer(l);
    for (std::size_t i = 0; i < window; ++i)
      REQUIRE(layer.window(s, i) == static_cast<double>(100 * l + number));
    for (std::size_t i = 0; i < h; ++i)
      REQUIRE(layer.h(s, i) == static_cast<double>(1000 + 100 * l + number));
  }
}

}  // namespace

TEST_CASE("mamba_state: begins at zero, a window and a state for each layer and sequence") {
  const MambaState<float> state(m, 5);
  CHECK(state.sequences() == 5);
  CHECK(state.values().size() == 3 * 5 * (window + h));
  for (const float v : state.values()) REQUIRE(v == 0.0F);
  CHECK(MambaState<float>(m, 0).values().empty());
}

TEST_CASE("mamba_state: one sequence repeated, several gathered") {
  const MambaState<double> from = numbered(4);
  MambaState<double> three(m, 3);
  three.repeat(from, 2);
  for (std::size_t s = 0; s < 3; ++s) check_sequence(three, s, 2);
  three.gather(from, std::vector<std::size_t>{3, 0, 3});
  check_sequence(three, 0, 3);
  check_sequence(three, 1, 0);
  check_sequence(three, 2, 3);
}

TEST_CASE("mamba_state: sequences that are not there") {
  const MambaState<double> from = numbered(2);
  MambaState<double> three(m, 3);
  CHECK_THROWS_WITH_AS(three.repeat(from, 2), doctest::Contains("a sequence below 2, found 2"),
                       ArgumentError);
  CHECK_THROWS_WITH_AS(three.gather(from, std::vector<std::size_t>{0, 1, 7}),
                       doctest::Contains("below 2, found 7"), ArgumentError);
  CHECK_THROWS_WITH_AS(three.gather(from, std::vector<std::size_t>{0, 1}),
                       doctest::Contains("for each of 3, found 2"), ShapeError);
  MambaDimensions other = m;
  for (std::size_t MambaDimensions::* size :
       {&MambaDimensions::n_layer, &MambaDimensions::d_inner, &MambaDimensions::d_state}) {
    other = m;
    other.*size += 1;
    const MambaState<double> larger(other, 2);
    CHECK(!larger.fits(m));
    CHECK_THROWS_WITH_AS(three.repeat(larger, 0), doctest::Contains("of the same sizes"), ShapeError);
  }
  CHECK(three.fits(m));
}

TEST_CASE("mamba_state: what a policy at the scan remembers lies behind the rest and goes with it") {
  MambaState<double> from(m, 3, 2), to(m, 2, 2);
  CHECK(from.host_values().size() == 3 * 3 * (window + h + 2));
  CHECK(from.fits(m, 2));
  CHECK(!from.fits(m));
  for (std::size_t l = 0; l < 3; ++l) {
    const MatrixView<double> extra = from.layer(l).of_policy;
    REQUIRE(extra.rows == 3);
    REQUIRE(extra.cols == 2);
    for (std::size_t s = 0; s < 3; ++s) {
      extra(s, 0) = static_cast<double>(10 * l + s);
      extra(s, 1) = -extra(s, 0);
    }
  }
  to.gather(from, std::vector<std::size_t>{2, 1});
  for (std::size_t l = 0; l < 3; ++l) {
    CHECK(to.layer(l).of_policy(0, 0) == static_cast<double>(10 * l + 2));
    CHECK(to.layer(l).of_policy(1, 1) == -static_cast<double>(10 * l + 1));
    CHECK(to.layer(l).h(1, h - 1) == 0.0);
  }
  const MambaState<double> copy = to;
  CHECK(copy.host_values() == to.host_values());
  MambaState<double> without(m, 2);
  CHECK(!without.layer(0).of_policy);
  CHECK_THROWS_WITH_AS(without.repeat(from, 0), doctest::Contains("of the same sizes"), ShapeError);
}

TEST_CASE("mamba_state: all values out and back, on every device") {
  const std::vector<double> values = numbered(4).host_values();
  CHECK(values.size() == 3 * 4 * (window + h));
  CHECK(values[window] == 1.0);                           // the window of sequence 1 in layer 0
  CHECK(values[4 * window] == 1000.0);                    // its states come behind all windows
  CHECK(values[4 * (window + h) + 3 * window] == 103.0);  // then layer 1
  MambaState<double> again(m, 4);
  again.set_values(values);
  for (std::size_t s = 0; s < 4; ++s) check_sequence(again, s, s);
  const auto refuse = [](auto&& state, const auto& from) {
    CHECK_THROWS_WITH_AS(state.set_values(from),
                         doctest::Contains("expected 684 values, those of 3 sequences, found 912"),
                         ShapeError);
  };
  refuse(MambaState<double>(m, 3), values);

  const std::vector<float> floats(values.begin(), values.end());
  MambaState<float, Emulated> there(m, 4);
  there.set_values(floats);
  CHECK(there.host_values() == floats);
  refuse(MambaState<float, Emulated>(m, 3), floats);
}
