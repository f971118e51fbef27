#pragma once

#include "../../../tensor/extents.hpp"
#include "../../../tensor/parallel.hpp"
#include "../../../tensor/workspace.hpp"
#include "../arguments.hpp"
#include "simd_pack.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

// How the fused selective scan cuts its work and lays out its scratch memory.
//
// Channels are handled in cache lines, whatever the vector length, so the layout of saved states
// does not depend on the instruction set. Lines form groups; sequences form parts. One task is one
// group of one part: it walks through time in chunks, and inside of a chunk over its lines.

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

/// Rows per chunk: one state is saved, and recomputed from, per chunk. With more, what the backward pass
/// keeps of a chunk leaves a first-level cache of 48 KiB: 32 rows cost it a fifth, 16 gain nothing.
inline constexpr std::size_t scan_chunk = 24;
/// The most lines per group, over which the backward pass adds up d_B and d_C before it adds their lanes.
inline constexpr std::size_t scan_group = 8;
/// Groups become smaller rather than leave fewer tasks than this, or than half of it where they would have
/// four lines or fewer: then what a group costs besides its lines counts, and that it takes so little of each
/// row. They keep four lines where those make four groups, and two always.
inline constexpr std::size_t scan_tasks = 16;

/// Channels per line.
template <class T>
inline constexpr std::size_t scan_line = cache_line / sizeof(T);

/// The most states that a kernel keeps in registers at once: half of the registers that vectors of
/// this length come with (32 for 512 bits, else 16).
template <class T>
inline constexpr std::size_t scan_state_block = simd_width<T> * sizeof(T) == 64 ? 16 : 8;

/// f(0) … f(Count − 1), written out: the indices are constants, so arrays indexed by them can live in
/// registers. f should be SDLORA_INLINED.
template <std::size_t Count, class F>
[[gnu::always_inline]] inline void unrolled(const F& f) {
  [&]<std::size_t... I>(std::index_sequence<I...>)
      SDLORA_INLINED { (f(I), ...); }(std::make_index_sequence<Count>{});
}

/// Rows of a tile, or states of a row, that go through the elementary functions in step.
inline constexpr std::size_t scan_rows_in_step = 2, scan_states_in_step = 2;

/// Calls f(std::integral_constant<size>, first) for blocks of states that together cover [0, n): as
/// many of `Max` as fit, then smaller powers of two. N is n where that is known when compiling.
template <std::size_t N, std::size_t Max, std::size_t First = 0, class F>
inline void for_state_blocks(std::size_t n, const F& f, std::size_t first = 0) {
  if constexpr (N == dyn) {
    for (; n - first >= Max; first += Max) f(std::integral_constant<std::size_t, Max>{}, first);
    if constexpr (Max > 1) for_state_blocks<N, Max / 2>(n, f, first);
  } else if constexpr (First < N) {
    if constexpr (N - First >= Max) {
      f(std::integral_constant<std::size_t, Max>{}, First);
      for_state_blocks<N, Max, First + Max>(n, f);
    } else {
      for_state_blocks<N, Max / 2, First>(n, f);
    }
  }
}

/// The cut of the work, a function of the shape alone.
struct ScanPlan {
  std::size_t lines, group_lines, groups, parts;
  std::span<std::size_t> part_begin;   // parts + 1 sequence indices
  std::span<std::size_t> chunk_begin;  // S: the first chunk of each sequence

  /// With `apart`, each sequence is a part of its own.
  template <class T>
  static ScanPlan make(const SelectiveScanInputs<T>& in, Workspace& workspace, bool apart = false) {
    const std::size_t S = in.sequences.count(), rows = in.sequences.rows();
    ScanPlan plan;
    plan.lines = ceil_div(in.channels(), scan_line<T>);
    const std::size_t least = std::clamp<std::size_t>(plan.lines / 4, 2, 4);
    const std::size_t share = plan.lines * S / scan_tasks;
    plan.group_lines = std::clamp(share <= scan_group / 2 ? 2 * share : share, least, scan_group);
    plan.groups = ceil_div(plan.lines, plan.group_lines);
    const std::size_t most = std::max<std::size_t>(1, S);
    plan.parts = apart ? most : std::min(ceil_div(scan_tasks, std::max<std::size_t>(1, plan.groups)), most);
    plan.part_begin = workspace.take<std::size_t>(plan.parts + 1);
    plan.chunk_begin = workspace.take<std::size_t>(S);
    std::size_t part = 0, chunks = 0;
    plan.part_begin[0] = 0;
    for (std::size_t s = 0; s < S; ++s) {
      // Parts of about equally many rows: a sequence belongs to the part that its first row falls in.
      const std::size_t own = apart ? s : rows == 0 ? 0 : in.sequences.first(s) * plan.parts / rows;
      while (part < std::min(own, plan.parts - 1)) plan.part_begin[++part] = s;
      plan.chunk_begin[s] = chunks;
      chunks += ceil_div(in.sequences.length(s), scan_chunk);
    }
    while (part < plan.parts) plan.part_begin[++part] = S;
    return plan;
  }

  std::size_t tasks() const { return groups * parts; }
  std::size_t first_line(std::size_t group) const { return group * group_lines; }
  std::size_t last_line(std::size_t group) const { return std::min(lines, first_line(group) + group_lines); }
};

/// Scratch memory for the tasks that run at the same time: one slot per thread. Which slot a task gets
/// is open, so nothing may be carried from one task to the next.
template <class T>
class ScanScratch {
 public:
  ScanScratch(std::size_t tasks, std::size_t size, Workspace& workspace)
      : slots_(std::min(tasks, thread_count())), size_(round_up(size, scan_line<T>)) {
    taken_ = workspace.take<std::uint32_t>(slots_);
    std::fill(taken_.begin(), taken_.end(), 0U);
    memory_ = workspace.take<T>(slots_ * size_);
  }

  class Slot {
   public:
    explicit Slot(ScanScratch& scratch) : scratch_(scratch) {
      for (;; index_ = (index_ + 1) % scratch.slots_) {
        if (std::atomic_ref(scratch.taken_[index_]).exchange(1, std::memory_order_acquire) == 0) break;
      }
      next_ = scratch.memory_.data() + index_ * scratch.size_;
    }
    ~Slot() { std::atomic_ref(scratch_.taken_[index_]).store(0, std::memory_order_release); }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    /// The next `count` values of the slot, uninitialised, aligned to a line.
    T* take(std::size_t count) {
      T* result = next_;
      next_ += round_up(count, scan_line<T>);
      return result;
    }

   private:
    ScanScratch& scratch_;
    std::size_t index_ = 0;
    T* next_;
  };

 private:
  std::size_t slots_, size_;
  std::span<std::uint32_t> taken_;
  std::span<T> memory_;
};

/// Runs the tasks, on all threads where the work is worth waking them.
template <class F>
void run_scan_tasks(std::size_t tasks, std::size_t work, const F& f) {
  if (work < (std::size_t{1} << 16)) {
    for (std::size_t i = 0; i < tasks; ++i) f(i);
  } else {
    parallel_for(tasks, f);
  }
}

}  // namespace SDLORA_SIMD_TAG
}  // namespace sdlora::detail
