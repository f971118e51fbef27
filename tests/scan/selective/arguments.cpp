#include <doctest/doctest.h>

#include <array>
#include <sdlora/scan/selective/arguments.hpp>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using namespace sdlora;

/// Arguments that fit together, for one case at a time to spoil.
struct Fitting {
  std::array<std::size_t, 3> offsets{0, 3, 5};
  std::vector<float> memory = std::vector<float>(64, 0.5F), results = std::vector<float>(96);
  SelectiveScanInputs<float> in;
  SelectiveScanGradientOutputs<float> out;
  MatrixView<const float> d_out;

  Fitting() {
    float* p = memory.data();
    in.sequences = {offsets};
    in.u = in.dt = in.z = {p, 5, 4};
    in.B = in.C = {p, 5, 2};
    in.A = {p, 4, 2};
    in.D = in.dt_bias = {p, 1, 4};
    in.initial_state = {p, 2, 8};
    d_out = in.u;
    float* r = results.data();
    out.u = {r, 5, 4};
    out.dt = {r + 20, 5, 4};
    out.z = {r + 40, 5, 4};
    out.B = {r + 60, 5, 2};
    out.C = {r + 70, 5, 2};
    out.A = {r + 80, 4, 2};
    out.D = out.dt_bias = {r + 80, 1, 4};
    out.initial_state = {r + 80, 2, 8, 0};
  }
  Fitting(const Fitting&) = delete;
  Fitting& operator=(const Fitting&) = delete;

  void check_inputs() const { detail::check_selective_scan_inputs<2>(in); }
  void check_gradients(const SelectiveScanGradients& wanted = SelectiveScanGradients::all()) const {
    detail::check_selective_scan_gradients(in, d_out, wanted, out);
  }
};

template <class Function>
std::string message(const Function& f) {
  try {
    f();
  } catch (const ShapeError& error) {
    return error.what();
  }
  return "nothing was refused";
}

bool mentions(const std::string& text, const char* word) { return text.find(word) != std::string::npos; }

}  // namespace

TEST_CASE("selective scan arguments: what fits is taken") {
  static_assert(std::is_trivially_copyable_v<SelectiveScanInputs<float>>);
  static_assert(!SelectiveScanGradients{}.u && SelectiveScanGradients::all().A == AGradient::All);
  Fitting fitting;
  CHECK_NOTHROW(fitting.check_inputs());
  CHECK_NOTHROW(fitting.check_gradients());
  fitting.in.z = {};
  fitting.in.D = {};
  CHECK_NOTHROW(fitting.check_inputs());
  CHECK_NOTHROW(fitting.check_gradients({.u = true, .A = AGradient::All}));
}

TEST_CASE("selective scan arguments: inputs that do not fit are named") {
  const auto refused = [](const auto& spoil) {
    Fitting fitting;
    spoil(fitting.in);
    return message([&] { fitting.check_inputs(); });
  };
  CHECK(mentions(refused([](auto& in) { in.u.rows = 4; }), "u is (4, 4) but must be (5, 4)"));
  CHECK(mentions(refused([](auto& in) { in.dt.cols = 3; }), "dt is (5, 3)"));
  CHECK(mentions(refused([](auto& in) { in.z.rows = 6; }), "z is (6, 4)"));
  CHECK(mentions(refused([](auto& in) { in.B.cols = 1; }), "B is (5, 1)"));
  CHECK(mentions(refused([](auto& in) { in.C.data = nullptr; }), "C has no data"));
  CHECK(mentions(refused([](auto& in) { in.u.stride = 2; }), "overlap"));
  CHECK(mentions(refused([](auto& in) { in.A.cols = 3; }), "compiled for 2"));
  CHECK(mentions(refused([](auto& in) { in.D.cols = 5; }), "D is (1, 5) but must be (1, 4)"));
  CHECK(mentions(refused([](auto& in) { in.dt_bias.rows = 2; }), "dt_bias is (2, 4) but must be (1, 4)"));
  CHECK(mentions(refused([](auto& in) { in.dt_bias.data = nullptr; }), "dt_bias has no data"));
  CHECK(mentions(refused([](auto& in) { in.initial_state.stride = 7; }), "distance of 7"));
  CHECK(mentions(refused([](auto& in) { in.initial_state.rows = 1; }),
                 "the initial state is (1, 8) but must be (2, 8), one row per sequence"));
  static constexpr std::array<std::size_t, 3> descending{0, 6, 5};
  CHECK(mentions(refused([](auto& in) { in.sequences = {descending}; }), "fall from 6 to 5 at sequence 1"));
  static constexpr std::array<std::size_t, 1> only_an_end{5};
  CHECK(mentions(refused([](auto& in) { in.sequences = {only_an_end}; }), "run from 5 to 5"));
  static constexpr std::array<std::size_t, 2> late{1, 5};
  CHECK(mentions(refused([](auto& in) { in.sequences = {late}; }), "run from 1 to 5"));
  CHECK(mentions(refused([](auto& in) { in.sequences = {}; }),
                 "no sequences are given; pass their offsets, {0, 5}"));
  static constexpr std::array<std::size_t, 1> none{0};
  CHECK(mentions(refused([](auto& in) { in.sequences = {none}; }), "u is (5, 4) but must be (0, 4)"));
  CHECK(mentions(refused([](auto& in) { in.z.data = nullptr; }), "z has no data"));
  CHECK(mentions(refused([](auto& in) { in.z.rows = 0; }), "z is (0, 4)"));
}

TEST_CASE("selective scan arguments: results that share memory are named") {
  const auto refuses = [](const char* expected, const auto& spoil, const SelectiveScanGradients& wanted) {
    Fitting fitting;
    spoil(fitting);
    CHECK_THROWS_WITH_AS(fitting.check_gradients(wanted), doctest::Contains(expected), ArgumentError);
  };
  refuses("the gradient of u shares memory with d_out", [](Fitting& f) { f.d_out = f.out.u; }, {.u = true});
  refuses("the gradient of C shares memory with the gradient of B", [](Fitting& f) { f.out.C = f.out.B; },
          {.B = true, .C = true});
  Fitting fitting;
  fitting.out.C = fitting.out.B;
  CHECK_NOTHROW(fitting.check_gradients({.C = true}));
  const detail::MatrixChecks checks = detail::matrix_checks(fitting.in);
  CHECK_THROWS_WITH_AS(checks.check_out(fitting.in, MatrixView<float>(fitting.memory.data() + 8, 5, 4)),
                       doctest::Contains("out shares memory with u"), ArgumentError);
  CHECK_NOTHROW(checks.check_out(fitting.in, fitting.out.u));
}

TEST_CASE("selective scan arguments: gradients asked for need their input and their place") {
  const auto refused = [](const auto& spoil, const SelectiveScanGradients& wanted) {
    Fitting fitting;
    spoil(fitting);
    return message([&] { fitting.check_gradients(wanted); });
  };
  CHECK(mentions(refused([](Fitting& f) { f.out.u = {}; }, {.u = true}), "gradient of u"));
  CHECK(mentions(refused([](Fitting& f) { f.in.z = {}; }, {.z = true}), "gradient of z"));
  CHECK(mentions(refused([](Fitting& f) { f.out.A = {}; }, {.A = AGradient::All}), "gradient of A"));
  CHECK(mentions(refused([](Fitting& f) { f.in.D = {}; }, {.D = true}), "gradient of D"));
  CHECK(mentions(refused([](Fitting& f) { f.out.dt_bias = {}; }, {.dt_bias = true}), "dt_bias"));
  CHECK(mentions(refused([](Fitting& f) { f.out.initial_state = {}; }, {.initial_state = true}),
                 "initial state"));
  CHECK(mentions(refused([](Fitting& f) { f.out.A.rows = 3; }, {.A = AGradient::All}),
                 "the gradient of A is (3, 2) but must be (4, 2)"));
  CHECK(mentions(refused([](Fitting& f) { f.out.D.cols = 3; }, {.D = true}),
                 "the gradient of D is (1, 3) but must be (1, 4)"));
  CHECK(mentions(refused([](Fitting& f) { f.out.initial_state.cols = 7; }, {.initial_state = true}),
                 "the gradient of the initial state is (2, 7) but must be (2, 8)"));
  static constexpr std::array<std::size_t, 2> twice{1, 1}, beyond{1, 4};
  const SelectiveScanGradients selected{.A = AGradient::SelectedChannels};
  CHECK(mentions(refused([](Fitting& f) { f.out.channels = twice; }, selected), "ascend"));
  CHECK(mentions(refused([](Fitting& f) { f.out.channels = beyond; }, selected), "below 4"));
}
