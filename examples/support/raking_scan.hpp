#pragma once

// The kernel of examples/custom_cuda_scan: plain C++ over a block policy, so that the tests run it on the
// host.

#include <cstdint>
#include <sdlora/scan/menu/scan_problem.hpp>

/// A block per column: every thread composes a piece of time, then what the pieces before it came to, then
/// its piece again, storing. Any ScanProblem: linear recurrences, their gradients, values under an operator.
template <sdlora::ScanProblem Problem>
struct RakingKernel {
  using Value = typename Problem::value_type;
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 4;

  struct Arguments {
    Problem x;
    Value* pieces;  // (columns, threads)
  };

  template <class Block>
  static constexpr void run(Block& block, const Arguments& in) {
    const Problem& x = in.x;
    const auto op = x.op();
    const std::int64_t c = block.index();
    const std::int64_t piece = (x.length + threads - 1) / threads;
    const std::int64_t begin = block.thread() * piece;
    const std::int64_t end = begin + piece < x.length ? begin + piece : x.length;
    const auto step = [&](std::int64_t t) { return t > 0 ? x.step(t, c) : x.first(c); };

    Value* const pieces = in.pieces + c * threads;
    Value whole = op.identity();
    for (std::int64_t t = begin; t < end; ++t) whole = op(whole, step(t));
    pieces[block.thread()] = whole;
    block.sync();

    Value state = op.identity();
    for (int before = 0; before < block.thread(); ++before) state = op(state, pieces[before]);
    for (std::int64_t t = begin; t < end; ++t) {
      state = op(state, step(t));
      x.store(t, c, state);
    }
  }
};
