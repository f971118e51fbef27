#pragma once

#include "../evaluate.hpp"
#include "../extents.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

// The kernels behind the assignment of an expression on a GPU, written against a block policy (thread and
// block index, barrier, shuffle, shared memory), so that a host emulator runs them too. One kernel for each
// assignment. Without reductions a thread computes elements. With them a team of threads takes a row: it
// reduces the row for every reduction of the expression first, then computes the row's elements.

namespace sdlora::detail {
inline namespace SDLORA_SIMD_TAG {

template <class Bound>
inline constexpr bool reduces = false;
template <class Kind, class T, class Bound>
inline constexpr bool reduces<BoundReduction<Kind, T, Bound>> = true;
template <class Operation, class... Bound>
inline constexpr bool reduces<BoundMap<Operation, Bound...>> = (reduces<Bound> || ...);

template <AssignMode Mode, class T>
constexpr void meet_element(T& element, T value) {
  if constexpr (Mode == AssignMode::Add) {
    element += value;
  } else if constexpr (Mode == AssignMode::Subtract) {
    element -= value;
  } else if constexpr (Mode == AssignMode::Multiply) {
    element *= value;
  } else if constexpr (Mode == AssignMode::Divide) {
    element /= value;
  } else {
    element = value;
  }
}

/// A value as the words of 32 bits that shuffles and shared memory carry.
template <class T>
struct FloatWords {
  static constexpr int count = sizeof(T) / sizeof(float);
  float word[count];
};

/// Reduces a row of an expression for each of its reductions by `Team` threads: a warp, or a whole block.
/// The order of additions depends on the length of the row alone.
template <int Team>
struct RowReducer {
  static_assert(Team % 32 == 0);
  static constexpr int warps = Team / 32;

  /// The expression with a number in the place of every reduction.
  template <class Block, class T, std::size_t Leading, Columns How>
  static constexpr auto reduced(const Block&, const BoundTensor<T, Leading, How>& bound, std::size_t) {
    return bound;
  }
  template <class Block, class T>
  static constexpr auto reduced(const Block&, const BoundConstant<T>& bound, std::size_t) {
    return bound;
  }
  template <class Block, class Operation, class... Bound>
  static constexpr auto reduced(const Block& block, const BoundMap<Operation, Bound...>& bound,
                                std::size_t row) {
    return bound.operands.apply(
        [&](const auto&... operand) { return bound_map<Operation>(reduced(block, operand, row)...); });
  }
  template <class Block, class Kind, class T, class Bound>
  static constexpr auto reduced(const Block& block, const BoundReduction<Kind, T, Bound>& bound,
                                std::size_t row) {
    const auto operand = reduced(block, bound.operand, row);
    T result = Kind::template start<T>();
    for (auto j = static_cast<std::size_t>(block.thread() % Team); j < bound.count; j += Team) {
      result = Kind::scalar(result, operand.value(row, j));
    }
    return BoundConstant<T>{Kind::finish(over_team<Kind>(block, result), bound.count)};
  }

 private:
  template <class Kind, class Block, class T>
  static constexpr T over_team(const Block& block, T value) {
    for (int mask = 16; mask > 0; mask /= 2) {
      const T other = shuffled(block, value, mask);
      // In the order of the lanes, so that all of them hold the same bits.
      value = (block.thread() & mask) != 0 ? Kind::scalar(other, value) : Kind::scalar(value, other);
    }
    if constexpr (warps > 1) {
      using Words = FloatWords<T>;
      const auto shared = block.shared();
      if (block.thread() % 32 == 0) {
        const auto words = std::bit_cast<Words>(value);
        for (int w = 0; w < Words::count; ++w)
          shared.store(block.thread() / 32 * Words::count + w, words.word[w]);
      }
      block.sync();
      for (int k = 0; k < warps; ++k) {
        Words words{};
        for (int w = 0; w < Words::count; ++w) words.word[w] = shared.load(k * Words::count + w);
        const T part = std::bit_cast<T>(words);
        value = k == 0 ? part : Kind::scalar(value, part);
      }
      block.sync();
    }
    return value;
  }

  template <class Block, class T>
  static constexpr T shuffled(const Block& block, T value, int mask) {
    auto words = std::bit_cast<FloatWords<T>>(value);
    for (float& word : words.word) word = block.shuffle_xor(word, mask);
    return std::bit_cast<T>(words);
  }
};

template <class T, class Bound>
struct AssignArguments {
  T* out;
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t stride;
  Bound bound;
};

/// An expression without reductions.
template <AssignMode Mode, class T, class Bound>
struct AssignElements {
  static constexpr int threads = 256;
  static constexpr int per_thread = 4;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = AssignArguments<T, Bound>;

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t columns) {
    constexpr std::int64_t each = threads * per_thread;
    return ceil_div(rows * columns, each);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t size = x.rows * x.columns;
    const std::int64_t first = block.index() * (threads * per_thread) + block.thread();
    for (int k = 0; k < per_thread; ++k) {
      const std::int64_t i = first + k * threads;
      if (i < size) {
        std::int64_t row = 0;
        if (x.rows > 1) {
          // Division by 64 bits takes five times as long.
          constexpr std::int64_t narrow = std::numeric_limits<std::uint32_t>::max();
          row = size <= narrow ? static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(x.columns)
                               : i / x.columns;
        }
        const std::int64_t column = i - row * x.columns;
        meet_element<Mode>(x.out[row * x.stride + column],
                           x.bound.value(static_cast<std::size_t>(row), static_cast<std::size_t>(column)));
      }
    }
  }
};

/// An expression with reductions: `Team` threads take a row.
template <AssignMode Mode, class T, class Bound, int Team>
struct AssignRows {
  static constexpr int threads = Team < 128 ? 128 : Team;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = Team > 32 ? Team / 32 * FloatWords<T>::count : 0;
  using Arguments = AssignArguments<T, Bound>;

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t) {
    constexpr std::int64_t each = threads / Team;
    return ceil_div(rows, each);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t row = block.index() * (threads / Team) + block.thread() / Team;
    if (row >= x.rows) return;  // a whole team
    const auto bound = RowReducer<Team>::reduced(block, x.bound, static_cast<std::size_t>(row));
    for (std::int64_t j = block.thread() % Team; j < x.columns; j += Team) {
      meet_element<Mode>(x.out[row * x.stride + j],
                         bound.value(static_cast<std::size_t>(row), static_cast<std::size_t>(j)));
    }
  }
};

/// Assigns an expression to memory of `Device` by one kernel; where writing would change what is still to
/// be read (evaluate.hpp, "Aliasing") by way of a copy.
template <AssignMode Mode, class Device, class T, class E, class Node>
void assign_by_kernel(T* data, const E& extents, std::size_t stride, const Node& node) {
  static_assert(std::is_same_v<T, typename Node::value_type>,
                "sdlora: an expression and its destination hold different types of value (float and double); "
                "give the destination the type of the expression");
  static_assert(!is_mask<Node>,
                "sdlora: a comparison has no numbers to assign; use select(condition, yes, no)");
  static_assert(
      std::is_void_v<typename Node::device_type> || std::is_same_v<typename Node::device_type, Device>,
      "sdlora: the operands of an expression are not on the device of its destination; copy them there");
  if constexpr (ExpressionMustFitDestination<E, typename Node::extents_type>::value) {
    check_destination(extents, node);
    std::size_t rows = row_count(extents);
    std::size_t columns = last_extent(extents);
    if (rows * columns == 0) return;
    if (data == nullptr) throw_destination_has_no_memory(to_string(extents));
    const bool contiguous = stride == columns || rows == 1;
    if (node.disturbed_by(Destination{data, data + (rows - 1) * stride + columns, rows * columns, columns,
                                      contiguous ? columns : stride})) {
      const Storage<T, Device> copy(rows * columns);
      const MatrixView<T, Device> from(data, rows, columns, stride);
      const MatrixView<T, Device> to(copy.data(), rows, columns);
      using Leaf = MatrixLeaf<T, Device>;
      if constexpr (Mode != AssignMode::Set) {
        assign_by_kernel<AssignMode::Set, Device>(to.data, extents, columns, Leaf{from});
      }
      assign_by_kernel<Mode, Device>(to.data, extents, columns, node);
      assign_by_kernel<AssignMode::Set, Device>(data, Extents<dyn, dyn>(rows, columns), stride, Leaf{to});
      return;
    }
    const auto bound = node.bind(extents);
    using Bound = std::remove_const_t<decltype(bound)>;
    static_assert(std::is_trivially_copyable_v<Bound>);
    const auto launch = [&]<class Kernel>(std::type_identity<Kernel>) {
      const auto r = static_cast<std::int64_t>(rows);
      const auto c = static_cast<std::int64_t>(columns);
      Launcher<Device> launcher("assignment of an expression");
      launcher.template run<Kernel>(Kernel::blocks(r, c), Kernel::shared_floats,
                                    {data, r, c, static_cast<std::int64_t>(stride), bound});
    };
    if constexpr (reduces<Bound>) {
      constexpr std::size_t long_row = 1024;
      if (node.columns() < long_row) {
        launch(std::type_identity<AssignRows<Mode, T, Bound, 32>>{});
      } else {
        launch(std::type_identity<AssignRows<Mode, T, Bound, 256>>{});
      }
    } else {
      constexpr Flatness flatness = Node::template flatness<E>();
      if (contiguous && (flatness == Flatness::Always ||
                         (flatness == Flatness::AtRunTime && node.is_flat(rows * columns)))) {
        columns *= rows;
        rows = 1;
      }
      launch(std::type_identity<AssignElements<Mode, T, Bound>>{});
    }
  }
}

}  // namespace SDLORA_SIMD_TAG

/// Expressions on a device that runs kernels: each assignment is one.
template <class Device>
struct KernelEvaluator {
  template <class E, class Node>
  static E shape(const Node& node) {
    return taken_shape<E>(node);
  }
  template <AssignMode Mode, class T, class E, class Node>
  static void assign(const TensorView<T, E, Device>& destination, const Node& node) {
    assign_by_kernel<Mode, Device>(destination.data(), destination.extents(),
                                   last_extent(destination.extents()), node);
  }
  template <AssignMode Mode, class T, class Node>
  static void assign(const MatrixView<T, Device>& destination, const Node& node) {
    assign_by_kernel<Mode, Device>(destination.data, Extents<dyn, dyn>(destination.rows, destination.cols),
                                   destination.stride, node);
  }
};

}  // namespace sdlora::detail
