#pragma once

#include "../version.hpp"

namespace sdlora {

/// One value of all threads of a block, for kernels that are written against a block policy: combine(a, b),
/// which must commute, over the values of `Threads` threads, a multiple of 32 and at most 1024, in an order
/// that is always the same. Every thread gets it, and every thread must call. Takes the first Threads / 32
/// floats of shared memory, which no thread may still read or write otherwise, and leaves them free.
template <int Threads, class Block, class Combine>
constexpr float block_reduce(const Block& block, float value, const Combine& combine) {
  static_assert(Threads % 32 == 0 && Threads <= 1024);
  constexpr int warps = Threads / 32;
  for (int mask = 16; mask > 0; mask /= 2) value = combine(value, block.shuffle_xor(value, mask));
  if constexpr (warps > 1) {
    const auto shared = block.shared();
    if (block.thread() % 32 == 0) shared.store(block.thread() / 32, value);
    block.sync();
    value = shared.load(0);
    for (int warp = 1; warp < warps; ++warp) value = combine(value, shared.load(warp));
    block.sync();
  }
  return value;
}

}  // namespace sdlora
