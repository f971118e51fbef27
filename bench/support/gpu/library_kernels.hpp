#pragma once

// What stands before and behind library scans, which scan given a and b, to make a selective scan of them.
// Plain C++ over a block policy, so that the tests run it without a GPU.

#include <cstdint>
#include <sdlora/scan/detail/kernel_arithmetic.hpp>
#include <sdlora/scan/selective_scan_kernels.hpp>

namespace gpu_suite {

/// A square of time steps × channels of one sequence, which a block turns: matrices have channels side by
/// side, a, b and h time, (channels, N, L).
template <class IO>
struct LibraryTile {
  static constexpr int side = 32;
  static constexpr int threads = 256;
  static constexpr int resident_blocks = 4;
  static constexpr int rows_at_once = threads / side;

  struct Arguments {
    sdlora::KernelScanInputs<IO> in;
    std::int64_t length = 0;
    int channels = 0;
    int states = 0;
    float* a = nullptr;
    float* b = nullptr;
    const float* h = nullptr;
    IO* out = nullptr;  // (L, channels)
  };

  static constexpr std::int64_t blocks(const Arguments& x) {
    return (x.length + side - 1) / side * channel_tiles(x);
  }
  static constexpr std::int64_t channel_tiles(const Arguments& x) { return (x.channels + side - 1) / side; }

  std::int64_t first_step;
  int first_channel, steps, channels, lane, row;

  constexpr LibraryTile(const Arguments& x, std::int64_t block, int thread)
      : first_step(block / channel_tiles(x) * side),
        first_channel(static_cast<int>(block % channel_tiles(x)) * side),
        steps(x.length - first_step < side ? static_cast<int>(x.length - first_step) : side),
        channels(x.channels - first_channel < side ? x.channels - first_channel : side),
        lane(thread % side),
        row(thread / side) {}

  /// f(step, channel, place in a matrix (L, channels)) of the square, neighbouring threads on neighbouring
  /// channels.
  template <class F>
  constexpr void along_channels(const Arguments& x, const F& f) const {
    for (int t = row; t < steps; t += rows_at_once) {
      if (lane < channels) f(t, lane, (first_step + t) * x.channels + first_channel + lane);
    }
  }
  /// f(step, channel), neighbouring threads on neighbouring steps.
  template <class F>
  constexpr void along_time(const F& f) const {
    for (int e = row; e < channels; e += rows_at_once) {
      if (lane < steps) f(lane, e);
    }
  }
  /// Copies the square's rows of B or C, (L, N), to shared memory.
  template <class Shared>
  constexpr void load_rows(const Arguments& x, const IO* rows, Shared to) const {
    const int count = steps * x.states;
    for (int i = row * side + lane; i < count; i += threads) {
      to.store(i / x.states * (x.states + 1) + i % x.states,
               static_cast<float>(rows[first_step * x.states + i]));
    }
  }
  /// Where a state's value of a step is in a, b and h.
  constexpr std::int64_t at(const Arguments& x, int t, int e, int n) const {
    return (std::int64_t{first_channel + e} * x.states + n) * x.length + first_step + t;
  }
};

/// a = exp(Δ·A) and b = Δ·u·B of all states.
template <class IO>
struct PrepareKernel {
  using Tile = LibraryTile<IO>;
  using Arguments = typename Tile::Arguments;
  static constexpr int threads = Tile::threads;
  static constexpr int resident_blocks = Tile::resident_blocks;
  static constexpr int row = Tile::side + 1;  // apart, so that a column lies in different banks

  static constexpr std::size_t shared_floats(int states) {
    return static_cast<std::size_t>(2 * Tile::side * row + Tile::side * (states + 1));
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const Tile tile(x, block.index(), block.thread());
    const auto delta = block.shared(), input = delta.from(Tile::side * row), B = input.from(Tile::side * row);
    tile.along_channels(x, [&](int t, int e, std::int64_t at) {
      const float bias = x.in.dt_bias[tile.first_channel + e];
      const float value = sdlora::detail::kernel_softplus(block, static_cast<float>(x.in.dt.data[at]) + bias);
      delta.store(t * row + e, value);
      input.store(t * row + e, value * static_cast<float>(x.in.u.data[at]));
    });
    tile.load_rows(x, x.in.B.data, B);
    block.sync();
    tile.along_time([&](int t, int e) {
      const float step = delta.load(t * row + e), drive = input.load(t * row + e);
      for (int n = 0; n < x.states; ++n) {
        const float A = x.in.A[(tile.first_channel + e) * x.states + n];
        x.a[tile.at(x, t, e, n)] = block.exp2(step * A * sdlora::detail::log2_e);
        x.b[tile.at(x, t, e, n)] = drive * B.load(t * (x.states + 1) + n);
      }
    });
  }
};

/// out = (Σ C·h + D·u)·silu(z).
template <class IO>
struct FinishKernel {
  using Tile = LibraryTile<IO>;
  using Arguments = typename Tile::Arguments;
  static constexpr int threads = Tile::threads;
  static constexpr int resident_blocks = Tile::resident_blocks;
  static constexpr int row = Tile::side + 1;

  static constexpr std::size_t shared_floats(int states) {
    return static_cast<std::size_t>(Tile::side * row + Tile::side * (states + 1));
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const Tile tile(x, block.index(), block.thread());
    const auto y = block.shared(), C = y.from(Tile::side * row);
    tile.load_rows(x, x.in.C.data, C);
    block.sync();
    tile.along_time([&](int t, int e) {
      float sum = 0;
      for (int n = 0; n < x.states; ++n) sum += C.load(t * (x.states + 1) + n) * x.h[tile.at(x, t, e, n)];
      y.store(t * row + e, sum);
    });
    block.sync();
    tile.along_channels(x, [&](int t, int e, std::int64_t at) {
      const float sum =
          y.load(t * row + e) + x.in.D[tile.first_channel + e] * static_cast<float>(x.in.u.data[at]);
      const float z = static_cast<float>(x.in.z.data[at]);
      x.out[at] = block.template narrow<IO>(sum * z * sdlora::detail::sigmoid(block, z));
    });
  }
};

}  // namespace gpu_suite
