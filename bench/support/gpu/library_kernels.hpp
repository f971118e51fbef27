#pragma once

// What stands before and behind library scans, which scan given a and b, to make a selective scan of them.
// Plain C++ over a block policy, so that the tests run it without a GPU.

#include <cstddef>
#include <cstdint>
#include <sdlora/scan/detail/kernel_arithmetic.hpp>
#include <sdlora/scan/selective/detail/kernels/arguments.hpp>
#include <sdlora/tensor/extents.hpp>

namespace gpu_suite {

/// What both kernels have in common: a block takes a square of time steps × channels of one sequence and
/// turns it, since matrices, which have no gaps, have channels side by side, and a, b and h time, (channels,
/// N, L).
template <class IO>
struct LibraryKernelShape {
  static constexpr int side = 32;
  static constexpr int threads = 256;
  static constexpr int resident_blocks = 4;
  static constexpr int row =
      side + 1;  // of a square in shared memory, so that a column lies in different banks

  struct Arguments {
    sdlora::detail::KernelInputs<IO> in;
    std::int64_t length = 0;
    int channels = 0;
    int states = 0;
    float* a = nullptr;
    float* b = nullptr;
    const float* h = nullptr;
    IO* out = nullptr;  // (L, channels)
  };

  static constexpr std::int64_t blocks(const Arguments& x) {
    return sdlora::detail::ceil_div(x.length, side) * channel_squares(x);
  }
  static constexpr std::int64_t channel_squares(const Arguments& x) {
    return sdlora::detail::ceil_div(x.channels, side);
  }
  /// Of `squares` squares and the rows of B or C that belong to them.
  static constexpr std::size_t shared_floats(int squares, int states) {
    return static_cast<std::size_t>(side) * static_cast<std::size_t>(squares * row + states + 1);
  }
};

/// The square of one block, as one of its threads sees it.
template <class IO>
struct LibrarySquare {
  using Shape = LibraryKernelShape<IO>;
  using Arguments = typename Shape::Arguments;
  static constexpr int side = Shape::side;
  static constexpr int rows_at_once = Shape::threads / side;

  std::int64_t first_step;
  int first_channel, steps, channels, lane, first_row;

  constexpr LibrarySquare(const Arguments& x, std::int64_t block, int thread)
      : first_step(block / Shape::channel_squares(x) * side),
        first_channel(static_cast<int>(block % Shape::channel_squares(x)) * side),
        steps(x.length - first_step < side ? static_cast<int>(x.length - first_step) : side),
        channels(x.channels - first_channel < side ? x.channels - first_channel : side),
        lane(thread % side),
        first_row(thread / side) {}

  /// f(step, channel, place in a matrix (L, channels)) of the square, neighbouring threads on neighbouring
  /// channels.
  template <class F>
  constexpr void along_channels(const Arguments& x, const F& f) const {
    for (int t = first_row; t < steps; t += rows_at_once) {
      if (lane < channels) f(t, lane, (first_step + t) * x.channels + first_channel + lane);
    }
  }
  /// f(step, channel), neighbouring threads on neighbouring steps.
  template <class F>
  constexpr void along_time(const F& f) const {
    for (int e = first_row; e < channels; e += rows_at_once) {
      if (lane < steps) f(lane, e);
    }
  }
  /// Copies the square's rows of B or C, (L, N), to shared memory.
  template <class Shared>
  constexpr void load_rows(const Arguments& x, const IO* rows, Shared to) const {
    const int count = steps * x.states;
    for (int i = first_row * side + lane; i < count; i += Shape::threads) {
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
struct PrepareKernel : LibraryKernelShape<IO> {
  using Shape = LibraryKernelShape<IO>;
  using Arguments = typename Shape::Arguments;
  static constexpr int row = Shape::row;

  static constexpr std::size_t shared_floats(int states) { return Shape::shared_floats(2, states); }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const LibrarySquare<IO> square(x, block.index(), block.thread());
    const auto delta = block.shared(), input = delta.from(Shape::side * row),
               B = input.from(Shape::side * row);
    square.along_channels(x, [&](int t, int e, std::int64_t at) {
      const float bias = x.in.dt_bias[square.first_channel + e];
      const float value = sdlora::detail::kernel_softplus(block, static_cast<float>(x.in.dt.data[at]) + bias);
      delta.store(t * row + e, value);
      input.store(t * row + e, value * static_cast<float>(x.in.u.data[at]));
    });
    square.load_rows(x, x.in.B.data, B);
    block.sync();
    square.along_time([&](int t, int e) {
      const float step = delta.load(t * row + e), drive = input.load(t * row + e);
      for (int n = 0; n < x.states; ++n) {
        const float A = x.in.A[(square.first_channel + e) * x.states + n];
        x.a[square.at(x, t, e, n)] = block.exp2(step * A * sdlora::detail::log2_e);
        x.b[square.at(x, t, e, n)] = drive * B.load(t * (x.states + 1) + n);
      }
    });
  }
};

/// out = (Σ C·h + D·u)·silu(z).
template <class IO>
struct FinishKernel : LibraryKernelShape<IO> {
  using Shape = LibraryKernelShape<IO>;
  using Arguments = typename Shape::Arguments;
  static constexpr int row = Shape::row;

  static constexpr std::size_t shared_floats(int states) { return Shape::shared_floats(1, states); }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const LibrarySquare<IO> square(x, block.index(), block.thread());
    const auto y = block.shared(), C = y.from(Shape::side * row);
    square.load_rows(x, x.in.C.data, C);
    block.sync();
    square.along_time([&](int t, int e) {
      float sum = 0;
      for (int n = 0; n < x.states; ++n) sum += C.load(t * (x.states + 1) + n) * x.h[square.at(x, t, e, n)];
      y.store(t * row + e, sum);
    });
    block.sync();
    square.along_channels(x, [&](int t, int e, std::int64_t at) {
      const float sum =
          y.load(t * row + e) + x.in.D[square.first_channel + e] * static_cast<float>(x.in.u.data[at]);
      const float z = static_cast<float>(x.in.z.data[at]);
      x.out[at] = block.template narrow<IO>(sum * z * sdlora::detail::sigmoid(block, z));
    });
  }
};

}  // namespace gpu_suite
