// The fused selective scan beside a bare loop: the recurrence alone, on the same SIMD type, compiled
// with the same flags into the same program; ratios are to that with the public exp2, beside which stands the
// one with the scan's own decays. Measurements of all candidates alternate and the minimum
// of each counts, so that other load on the machine disturbs them alike.
//
//   selective_scan [rounds [channels…]]
//
// With numbers of channels, only these are measured, at 16 states on one thread, and beside 1536 channels.

#include <sdlora/scan/selective/segments.hpp>
#include <sdlora/scan/selective/selective_scan.hpp>
#include <sdlora/tensor/extents.hpp>
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
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
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

// One problem of B = 1 and everything that its passes read and write; rows of channels begin `stride` values
// apart.
struct Problem {
  std::size_t L, E, N, stride;
  std::vector<std::size_t> offsets;
  sdlora::Workspace memory, workspace;
  Floats u, dt, z, B, C, A, blocked_A, D, bias, out, d_out, checkpoints, d_u, d_dt, d_z, d_B, d_C, d_A, d_D,
      d_bias;

  Problem(std::size_t L_, std::size_t E_, std::size_t N_, std::size_t stride_ = 0)
      : L(L_), E(E_), N(N_), stride(stride_ > 0 ? stride_ : E_), offsets{0, L_} {
    std::mt19937 random(1);
    const auto make = [&](std::size_t count, float low, float high) {
      const Floats values = memory.take<float>(count);
      for (float& value : values) value = low + (high - low) * static_cast<float>(random() >> 8) * 0x1p-24F;
      return values;
    };
    for (Floats* values : {&u, &z, &d_out, &out, &d_u, &d_dt, &d_z}) *values = make(L * stride, -1, 1);
    dt = make(L * stride, -4, 0);
    for (Floats* values : {&B, &C, &d_B, &d_C}) *values = make(L * N, -1, 1);
    A = make(E * N, -16, -1);
    d_A = make(E * N, 0, 0);
    for (Floats* values : {&D, &bias, &d_D, &d_bias}) *values = make(E, -1, 1);
    checkpoints = make(sdlora::selective_scan_checkpoint_size({offsets}, E, N), 0, 0);
    blocked_A = make(sdlora::detail::round_up(E, width) * N, 0, 0);
    for (std::size_t e = 0; e < E; ++e) {
      for (std::size_t n = 0; n < N; ++n) {
        blocked_A[(e / width * N + n) * width + e % width] = A[e * N + n] * 1.44269504F;
      }
    }
  }

  sdlora::MatrixView<float> wide(Floats values) const { return {values.data(), L, E, stride}; }

  sdlora::SelectiveScanInputs<float> inputs() const {
    sdlora::SelectiveScanInputs<float> in;
    in.sequences = {offsets};
    in.u = wide(u);
    in.dt = wide(dt);
    in.B = {B.data(), L, N};
    in.C = {C.data(), L, N};
    in.z = wide(z);
    in.A = {A.data(), E, N};
    in.D = {D.data(), 1, E};
    in.dt_bias = {bias.data(), 1, E};
    return in;
  }

  template <std::size_t States>
  void forward(bool save) {
    sdlora::selective_scan_forward<States>(inputs(), wide(out), {}, save ? checkpoints.data() : nullptr,
                                           workspace);
  }

  template <std::size_t States>
  void forward_segments(std::size_t rows) {
    sdlora::selective_scan_forward_segments<States>(inputs(), rows, wide(out), {}, checkpoints.data(),
                                                    workspace);
  }

  sdlora::SelectiveScanGradientOutputs<float> gradients(std::span<const std::size_t> channels) const {
    sdlora::SelectiveScanGradientOutputs<float> to;
    to.u = wide(d_u);
    to.dt = wide(d_dt);
    to.z = wide(d_z);
    to.B = {d_B.data(), L, N};
    to.C = {d_C.data(), L, N};
    to.A = {d_A.data(), channels.empty() ? E : channels.size(), N};
    to.channels = channels;
    to.D = {d_D.data(), 1, E};
    to.dt_bias = {d_bias.data(), 1, E};
    to.initial_state = {d_A.data(), 1, E * N};
    return to;
  }

  template <std::size_t States, SelectiveScanGradients Wanted>
  void backward(std::span<const std::size_t> channels = {}) {
    sdlora::selective_scan_backward<States, Wanted>(inputs(), checkpoints.data(), wide(d_out), {},
                                                    gradients(channels), workspace);
  }

  template <std::size_t States, SelectiveScanGradients Wanted>
  void backward_segments(std::size_t rows) {
    sdlora::selective_scan_backward_segments<States, Wanted>(inputs(), rows, checkpoints.data(), wide(d_out),
                                                             {}, gradients({}), workspace);
  }

  template <std::size_t States, class Decay = bench::ClampedDecay>
  void bare(std::size_t first_channel, std::size_t last_channel) {
    bench::bare_scan<States, Decay>(wide(dt), wide(u), {B.data(), L, N}, {C.data(), L, N}, blocked_A.data(),
                                    wide(out), first_channel, last_channel);
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
  candidates.push_back(
      {"bare loop with the scan's decays", [&] { p.bare<States, bench::BoundedDecay>(0, E); }});
  candidates.push_back({"forward", [&] { p.forward<States>(false); }});
  candidates.push_back({"forward, saving checkpoints", [&] { p.forward<States>(true); }});
  candidates.push_back({"backward, all gradients", [&] { p.backward<States, everything>(); }});
  candidates.push_back({"forward, dynamic N", [&] { p.forward<dyn>(false); }});
  candidates.push_back({"backward, all gradients, dynamic N", [&] { p.backward<dyn, everything>(); }});
  p.forward<States>(true);
  measure(candidates, rounds);
  std::printf("L=%zu E=%zu N=%zu, one thread\n", L, E, States);
  print(candidates, L * E * States);
}

// A problem whose times are given beside those of another, the reference.
struct Beside {
  std::string name;
  std::size_t L, E, N, stride, reference;  // its place in the list
};

// Forward and backward of all, at a number of states that is known at run time, each beside its reference.
void compare(const char* title, const std::vector<Beside>& list, bool per_element, int rounds) {
  std::vector<std::unique_ptr<Problem>> problems;
  std::vector<Candidate> candidates;
  for (const Beside& one : list) {
    problems.push_back(std::make_unique<Problem>(one.L, one.E, one.N, one.stride));
    Problem& p = *problems.back();
    p.forward<dyn>(true);
    candidates.push_back({"", [&p] { p.forward<dyn>(false); }});
    candidates.push_back({"", [&p] { p.backward<dyn, everything>(); }});
  }
  measure(candidates, rounds);
  std::printf("%s\n", title);
  const auto time = [&](std::size_t i, std::size_t pass) {
    const Beside& one = list[i];
    const double elements = static_cast<double>(one.L * one.E * one.N);
    return candidates[2 * i + pass].seconds * (per_element ? 1e9 / elements : 1e3);
  };
  const char* unit = per_element ? "ns/element" : "ms";
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::size_t k = list[i].reference;
    std::printf("  %-24s forward %7.4f %s, %.2f   backward %7.4f %s, %.2f   of %s\n", list[i].name.c_str(),
                time(i, 0), unit, time(i, 0) / time(k, 0), time(i, 1), unit, time(i, 1) / time(k, 1),
                list[k].name.c_str());
  }
}

void widths(const std::vector<std::size_t>& channels, int rounds) {
  std::vector<Beside> list{{"E=1536", 512, 1536, 16, 0, 0}};
  for (const std::size_t E : channels) {
    if (E != 1536) list.push_back({"E=" + std::to_string(E), 512, E, 16, 0, 0});
  }
  compare("widths, per element, L=512 N=16, one thread", list, true, rounds);
}

// What does not fill its last block of channels, states or rows, beside what does: an extent of one whole
// block more.
void tails(int rounds) {
  constexpr std::size_t line = sdlora::detail::scan_line<float>,
                        block = sdlora::detail::scan_state_block<float>, chunk = sdlora::detail::scan_chunk;
  constexpr std::size_t E = 1536, N = 16, L = 512;
  const std::size_t wider = (E / line + 1) * line, deeper = (N / block + 1) * block,
                    longer = (L / chunk + 1) * chunk;
  const auto text = [](const char* name, std::size_t value) { return name + std::to_string(value); };
  compare("tails, in all, beside one whole block more, L=512 E=1536 N=16 else, one thread",
          {{text("E=", wider), L, wider, N, 0, 0},
           {text("E=", E), L, E, N, 0, 0},
           {text("E=", E + 1), L, E + 1, N, 0, 0},
           {text("E=", wider - 1), L, wider - 1, N, 0, 0},
           {text("E=", E + 1) + text(", rows of ", wider), L, E + 1, N, wider, 0},
           {text("N=", deeper), L, E, deeper, 0, 5},
           {text("N=", N + 1), L, E, N + 1, 0, 5},
           {text("L=", longer), longer, E, N, 0, 7},
           {text("L=", L + 1), L + 1, E, N, 0, 7}},
          false, rounds);
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

// A whole number of at least 1, or 0.
std::size_t whole(const char* text) {
  char* end = nullptr;
  const auto value = std::strtoul(text, &end, 10);
  return *end == '\0' && *text != '-' ? value : 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::size_t> numbers;
  for (int i = 1; i < argc; ++i) numbers.push_back(whole(argv[i]));
  if (std::find(numbers.begin(), numbers.end(), 0) != numbers.end()) {
    std::fprintf(stderr, "usage: selective_scan [rounds [channels…]], whole numbers of at least 1\n");
    return 2;
  }
  const int rounds = numbers.empty() ? 30 : static_cast<int>(std::max<std::size_t>(2, numbers.front()));
  sdlora::set_thread_count(1);
  std::printf("vectors of %zu floats\n", width);
  if (numbers.size() > 1) {
    numbers.erase(numbers.begin());
    for (const std::size_t E : numbers) {
      if (E % width == 0) one_shape<16>(512, E, rounds);  // the bare loop knows whole vectors only
    }
    widths(numbers, rounds);
    return 0;
  }
  const std::vector<std::size_t> channels{1536, 1024, 2048, 4096, 4080};  // the last one is no power of two
  for (const std::size_t E : channels) one_shape<16>(512, E, rounds);
  widths(channels, rounds);
  one_shape<1>(512, 1536, rounds);
  one_shape<2>(512, 1536, rounds);
  one_shape<4>(512, 1536, rounds);
  one_shape<8>(512, 1536, rounds);
  one_shape<32>(512, 1536, rounds);
  one_shape<64>(512, 1536, rounds);
  tails(rounds);
  masks(rounds);
  if (std::thread::hardware_concurrency() > 1) {
    two_threads(512, 1536, 0, rounds / 2);
    two_threads(8192, 64, 0, rounds / 2);
    two_threads(1024, 64, 0, 2 * rounds);
    two_threads(16384, 16, 16384 / 3, rounds / 2);
  }
}
