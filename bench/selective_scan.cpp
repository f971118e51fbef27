// The fused selective scan beside a bare loop: the recurrence alone, on the same SIMD type, compiled
// with the same flags into the same program. Measurements of all candidates alternate and the minimum
// of each counts, so that other load on the machine disturbs them alike.
//
//   bench_selective_scan [rounds [channels…]]
//
// With numbers of channels, only these are measured, at 16 states on one thread.

#include <sdlora/scan/selective_scan.hpp>
#include <sdlora/scan/selective_scan_segments.hpp>
#include <sdlora/tensor/parallel.hpp>
#include <sdlora/tensor/simd.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "support/bare_scan.hpp"

namespace {

using sdlora::AGradient;
using sdlora::dyn;
using sdlora::SelectiveScanGradients;
using sdlora::Simd;
using Floats = std::span<float>;

constexpr std::size_t width = sdlora::simd_width<float>;
constexpr SelectiveScanGradients everything = SelectiveScanGradients::all();

// One problem of B = 1 and everything that its passes read and write.
struct Problem {
  std::size_t L, E, N;
  std::vector<std::size_t> offsets;
  sdlora::Workspace memory, workspace;
  Floats u, dt, z, B, C, A, blocked_A, D, bias, out, d_out, states, du, d_dt, dz, dB, dC, dA, dD, d_bias;

  Problem(std::size_t L_, std::size_t E_, std::size_t N_) : L(L_), E(E_), N(N_), offsets{0, L_} {
    std::mt19937 random(1);
    const auto make = [&](std::size_t count, float low, float high) {
      const Floats values = memory.take<float>(count);
      for (float& value : values) value = low + (high - low) * static_cast<float>(random() >> 8) * 0x1p-24F;
      return values;
    };
    for (Floats* values : {&u, &z, &d_out, &out, &du, &d_dt, &dz}) *values = make(L * E, -1, 1);
    dt = make(L * E, -4, 0);
    for (Floats* values : {&B, &C, &dB, &dC}) *values = make(L * N, -1, 1);
    A = make(E * N, -16, -1);
    dA = make(E * N, 0, 0);
    for (Floats* values : {&D, &bias, &dD, &d_bias}) *values = make(E, -1, 1);
    states = make(sdlora::selective_scan_states_size({offsets}, E, N), 0, 0);
    blocked_A = make(E * N, 0, 0);
    for (std::size_t e = 0; e < E; ++e) {
      for (std::size_t n = 0; n < N; ++n) {
        blocked_A[(e / width * N + n) * width + e % width] = A[e * N + n] * 1.44269504F;
      }
    }
  }

  sdlora::SelectiveScanInputs<float> inputs() const {
    sdlora::SelectiveScanInputs<float> in;
    in.sequences = {offsets};
    in.u = {u.data(), L, E};
    in.dt = {dt.data(), L, E};
    in.B = {B.data(), L, N};
    in.C = {C.data(), L, N};
    in.z = {z.data(), L, E};
    in.A = {A.data(), E, N};
    in.D = D.data();
    in.dt_bias = bias.data();
    return in;
  }

  template <std::size_t States>
  void forward(bool save) {
    sdlora::selective_scan_forward<States>(inputs(), {out.data(), L, E}, nullptr,
                                           save ? states.data() : nullptr, workspace);
  }

  template <std::size_t States>
  void forward_segments(std::size_t rows) {
    sdlora::selective_scan_forward_segments<States>(inputs(), rows, {out.data(), L, E}, nullptr,
                                                    states.data(), workspace);
  }

  sdlora::SelectiveScanGradientOutputs<float> gradients(std::span<const std::size_t> channels) const {
    sdlora::SelectiveScanGradientOutputs<float> to;
    to.u = {du.data(), L, E};
    to.dt = {d_dt.data(), L, E};
    to.z = {dz.data(), L, E};
    to.B = {dB.data(), L, N};
    to.C = {dC.data(), L, N};
    to.A = dA.data();
    to.channels = channels;
    to.D = dD.data();
    to.dt_bias = d_bias.data();
    to.initial_state = dA.data();
    return to;
  }

  template <std::size_t States, SelectiveScanGradients Wanted>
  void backward(std::span<const std::size_t> channels = {}) {
    sdlora::selective_scan_backward<States, Wanted>(inputs(), states.data(), {d_out.data(), L, E}, nullptr,
                                                    gradients(channels), workspace);
  }

  template <std::size_t States, SelectiveScanGradients Wanted>
  void backward_segments(std::size_t rows) {
    sdlora::selective_scan_backward_segments<States, Wanted>(
        inputs(), rows, states.data(), {d_out.data(), L, E}, nullptr, gradients({}), workspace);
  }

  template <std::size_t States>
  void bare(std::size_t first_channel, std::size_t last_channel) {
    bench::bare_scan<States>({dt.data(), L, E}, {u.data(), L, E}, {B.data(), L, N}, {C.data(), L, N},
                             blocked_A.data(), {out.data(), L, E}, first_channel, last_channel);
  }
};

struct Candidate {
  std::string name;
  std::function<void()> run;
  double seconds = std::numeric_limits<double>::infinity();
};

double processor_time() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
double wall_time() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs of each candidate one after the other, on several threads; the first does not count.
void measure_in_a_row(std::vector<Candidate>& candidates, int runs) {
  for (Candidate& candidate : candidates) {
    for (int run = 0; run < runs; ++run) {
      const double start = wall_time();
      candidate.run();
      if (run > 0) candidate.seconds = std::min(candidate.seconds, wall_time() - start);
    }
  }
}

void measure(std::vector<Candidate>& candidates, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (Candidate& candidate : candidates) {
      const double start = processor_time();
      candidate.run();
      if (round > 0) candidate.seconds = std::min(candidate.seconds, processor_time() - start);
    }
  }
}

void print(const std::vector<Candidate>& candidates, std::size_t elements) {
  for (const Candidate& candidate : candidates) {
    std::printf("  %-44s %9.3f ms  %7.4f ns/element  %5.2f x bare\n", candidate.name.c_str(),
                candidate.seconds * 1e3, candidate.seconds * 1e9 / static_cast<double>(elements),
                candidate.seconds / candidates[0].seconds);
  }
}

// Forward and backward against the bare loop of as many states, one thread.
template <std::size_t States>
void one_shape(std::size_t L, std::size_t E, int rounds) {
  Problem p(L, E, States);
  std::vector<Candidate> candidates;
  candidates.push_back({"bare loop", [&] { p.bare<States>(0, E); }});
  candidates.push_back({"forward", [&] { p.forward<States>(false); }});
  candidates.push_back({"forward, saving chunk states", [&] { p.forward<States>(true); }});
  candidates.push_back({"backward, all gradients", [&] { p.backward<States, everything>(); }});
  candidates.push_back({"forward, dynamic N", [&] { p.forward<dyn>(false); }});
  candidates.push_back({"backward, all gradients, dynamic N", [&] { p.backward<dyn, everything>(); }});
  p.forward<States>(true);
  measure(candidates, rounds);
  std::printf("L=%zu E=%zu N=%zu, one thread\n", L, E, States);
  print(candidates, L * E * States);
}

void masks(int rounds) {
  constexpr SelectiveScanGradients activations{.u = true, .dt = true, .B = true, .C = true, .z = true};
  constexpr SelectiveScanGradients selected{
      .u = true, .dt = true, .B = true, .C = true, .z = true, .A = AGradient::SelectedChannels};
  Problem p(512, 1536, 16);
  std::vector<std::size_t> some;
  for (std::size_t i = 0; i < 15; ++i) some.push_back(i * 97);
  std::vector<Candidate> candidates;
  candidates.push_back({"bare loop", [&] { p.bare<16>(0, 1536); }});
  candidates.push_back({"all gradients", [&] { p.backward<16, everything>(); }});
  candidates.push_back({"of the activations", [&] { p.backward<16, activations>(); }});
  candidates.push_back({"of the activations and A in 15 channels", [&] { p.backward<16, selected>(some); }});
  candidates.push_back(
      {"B, C and A in 15 channels", [&] {
         p.backward<16, SelectiveScanGradients{.B = true, .C = true, .A = AGradient::SelectedChannels}>(some);
       }});
  candidates.push_back({"A in 15 channels", [&] {
                          p.backward<16, SelectiveScanGradients{.A = AGradient::SelectedChannels}>(some);
                        }});
  p.forward<16>(true);
  measure(candidates, rounds);
  std::printf("backward by what is wanted, L=512 E=1536 N=16, one thread\n");
  print(candidates, 512UL * 1536 * 16);
}

// Against two bare loops that have nothing to do with each other, each candidate some times in a row, so that
// the threads' data lie where it left them and not where the one before did; with `segment_rows`, cut in
// time, too. Where those stay far below 2 x, the machine's processors share a core or its memory at the
// moment, as virtual ones do.
void two_threads(std::size_t L, std::size_t E, std::size_t segment_rows, int rounds) {
  Problem p(L, E, 16), q(L, E, 16);
  std::vector<Candidate> one, two;
  one.push_back({"bare loop", [&] { p.bare<16>(0, E); }});
  one.push_back({"forward", [&] { p.forward<16>(true); }});
  one.push_back({"backward, all gradients", [&] { p.backward<16, everything>(); }});
  two.push_back({"two independent bare loops",
                 [&] { sdlora::parallel_for(2, [&](std::size_t i) { (i == 0 ? p : q).bare<16>(0, E); }); }});
  two.push_back(one[1]);
  two.push_back(one[2]);
  if (segment_rows > 0) {
    two.push_back({"forward, in segments", [&] { p.forward_segments<16>(segment_rows); }});
    two.push_back({"backward, in segments", [&] { p.backward_segments<16, everything>(segment_rows); }});
  }
  for (int round = 0; round < rounds; ++round) {
    sdlora::set_thread_count(1);
    measure_in_a_row(one, 5);
    sdlora::set_thread_count(2);
    measure_in_a_row(two, 5);
  }
  const double limit = 2 * one[0].seconds / two[0].seconds;
  std::printf("two threads, L=%zu E=%zu N=16: two bare loops run %.2f x as fast as one after the other\n", L,
              E, limit);
  for (std::size_t i = 1; i < two.size(); ++i) {
    const double speedup = one[i < 3 ? i : i - 2].seconds / two[i].seconds;
    std::printf("  %-44s %.2f x, %.2f of that\n", two[i].name.c_str(), speedup, speedup / limit);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(2, std::atoi(argv[1])) : 30;
  sdlora::set_thread_count(1);
  std::printf("vectors of %zu floats\n", width);
  for (int i = 2; i < argc; ++i) one_shape<16>(512, std::strtoul(argv[i], nullptr, 10), rounds);
  if (argc > 2) return 0;
  one_shape<16>(512, 1536, rounds);
  one_shape<16>(512, 1024, rounds);
  one_shape<16>(512, 2048, rounds);
  one_shape<16>(512, 4096, rounds);
  one_shape<16>(512, 4080, rounds);  // as large, and no power of two
  one_shape<1>(512, 1536, rounds);
  one_shape<2>(512, 1536, rounds);
  one_shape<4>(512, 1536, rounds);
  one_shape<8>(512, 1536, rounds);
  one_shape<32>(512, 1536, rounds);
  one_shape<64>(512, 1536, rounds);
  masks(rounds);
  if (std::thread::hardware_concurrency() > 1) {
    two_threads(512, 1536, 0, rounds / 2);
    two_threads(8192, 64, 0, rounds / 2);
    two_threads(1024, 64, 0, 2 * rounds);
    two_threads(16384, 16, 16384 / 3, rounds / 2);
  }
}
