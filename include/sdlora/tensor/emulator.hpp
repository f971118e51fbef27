#pragma once

#include "../error.hpp"
#include "bfloat16.hpp"
#include "detail/fibre_switch.hpp"

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdlora {

/// A kernel did what a GPU leaves undefined: two threads met in shared memory without a barrier
/// between them, a thread read what none wrote, or a barrier was not reached by all.
class EmulatorError : public Error {
 public:
  using Error::Error;
};

namespace detail {

/// One word of emulated shared memory and who touched it since the last barrier.
struct EmulatedWord {
  float value = std::numeric_limits<float>::quiet_NaN();
  bool written = false;
  int writer = -1;
  std::uint64_t write_block_phase = 0;
  std::uint64_t write_warp_phase = 0;
  std::uint64_t read_block_phase = 0;
  struct Reader {
    int thread;
    std::uint64_t warp_phase;
  };
  std::vector<Reader> readers;  // in the phase read_block_phase
};

enum class Waiting { No, Block, Warp, Shuffle, Done };

inline constexpr std::size_t emulated_stack_bytes = std::size_t{1} << 17;

struct EmulatedThread {
  ucontext_t context{};
  // Not zeroed: most of its pages are never touched.
  std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(emulated_stack_bytes);
  Waiting waiting = Waiting::No;
  std::uint64_t block_phase = 0;
  std::uint64_t warp_phase = 0;
  int mask = 0;
  float value = 0.0F;
};

struct EmulatorState {
  int threads = 0;
  std::int64_t block = 0;
  std::vector<EmulatedThread> team;
  std::vector<EmulatedWord> words;
  ucontext_t scheduler{};
  const void* scheduler_stack = nullptr;  // known under the address sanitizer only
  std::size_t scheduler_stack_bytes = 0;
  int running = -1;
  std::exception_ptr error;
  void (*body)(void*, EmulatorState&, int) = nullptr;
  void* body_context = nullptr;
};

/// From the scheduler into a fibre, and back when it waits or has ended.
inline void resume(EmulatorState& state, EmulatedThread& thread) {
  FibreSwitch fibre(thread.stack.get(), emulated_stack_bytes);
  swapcontext(&state.scheduler, &thread.context);
  fibre.arrived();
}

/// From a fibre back to the scheduler, until it is resumed.
inline void wait(EmulatorState& state, int thread, Waiting reason) {
  EmulatedThread& self = state.team[static_cast<std::size_t>(thread)];
  self.waiting = reason;
  FibreSwitch fibre(state.scheduler_stack, state.scheduler_stack_bytes);
  swapcontext(&self.context, &state.scheduler);
  fibre.arrived(&state.scheduler_stack, &state.scheduler_stack_bytes);
}

inline void emulated_entry(unsigned high, unsigned low) {
  // makecontext passes ints only.  NOLINTNEXTLINE(performance-no-int-to-ptr)
  auto& state = *reinterpret_cast<EmulatorState*>((static_cast<std::uintptr_t>(high) << 32) |
                                                  static_cast<std::uintptr_t>(low));
  FibreSwitch::started(&state.scheduler_stack, &state.scheduler_stack_bytes);
  const int thread = state.running;
  try {
    state.body(state.body_context, state, thread);
  } catch (...) {
    state.error = std::current_exception();
  }
  EmulatedThread& self = state.team[static_cast<std::size_t>(thread)];
  self.waiting = Waiting::Done;
  FibreSwitch::last(state.scheduler_stack, state.scheduler_stack_bytes);
  swapcontext(&self.context, &state.scheduler);
}

}  // namespace detail

/// Emulated shared memory as a kernel sees it: floats at an offset. Every access is checked against
/// those of other threads since the last barrier.
class EmulatedShared {
 public:
  EmulatedShared(detail::EmulatorState& state, int thread, int offset)
      : state_(&state), thread_(thread), offset_(offset) {}

  EmulatedShared from(int floats) const { return {*state_, thread_, offset_ + floats}; }

  float load(int i) const {
    detail::EmulatedWord& word = at(i, "read");
    const detail::EmulatedThread& self = me();
    if (!word.written) fail("reads", i, "which nothing has written");
    if (word.writer != thread_ && unordered(word.writer, word.write_block_phase, word.write_warp_phase)) {
      fail("reads", i, "which thread " + std::to_string(word.writer) + " writes in the same phase");
    }
    if (word.read_block_phase != self.block_phase) word.readers.clear();
    word.read_block_phase = self.block_phase;
    if (word.readers.empty() || word.readers.back().thread != thread_ ||
        word.readers.back().warp_phase != self.warp_phase) {
      word.readers.push_back({thread_, self.warp_phase});
    }
    return word.value;
  }

  void store(int i, float value) const {
    detail::EmulatedWord& word = at(i, "written");
    const detail::EmulatedThread& self = me();
    if (word.written && word.writer != thread_ &&
        unordered(word.writer, word.write_block_phase, word.write_warp_phase)) {
      fail("writes", i, "which thread " + std::to_string(word.writer) + " writes in the same phase");
    }
    for (const auto& reader : word.readers) {
      if (reader.thread != thread_ && unordered(reader.thread, word.read_block_phase, reader.warp_phase)) {
        fail("writes", i, "which thread " + std::to_string(reader.thread) + " reads in the same phase");
      }
    }
    word.value = value;
    word.written = true;
    word.writer = thread_;
    word.write_block_phase = self.block_phase;
    word.write_warp_phase = self.warp_phase;
  }

  template <int Width>
  void load_vector(int i, float* out) const {
    check_alignment(i, Width);
    for (int k = 0; k < Width; ++k) out[k] = load(i + k);
  }
  template <int Width>
  void store_vector(int i, const float* values) const {
    check_alignment(i, Width);
    for (int k = 0; k < Width; ++k) store(i + k, values[k]);
  }

 private:
  const detail::EmulatedThread& me() const { return state_->team[static_cast<std::size_t>(thread_)]; }

  bool unordered(int other, std::uint64_t block_phase, std::uint64_t warp_phase) const {
    if (block_phase != me().block_phase) return false;
    return other / 32 != thread_ / 32 || warp_phase == me().warp_phase;
  }

  detail::EmulatedWord& at(int i, const char* verb) const {
    const auto word = static_cast<std::size_t>(offset_) + static_cast<std::size_t>(i);
    if (offset_ + i < 0 || word >= state_->words.size()) {
      throw EmulatorError("Emulator: word " + std::to_string(offset_ + i) + " of shared memory is " + verb +
                          " but the block has " + std::to_string(state_->words.size()));
    }
    return state_->words[word];
  }
  void check_alignment(int i, int width) const {
    if ((offset_ + i) % width != 0)
      fail("accesses", i, "as a vector of " + std::to_string(width) + " not aligned to that");
  }
  [[noreturn]] void fail(const char* verb, int i, const std::string& what) const {
    throw EmulatorError("Emulator: block " + std::to_string(state_->block) + ", thread " +
                        std::to_string(thread_) + " " + verb + " word " + std::to_string(offset_ + i) +
                        " of shared memory, " + what + "; a barrier is missing or an index is wrong");
  }

  detail::EmulatorState* state_;
  int thread_;
  int offset_;
};

/// The block policy that kernels are written against, for one thread of an emulated block:
/// thread and block index, barriers, shuffles, shared memory, and the arithmetic that a GPU has its
/// own instructions for. `CudaBlock` has the same members.
class EmulatedBlock {
 public:
  EmulatedBlock(detail::EmulatorState& state, int thread) : state_(&state), thread_(thread) {}

  int thread() const { return thread_; }
  std::int64_t index() const { return state_->block; }
  EmulatedShared shared() const { return {*state_, thread_, 0}; }

  void sync() const { detail::wait(*state_, thread_, detail::Waiting::Block); }
  void sync_warp() const { detail::wait(*state_, thread_, detail::Waiting::Warp); }

  /// The value of the thread of this warp whose index differs in the bits of `mask`. Orders no memory.
  float shuffle_xor(float value, int mask) const {
    detail::EmulatedThread& self = state_->team[static_cast<std::size_t>(thread_)];
    self.value = value;
    self.mask = mask;
    detail::wait(*state_, thread_, detail::Waiting::Shuffle);
    return self.value;
  }

  float absolute(float x) const { return std::fabs(x); }
  float exp2(float x) const { return std::exp2(x); }
  float reciprocal(float x) const { return 1.0F / x; }
  template <class IO>
  IO narrow(float x) const {
    return IO(x);
  }
  /// Two BFloat16 in a word, the first in its lower half.
  std::uint32_t narrow_two(float first, float second) const {
    return std::uint32_t{BFloat16(second).bits} << 16U | BFloat16(first).bits;
  }
  template <int Width, class T>
  void load_vector(const T* from, T* values) const {
    check_alignment(from, Width);
    std::memcpy(values, from, Width * sizeof(T));  // words of two BFloat16, too
  }
  template <int Width, class T>
  void store_vector(T* to, const T* values) const {
    check_alignment(to, Width);
    std::memcpy(to, values, Width * sizeof(T));
  }

 private:
  template <class T>
  void check_alignment(const T* address, std::size_t width) const {
    if (reinterpret_cast<std::uintptr_t>(address) % (width * sizeof(T)) != 0) {
      throw EmulatorError("Emulator: block " + std::to_string(state_->block) + ", thread " +
                          std::to_string(thread_) + " accesses memory as a vector of " +
                          std::to_string(width) + " values that is not aligned to its size");
    }
  }

  detail::EmulatorState* state_;
  int thread_;
};

/// Runs kernels on the host as a GPU would, one block after another in a shuffled order, the threads
/// of a block as fibres that run from barrier to barrier in an order that changes at every one.
/// Shared memory begins as NaN. It finds wrong indices, tails and carries, and missing barriers;
/// not what a GPU's memory model allows beyond that. For tests: slow.
class Emulator {
 public:
  explicit Emulator(std::uint64_t seed = 1) : random_(seed * 2 + 1) {}

  /// Runs `Kernel::run(block, arguments)` in `blocks` blocks of Kernel::threads threads.
  /// Throws EmulatorError.
  template <class Kernel>
  void run(std::int64_t blocks, std::size_t shared_floats, const typename Kernel::Arguments& arguments) {
    struct Context {
      const typename Kernel::Arguments& arguments;
    } context{arguments};
    detail::EmulatorState& state = state_;
    state.threads = Kernel::threads;
    state.error = nullptr;
    // Stacks are kept: most kernels are short.
    if (state.team.size() < static_cast<std::size_t>(Kernel::threads)) state.team.resize(Kernel::threads);
    state.body_context = &context;
    state.body = [](void* c, detail::EmulatorState& s, int thread) {
      EmulatedBlock block(s, thread);
      Kernel::run(block, static_cast<Context*>(c)->arguments);
    };
    std::vector<std::int64_t> order(static_cast<std::size_t>(blocks));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    shuffle(order);
    for (const std::int64_t block : order) {
      state.block = block;
      state.words.assign(shared_floats, {});
      run_block(state);
    }
  }

 private:
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) {
      random_ = random_ * 6364136223846793005U + 1442695040888963407U;
      std::swap(values[i - 1], values[static_cast<std::size_t>((random_ >> 33) % i)]);
    }
  }

  void run_block(detail::EmulatorState& state) {
    const auto address = reinterpret_cast<std::uintptr_t>(&state);
    const std::span team(state.team.data(), static_cast<std::size_t>(state.threads));
    for (auto& thread : team) {
      thread.waiting = detail::Waiting::No;
      thread.block_phase = thread.warp_phase = 1;
      getcontext(&thread.context);
      thread.context.uc_stack.ss_sp = thread.stack.get();
      thread.context.uc_stack.ss_size = detail::emulated_stack_bytes;
      thread.context.uc_link = nullptr;
      detail::FibreSwitch::forget(thread.stack.get(), detail::emulated_stack_bytes);
      makecontext(&thread.context, reinterpret_cast<void (*)()>(&detail::emulated_entry), 2,
                  static_cast<unsigned>(address >> 32), static_cast<unsigned>(address & 0xffff'ffffU));
    }
    std::vector<int> order(team.size());
    std::iota(order.begin(), order.end(), 0);
    for (;;) {
      shuffle(order);
      for (const int thread : order) {
        auto& self = state.team[static_cast<std::size_t>(thread)];
        if (self.waiting != detail::Waiting::No) continue;
        state.running = thread;
        detail::resume(state, self);
        if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
      }
      if (!release(state)) return;
    }
  }

  /// Lets on whoever waits for nobody any more; false when all threads have ended.
  static bool release(detail::EmulatorState& state) {
    bool released = false;
    const auto all = [&](int first, int last, detail::Waiting what) {
      for (int t = first; t < last; ++t) {
        if (state.team[static_cast<std::size_t>(t)].waiting != what) return false;
      }
      return true;
    };
    if (all(0, state.threads, detail::Waiting::Done)) return false;
    if (all(0, state.threads, detail::Waiting::Block)) {
      for (auto& thread : std::span(state.team.data(), static_cast<std::size_t>(state.threads))) {
        ++thread.block_phase;
        ++thread.warp_phase;
        thread.waiting = detail::Waiting::No;
      }
      return true;
    }
    for (int first = 0; first < state.threads; first += 32) {
      const int last = std::min(first + 32, state.threads);
      if (all(first, last, detail::Waiting::Warp)) {
        for (int t = first; t < last; ++t) {
          ++state.team[static_cast<std::size_t>(t)].warp_phase;
          state.team[static_cast<std::size_t>(t)].waiting = detail::Waiting::No;
        }
        released = true;
      } else if (all(first, last, detail::Waiting::Shuffle)) {
        exchange(state, first, last);
        released = true;
      }
    }
    if (!released) {
      throw EmulatorError(
          "Emulator: block " + std::to_string(state.block) +
          ": its threads wait at different barriers, or some ended before one; every thread of a "
          "block (of a warp) must reach the same barriers and shuffles");
    }
    return true;
  }

  static void exchange(detail::EmulatorState& state, int first, int last) {
    float values[32] = {};
    for (int t = first; t < last; ++t) values[t - first] = state.team[static_cast<std::size_t>(t)].value;
    const int mask = state.team[static_cast<std::size_t>(first)].mask;
    for (int t = first; t < last; ++t) {
      auto& self = state.team[static_cast<std::size_t>(t)];
      if (self.mask != mask || ((t - first) ^ mask) >= last - first) {
        throw EmulatorError("Emulator: threads of one warp meet in different shuffles");
      }
      self.value = values[(t - first) ^ mask];
      self.waiting = detail::Waiting::No;
    }
  }

  std::uint64_t random_;
  detail::EmulatorState state_;
};

}  // namespace sdlora
