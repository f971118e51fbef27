#include <doctest/doctest.h>

#include <sdlora/scan/selective/reference.hpp>
#include <sdlora/scan/selective/selective_scan.hpp>

#include <bit>
#include <cmath>
#include <limits>

#include "random_scan.hpp"

namespace {

using sdlora::dyn;
using sdlora::Workspace;

constexpr std::size_t chunk = sdlora::detail::scan_chunk;

template <class T>
constexpr double tolerance = sizeof(T) == 8 ? 2e-13 : 2e-6;

// out and final_state, one after another.
template <std::size_t N, class T>
std::vector<T> fused(const RandomScan<T>& p) {
  Workspace workspace;
  std::vector<T> result(p.rows() * p.E + p.sequences() * p.E * p.N, T(5));
  sdlora::selective_scan_forward<N>(p.inputs(), {result.data(), p.rows(), p.E},
                                    p.states(result.data() + p.rows() * p.E), nullptr, workspace);
  return result;
}

// The same from the reference, in double whatever the problem's type.
template <class T>
std::vector<T> reference(const RandomScan<T>& p) {
  const auto wide = [](const std::vector<T>& values) {
    return std::vector<double>(values.begin(), values.end());
  };
  RandomScan<double> q(p.lengths, p.E, p.N);
  q.gap = p.gap;
  q.u = wide(p.u), q.dt = wide(p.dt), q.B = wide(p.B), q.C = wide(p.C), q.z = wide(p.z), q.A = wide(p.A);
  q.D = wide(p.D), q.dt_bias = wide(p.dt_bias), q.initial_state = wide(p.initial_state);
  q.with_z = p.with_z, q.with_D = p.with_D, q.with_bias = p.with_bias, q.with_initial = p.with_initial;
  q.shared_initial = p.shared_initial;
  std::vector<double> result(q.rows() * q.E + q.sequences() * q.E * q.N);
  sdlora::selective_scan_reference_forward(q.inputs(), {result.data(), q.rows(), q.E},
                                           q.states(result.data() + q.rows() * q.E));
  return {result.begin(), result.end()};
}

template <class T, std::size_t... Ns>
void check_static_states() {
  (([] {
     CAPTURE(Ns);
     const RandomScan<T> p({chunk + 5}, 19, Ns);
     CHECK(difference(fused<Ns>(p), reference(p)) < tolerance<T>);
     CHECK(fused<Ns>(p) == fused<dyn>(p));
   }()),
   ...);
}

}  // namespace

#define EACH_TYPE float, double

TEST_CASE_TEMPLATE("selective_scan_forward: any number of states", T, EACH_TYPE) {
  check_static_states<T, 1, 2, 3, 4, 8, 16, 32, 64>();
  for (const std::size_t N : {5UL, 7UL, 12UL, 17UL, 31UL, 100UL}) {
    CAPTURE(N);
    const RandomScan<T> p({chunk + 5}, 19, N);
    CHECK(difference(fused<dyn>(p), reference(p)) < tolerance<T>);
  }
}

TEST_CASE_TEMPLATE("selective_scan_forward: any number of channels and rows", T, EACH_TYPE) {
  for (const std::size_t E : {1UL, 7UL, 16UL, 17UL, 33UL, 128UL, 131UL, 300UL}) {
    for (const std::size_t L : {1UL, 2UL, 13UL, chunk - 1, chunk, chunk + 1, 2 * chunk, 97UL}) {
      CAPTURE(E);
      CAPTURE(L);
      const RandomScan<T> p({L}, E, 16, E + L);
      CHECK(difference(fused<16>(p), reference(p)) < tolerance<T>);
    }
  }
}

TEST_CASE_TEMPLATE("selective_scan_forward: optional inputs", T, EACH_TYPE) {
  for (unsigned mask = 0; mask < 32; ++mask) {
    CAPTURE(mask);
    RandomScan<T> p({21, 40}, 35, 8, mask);
    p.with_z = mask & 1U;
    p.with_D = mask & 2U;
    p.with_bias = mask & 4U;
    p.with_initial = mask & 8U;
    p.shared_initial = mask & 16U;
    CHECK(difference(fused<8>(p), reference(p)) < tolerance<T>);
  }
}

TEST_CASE_TEMPLATE("selective_scan_forward: packed sequences of unequal length", T, EACH_TYPE) {
  const RandomScan<T> p({0, 5, 0, 1, 70, chunk, 3, 0}, 37, 16);
  CHECK(difference(fused<16>(p), reference(p)) < tolerance<T>);
  std::vector<std::size_t> many;
  for (std::size_t i = 0; i < 60; ++i) many.push_back(i * 7 % 11);
  const RandomScan<T> q(many, 20, 4);
  CHECK(difference(fused<4>(q), reference(q)) < tolerance<T>);
  const RandomScan<T> none({}, 20, 4);
  CHECK(fused<4>(none).empty());
  const RandomScan<T> no_rows({0, 0}, 20, 4);
  CHECK(fused<4>(no_rows) == reference(no_rows));
}

TEST_CASE_TEMPLATE("selective_scan_forward: a split with carried state equals the whole", T, EACH_TYPE) {
  const std::size_t L = 2 * chunk + 9, E = 23, N = 16;
  RandomScan<T> whole({L}, E, N);
  const auto expected = fused<16>(whole);
  for (const std::size_t cut : {0UL, 1UL, 7UL, chunk - 1, chunk, chunk + 1, L - 1, L}) {
    CAPTURE(cut);
    Workspace workspace;
    std::vector<T> got(expected.size()), middle(E * N);
    auto in = whole.inputs();
    const auto rows = [&](auto& inputs, std::size_t first, std::size_t count, std::size_t(&offsets)[2]) {
      offsets[0] = 0;
      offsets[1] = count;
      inputs.sequences = {offsets};
      for (auto* m : {&inputs.u, &inputs.dt, &inputs.B, &inputs.C, &inputs.z})
        *m = m->rows_from(first, count);
    };
    std::size_t offsets[2];
    rows(in, 0, cut, offsets);
    sdlora::selective_scan_forward<16>(in, {got.data(), cut, E}, whole.states(middle.data()), nullptr,
                                       workspace);
    in = whole.inputs();
    rows(in, cut, L - cut, offsets);
    in.initial_state = {middle.data(), 1, E * N};
    sdlora::selective_scan_forward<16>(in, {got.data() + cut * E, L - cut, E},
                                       whole.states(got.data() + L * E), nullptr, workspace);
    if (cut == 1 || cut == L - 1) {
      // One row alone is summed over its states in another order; the state it leaves is the same.
      CHECK(difference(got, expected) < tolerance<T>);
      CHECK(std::equal(got.begin() + static_cast<std::ptrdiff_t>(L * E), got.end(),
                       expected.begin() + static_cast<std::ptrdiff_t>(L * E)));
    } else {
      CHECK(got == expected);  // bit for bit: the state is carried exactly
    }
  }
}

TEST_CASE_TEMPLATE("selective_scan_forward: sequences of one row", T, EACH_TYPE) {
  for (const std::size_t E : {1UL, 3UL, 128UL, 389UL}) {
    for (const std::size_t N : {8UL, 16UL, 48UL, 5UL}) {
      CAPTURE(E);
      CAPTURE(N);
      RandomScan<T> p({1, 0, 1, 1}, E, N);
      for (int without = 0; without < 6; ++without) {
        CAPTURE(without);
        p.with_z = without != 1;
        p.with_D = without != 2;
        p.with_bias = without != 3;
        p.with_initial = without != 4;
        p.shared_initial = without == 5;
        CHECK(difference(fused<dyn>(p), reference(p)) < tolerance<T>);
      }
    }
  }
  // Only the output is wanted.
  const RandomScan<T> p({1, 1}, 20, 16);
  const auto expected = fused<16>(p);
  Workspace workspace;
  std::vector<T> out(2 * p.E);
  sdlora::selective_scan_forward<16>(p.inputs(), {out.data(), 2, p.E}, {}, nullptr, workspace);
  CHECK(std::equal(out.begin(), out.end(), expected.begin()));
  // Without a number in one channel the others keep theirs; what decays out of bounds goes as in longer ones.
  RandomScan<T> q({1}, 33, 16);
  const auto before = fused<16>(q);
  q.dt[7] = T(5000);
  for (const T nan : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    RandomScan<T> bad = q;
    bad.A[4 * (bad.N + bad.gap) + 3] = -nan;
    bad.u[11] = std::numeric_limits<T>::quiet_NaN();
    const auto got = fused<16>(bad);
    CHECK(std::isnan(got[11]));
    CHECK(std::isfinite(got[4]) == std::isinf(nan));
    for (std::size_t e = 0; e < q.E; ++e) {
      if (e != 4 && e != 7 && e != 11) CHECK(got[e] == before[e]);
    }
    CHECK(difference(fused<16>(q), reference(q)) < tolerance<T>);
  }
}

TEST_CASE_TEMPLATE("selective_scan_forward: the same bits for any number of threads", T, EACH_TYPE) {
  const RandomScan<T> p({130, 0, 77, 300}, 600, 16);
  const std::size_t before = sdlora::thread_count();
  sdlora::set_thread_count(1);
  const auto expected = fused<16>(p);
  for (const std::size_t threads : {2UL, 3UL}) {
    sdlora::set_thread_count(threads);
    CHECK(fused<16>(p) == expected);
  }
  sdlora::set_thread_count(before);
}

TEST_CASE_TEMPLATE("selective_scan_forward: extreme steps", T, EACH_TYPE) {
  RandomScan<T> p({50}, 33, 16);
  std::size_t i = 0;
  for (T& value : p.dt) {
    const T extremes[] = {T(-1e4), T(-100), T(-20), T(30), T(1000), T(0)};
    if (value < T(1e20)) value = extremes[i++ % 6];
  }
  CHECK(difference(fused<16>(p), reference(p)) < tolerance<T>);
}

TEST_CASE_TEMPLATE("selective_scan_forward: a step out of bounds changes no bit of its neighbours", T,
                   EACH_TYPE) {
  // Decays out of the range of normal numbers take another path, for all channels of a line.
  const RandomScan<T> p({50}, 33, 16);
  const auto expected = fused<16>(p);
  for (const std::size_t channel : {0UL, 7UL, 32UL}) {
    RandomScan<T> q = p;
    q.dt[5 * (q.E + q.gap) + channel] = T(5000);
    const auto got = fused<16>(q);
    std::size_t different = 0;
    for (std::size_t t = 0; t < p.rows(); ++t) {
      for (std::size_t e = 0; e < p.E; ++e) {
        different += e != channel && got[t * p.E + e] != expected[t * p.E + e];
      }
    }
    CHECK(different == 0);
    CHECK(got[5 * p.E + channel] != expected[5 * p.E + channel]);
  }
}

/// NaN: the plain one, one with low bits set, one of set bits only, as poisoned memory has it.
template <class T>
std::vector<T> not_numbers() {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const T quiet = std::numeric_limits<T>::quiet_NaN();
  return {quiet, std::bit_cast<T>(static_cast<Bits>(std::bit_cast<Bits>(quiet) | Bits(0x155))),
          std::bit_cast<T>(static_cast<Bits>(~Bits(0)))};
}

TEST_CASE_TEMPLATE("selective_scan_forward: what is no number stays so in its channel and changes no other",
                   T, EACH_TYPE) {
  for (const std::size_t channel : {0UL, 7UL, 32UL}) {
    RandomScan<T> p({50}, 33, 16);
    // In the end the first state's decay is out of the range of normal numbers: a bound of A that is no
    // number must not hide that.
    for (std::size_t n = 0; n < p.N; ++n) p.A[channel * (p.N + p.gap) + n] = n == 0 ? T(-3) : T(-0.05);
    p.dt[49 * (p.E + p.gap) + channel] = T(300);
    const auto expected = fused<16>(p);
    const auto check = [&](const RandomScan<T>& q, std::size_t from, std::size_t first_state,
                           std::size_t end_state) {
      const auto got = fused<16>(q);
      std::size_t wrong = 0;
      for (std::size_t t = 0; t < p.rows(); ++t) {
        for (std::size_t e = 0; e < p.E; ++e) {
          const T value = got[t * p.E + e];
          wrong += e == channel && t >= from ? !std::isnan(value) : value != expected[t * p.E + e];
        }
      }
      const std::size_t states = p.rows() * p.E;
      for (std::size_t i = 0; i < p.E * p.N; ++i) {
        const bool hit = i / p.N == channel && i % p.N >= first_state && i % p.N < end_state;
        wrong += hit ? !std::isnan(got[states + i]) : got[states + i] != expected[states + i];
      }
      CHECK(wrong == 0);
    };
    for (const T nan : not_numbers<T>()) {
      for (const std::size_t state : {0UL, 7UL, 15UL}) {
        RandomScan<T> q = p;
        q.A[channel * (q.N + q.gap) + state] = nan;
        check(q, 0, state, state + 1);
      }
      RandomScan<T> q = p;
      q.dt[5 * (q.E + q.gap) + channel] = nan;
      check(q, 5, 0, p.N);
    }
  }
}

TEST_CASE("selective_scan_forward: inputs may share memory") {
  RandomScan<float> p({50}, 16, 16);
  p.dt = p.z = p.u;
  p.C = p.B;
  auto in = p.inputs();
  const auto run = [&] {
    Workspace workspace;
    std::vector<float> out(p.rows() * p.E);
    sdlora::selective_scan_forward<16>(in, {out.data(), p.rows(), p.E}, {}, nullptr, workspace);
    return out;
  };
  const auto apart = run();
  in.dt = in.z = in.u;
  in.C = in.B;
  CHECK(run() == apart);
}

TEST_CASE("selective_scan_forward: allocates nothing once the workspace has grown") {
  const RandomScan<float> p({100}, 64, 16);
  Workspace workspace;
  std::vector<float> out(p.rows() * p.E);
  sdlora::selective_scan_forward<16>(p.inputs(), {out.data(), p.rows(), p.E}, {}, nullptr, workspace);
  CHECK(workspace.bytes_in_use() == 0);
  const std::size_t peak = workspace.peak_bytes();
  workspace.reset();
  sdlora::selective_scan_forward<16>(p.inputs(), {out.data(), p.rows(), p.E}, {}, nullptr, workspace);
  CHECK(workspace.peak_bytes() == peak);
}

TEST_CASE("selective_scan_forward: bad shapes throw") {
  const RandomScan<double> p({4}, 3, 2);
  Workspace workspace;
  std::vector<double> out(12);
  const sdlora::MatrixView<double> result{out.data(), 4, 3};
  const auto run = [&](auto change) {
    auto in = p.inputs();
    change(in);
    sdlora::selective_scan_forward<dyn>(in, result, {}, nullptr, workspace);
  };
  CHECK_NOTHROW(run([](auto&) {}));
  CHECK_THROWS_AS(run([](auto& in) { in.u.rows = 3; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.dt.cols = 2; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.z.cols = 4; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.B.cols = 3; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.C.rows = 5; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.A.rows = 4; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.A.cols = 3; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.u.stride = 2; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.u.data = nullptr; }), sdlora::ShapeError);
  CHECK_THROWS_AS(run([](auto& in) { in.initial_state.cols = 5; }), sdlora::ShapeError);
  const std::size_t descending[] = {0, 5, 4};
  CHECK_THROWS_AS(run([&](auto& in) { in.sequences = {descending}; }), sdlora::ShapeError);
  CHECK_THROWS_AS(sdlora::selective_scan_forward<4>(p.inputs(), result, {}, nullptr, workspace),
                  sdlora::ShapeError);
  CHECK_THROWS_AS(sdlora::selective_scan_forward<2>(p.inputs(), {out.data(), 3, 4}, {}, nullptr, workspace),
                  sdlora::ShapeError);
}

TEST_CASE("selective scan: the channels of one sequence make this many tasks") {
  struct Expected {
    std::size_t channels, tasks;
  };
  for (const auto& [channels, tasks] : {Expected{16, 1},
                                        {64, 2},
                                        {256, 4},
                                        {512, 8},
                                        {768, 8},
                                        {1024, 8},
                                        {1264, 10},
                                        {1280, 16},
                                        {1536, 16},
                                        {2048, 16},
                                        {4096, 32}}) {
    CAPTURE(channels);
    const RandomScan<float> p({1}, channels, 1);
    Workspace workspace;
    const auto plan = sdlora::detail::ScanPlan::make(p.inputs(), workspace);
    CHECK(plan.tasks() == tasks);
    CHECK(plan.last_line(plan.groups - 1) == plan.lines);
  }
}
