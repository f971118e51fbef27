#pragma once

#include "../../../../tensor/extents.hpp"
#include "../../../detail/kernel_arithmetic.hpp"
#include "../../scan_problem.hpp"

#include <cstdint>

namespace sdlora::detail {

/// Composes the steps [begin, end) of column c with `state`; `done(t, state, beside(t))` follows each. The
/// loads of several steps are under way before the first is needed: stores between them would hold them back,
/// since the result may be the memory of what is read.
template <class Steps, class V, class Beside, class Done>
constexpr void walk_column(const Steps& x, std::int64_t c, std::int64_t begin, std::int64_t end, V& state,
                           const Beside& beside, const Done& done) {
  constexpr int ahead = 8;
  const auto op = x.op();
  std::int64_t t = begin;
  for (; t + ahead <= end; t += ahead) {
    V steps[ahead];
    decltype(beside(t)) besides[ahead];
    unroll<ahead>([&](auto i) {
      steps[i] = x.step(t + i, c);
      besides[i] = beside(t + i);
    });
    unroll<ahead>([&](auto i) {
      state = op(state, steps[i]);
      done(t + i, state, besides[i]);
    });
  }
  for (; t < end; ++t) {
    state = op(state, x.step(t, c));
    done(t, state, beside(t));
  }
}

/// What stands in where nothing is loaded beside a step.
struct Nothing {};

/// The same, and each composition is stored.
template <ScanProblem Problem, class V>
constexpr void scan_column(const Problem& x, std::int64_t c, std::int64_t begin, std::int64_t end, V& state) {
  if constexpr (requires { x.beside(begin, c); }) {
    walk_column(
        x, c, begin, end, state, [&](std::int64_t t) { return x.beside(t, c); },
        [&](std::int64_t t, const V& s, const auto& beside) { x.store(t, c, s, beside); });
  } else {
    walk_column(
        x, c, begin, end, state, [](std::int64_t) { return Nothing{}; },
        [&](std::int64_t t, const V& s, Nothing) { x.store(t, c, s); });
  }
}

/// What the kernels of columns have in common: one thread per item, 128 to a block, no shared memory.
struct ColumnKernelShape {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 4;

  static constexpr std::int64_t blocks(std::int64_t items) { return ceil_div(items, threads); }
  template <class Block>
  static constexpr std::int64_t item_of(const Block& block) {
    return block.index() * threads + block.thread();
  }
};

/// One thread per column, the state in registers.
template <ScanProblem Problem>
struct ColumnKernel : ColumnKernelShape {
  using Arguments = Problem;

  template <class Block>
  static constexpr void run(Block& block, const Problem& x) {
    const std::int64_t c = item_of(block);
    if (c >= x.columns) return;
    auto state = x.first(c);
    x.store(0, c, state);
    scan_column(x, c, 1, x.length, state);
  }
};

/// What an exclusive scan begins with.
template <ScanProblem Problem>
struct HeadKernel : ColumnKernelShape {
  using Arguments = Problem;

  template <class Block>
  static constexpr void run(Block& block, const Problem& x) {
    const std::int64_t c = item_of(block);
    if (c < x.columns) x.store_head(c);
  }
};

/// Columns cut into pieces of time; `aggregates` is (pieces, columns).
template <ScanProblem Problem>
struct PieceArguments {
  Problem x;
  std::int64_t piece = 0;
  std::int64_t pieces = 0;
  typename Problem::value_type* aggregates = nullptr;

  constexpr std::int64_t items() const { return x.columns * pieces; }
  /// The steps [begin, end) of column c that item i is.
  struct Piece {
    std::int64_t c, begin, end;
  };
  constexpr Piece piece_of(std::int64_t i) const {
    const std::int64_t begin = i / x.columns * piece;
    return {i % x.columns, begin, begin + piece < x.length ? begin + piece : x.length};
  }
};

/// The first pass of a split scan: the composition of every piece.
template <ScanProblem Problem>
struct PieceAggregateKernel : ColumnKernelShape {
  using Arguments = PieceArguments<Problem>;

  template <class Block>
  static constexpr void run(Block& block, const Arguments& arguments) {
    const Problem& x = arguments.x;
    const std::int64_t i = item_of(block);
    if (i >= arguments.items()) return;
    const auto piece = arguments.piece_of(i);
    auto whole = piece.begin == 0 ? x.first(piece.c) : x.step(piece.begin, piece.c);
    walk_column(
        x, piece.c, piece.begin + 1, piece.end, whole, [](std::int64_t) { return Nothing{}; },
        [](auto...) {});
    arguments.aggregates[i] = whole;
  }
};

/// The second: replaces each aggregate by the composition of all pieces up to it.
template <ScanProblem Problem>
struct PieceCarryKernel : ColumnKernelShape {
  using Arguments = PieceArguments<Problem>;

  /// The aggregates of a column as its steps.
  struct Aggregates {
    const Arguments& arguments;
    constexpr auto op() const { return arguments.x.op(); }
    constexpr auto step(std::int64_t k, std::int64_t c) const {
      return arguments.aggregates[k * arguments.x.columns + c];
    }
  };

  template <class Block>
  static constexpr void run(Block& block, const Arguments& arguments) {
    const Problem& x = arguments.x;
    const std::int64_t c = item_of(block);
    if (c >= x.columns) return;
    auto state = arguments.aggregates[c];
    walk_column(
        Aggregates{arguments}, c, 1, arguments.pieces, state, [](std::int64_t) { return Nothing{}; },
        [&](std::int64_t k, const auto& s, Nothing) { arguments.aggregates[k * x.columns + c] = s; });
  }
};

/// The third: every piece from the composition of those before it.
template <ScanProblem Problem>
struct PieceApplyKernel : ColumnKernelShape {
  using Arguments = PieceArguments<Problem>;

  template <class Block>
  static constexpr void run(Block& block, const Arguments& arguments) {
    const Problem& x = arguments.x;
    const std::int64_t i = item_of(block);
    if (i >= arguments.items()) return;
    const auto piece = arguments.piece_of(i);
    const std::int64_t c = piece.c;
    auto state =
        piece.begin == 0 ? x.first(c) : x.op()(arguments.aggregates[i - x.columns], x.step(piece.begin, c));
    x.store(piece.begin, c, state);
    scan_column(x, c, piece.begin + 1, piece.end, state);
  }
};

/// Steps of a piece: 64, more where there are columns enough to fill a GPU. By the shape alone, so that
/// results are the same on every device.
constexpr std::int64_t piece_length(std::int64_t length, std::int64_t columns) {
  std::int64_t steps = 64;
  while (columns * (length / steps) > 262144 && steps < 1024) steps *= 2;
  return steps;
}
constexpr std::int64_t piece_count(std::int64_t length, std::int64_t columns) {
  const std::int64_t piece = piece_length(length, columns);
  return ceil_div(length, piece);
}

/// The three passes. `Launcher::run<Kernel>(blocks, shared_floats, arguments)` is the emulator's or the
/// GPU's.
template <class Launcher, ScanProblem Problem>
void scan_pieces(Launcher& launcher, const Problem& x, typename Problem::value_type* aggregates) {
  const PieceArguments<Problem> arguments{x, piece_length(x.length, x.columns),
                                          piece_count(x.length, x.columns), aggregates};
  launcher.template run<PieceAggregateKernel<Problem>>(ColumnKernelShape::blocks(arguments.items()), 0,
                                                       arguments);
  launcher.template run<PieceCarryKernel<Problem>>(ColumnKernelShape::blocks(x.columns), 0, arguments);
  launcher.template run<PieceApplyKernel<Problem>>(ColumnKernelShape::blocks(arguments.items()), 0,
                                                   arguments);
}

}  // namespace sdlora::detail
