#include <sdlora/tensor/emulator.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

using namespace sdlora;

namespace {

struct Values {
  const float* in;
  float* out;
};

/// Reverses 64 values through shared memory; `Barrier` says which barrier lies between.
enum class Barrier { block, warp, none };

template <Barrier Between>
struct Reverse {
  static constexpr int threads = 64;
  using Arguments = Values;
  template <class Block>
  static void run(Block& block, const Values& x) {
    const auto shared = block.shared();
    shared.store(block.thread(), x.in[block.thread()]);
    if constexpr (Between == Barrier::block) block.sync();
    if constexpr (Between == Barrier::warp) block.sync_warp();
    x.out[block.thread()] = shared.load(threads - 1 - block.thread());
  }
};

/// Writes again what others may still read: the barrier after the loop's body is missing.
struct Overwrite {
  static constexpr int threads = 64;
  using Arguments = Values;
  template <class Block>
  static void run(Block& block, const Values& x) {
    const auto shared = block.shared();
    float sum = 0;
    for (int round = 0; round < 2; ++round) {
      shared.store(block.thread(), x.in[block.thread()]);
      block.sync();
      sum += shared.load((block.thread() + 1) % threads);
    }
    x.out[block.thread()] = sum;
  }
};

struct ReadsUnwritten {
  static constexpr int threads = 32;
  using Arguments = Values;
  template <class Block>
  static void run(Block& block, const Values& x) {
    x.out[block.thread()] = block.shared().load(block.thread());
  }
};

struct OutOfRange : ReadsUnwritten {
  template <class Block>
  static void run(Block& block, const Values&) {
    block.shared().store(64, 1.0F);
  }
};

struct DivergentBarrier : ReadsUnwritten {
  template <class Block>
  static void run(Block& block, const Values&) {
    if (block.thread() > 0) block.sync();
  }
};

struct WarpSum {
  static constexpr int threads = 64;
  using Arguments = Values;
  template <class Block>
  static void run(Block& block, const Values& x) {
    float sum = x.in[block.thread()];
    for (int mask = 1; mask < 32; mask *= 2) sum += block.shuffle_xor(sum, mask);
    x.out[block.thread()] = sum;
  }
};

std::vector<float> ramp() {
  std::vector<float> values(64);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

template <class Kernel>
std::string message_of(std::size_t shared = 64) {
  const auto in = ramp();
  std::vector<float> out(64, 0.0F);
  try {
    Emulator().run<Kernel>(1, shared, Values{in.data(), out.data()});
  } catch (const EmulatorError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("emulator: a kernel with its barriers runs, in any order of threads") {
  const auto in = ramp();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<float> out(64, NAN);
    Emulator(seed).run<Reverse<Barrier::block>>(3, 64, Values{in.data(), out.data()});
    for (std::size_t i = 0; i < out.size(); ++i) CHECK(out[i] == in[63 - i]);
  }
}

TEST_CASE("emulator: a missing barrier is found") {
  CHECK(message_of<Reverse<Barrier::block>>().empty());
  CHECK(message_of<Reverse<Barrier::none>>().find("shared memory") != std::string::npos);
  CHECK(message_of<Reverse<Barrier::warp>>().find("shared memory") != std::string::npos);
  CHECK(message_of<Overwrite>().find("a barrier is missing") != std::string::npos);
}

TEST_CASE("emulator: what was never written, lies outside, or waits for ever is found") {
  CHECK(message_of<ReadsUnwritten>().find("nothing has written") != std::string::npos);
  CHECK(message_of<OutOfRange>().find("the block has 64") != std::string::npos);
  CHECK(message_of<DivergentBarrier>().find("different barriers") != std::string::npos);
}

TEST_CASE("emulator: shuffles stay within their warp") {
  const auto in = ramp();
  std::vector<float> out(64, NAN);
  Emulator().run<WarpSum>(1, 0, Values{in.data(), out.data()});
  CHECK(out[0] == 496.0F);
  CHECK(out[31] == 496.0F);
  CHECK(out[32] == 1520.0F);
}
