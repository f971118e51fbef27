#pragma once

#include "../broadcast.hpp"
#include "../matrix_view.hpp"
#include "../simd.hpp"
#include "../tensor.hpp"

#include <cstddef>

// The leaves of element-wise expressions: tensors, views, matrices and numbers, and what they become
// when an expression is bound to the shape of its result (see expression.hpp).

namespace sdlora {
namespace detail {
inline namespace SDLORA_SIMD_TAG {

/// Whether a loop may treat all of the result as one long row of an operand.
enum class Flatness { Never, AtRunTime, Always };

constexpr Flatness weaker(Flatness a, Flatness b) { return a < b ? a : b; }

/// Which lanes of a batch are wanted: all, or the first few (the others hold any value of the row).
struct AllLanes {};
struct FirstLanes {
  std::size_t count;
};

template <class V>
struct PlainCursor {
  const typename V::value_type* p;

  V at(std::size_t j, AllLanes) const { return V::load_unaligned(p + j); }
  V at(std::size_t j, FirstLanes lanes) const {
    alignas(alignment) typename V::value_type buffer[V::size];
    for (std::size_t k = 0; k < V::size; ++k) buffer[k] = p[j + (k < lanes.count ? k : lanes.count - 1)];
    return V::load_aligned(buffer);
  }
};

template <class V>
struct SplatCursor {
  V value;

  template <class Lanes>
  V at(std::size_t, Lanes) const {
    return value;
  }
};

template <class V>
SplatCursor(V) -> SplatCursor<V>;

/// For operands whose last extent is dynamic: one of the above, by a branch that never changes.
template <class V>
struct EitherCursor {
  PlainCursor<V> plain;
  SplatCursor<V> splat;
  bool repeats;

  template <class Lanes>
  V at(std::size_t j, Lanes lanes) const {
    return repeats ? splat.value : plain.at(j, lanes);
  }
};

enum class Columns { Full, Repeated, Either };

/// A tensor in memory, seen from one shape of result.
template <class T, std::size_t Leading, Columns How>
struct BoundTensor {
  const T* data;
  [[no_unique_address]] RowMap<Leading> rows;
  bool repeats;  // the last extent is 1 and the result's is not

  constexpr T value(std::size_t row, std::size_t column) const {
    return data[rows.offset(row) + (repeats ? 0 : column)];
  }

  template <class V>
  auto cursor(std::size_t row) const {
    const T* p = data + rows.offset(row);
    if constexpr (How == Columns::Full) {
      return PlainCursor<V>{p};
    } else if constexpr (How == Columns::Repeated) {
      return SplatCursor<V>{V(*p)};
    } else {
      return EitherCursor<V>{{p}, {V(*p)}, repeats};
    }
  }
  template <class V>
  auto flat_cursor() const {
    return PlainCursor<V>{data};
  }
};

template <class T, class E, class Result>
constexpr auto bind_tensor(const T* data, const E& extents, std::size_t row_stride, const Result& result) {
  constexpr std::size_t own = last_static_extent<E>();
  constexpr std::size_t wanted = last_static_extent<Result>();
  constexpr Columns how = own == 1 && wanted == 1     ? Columns::Full
                          : own == 1                  ? Columns::Repeated
                          : own != dyn || wanted == 1 ? Columns::Full
                                                      : Columns::Either;
  return BoundTensor<T, Result::rank() - 1, how>{
      data, {extents, row_stride, result}, last_extent(extents) != last_extent(result)};
}

/// The memory that an assignment writes.
struct Destination {
  const void* begin;
  const void* end;
  std::size_t size, columns, row_stride;

  /// Whether writing element by element, row after row, changes what the operand is still read for.
  /// It does not where every element of the operand lies at its own place in the destination.
  template <class T, class E>
  bool disturbs(const T* data, const E& extents, std::size_t stride) const {
    const std::size_t count = extents.size();
    if (count == 0 || size == 0) return false;
    const T* last = data + (row_count(extents) - 1) * stride + last_extent(extents);
    if (static_cast<const void*>(last) <= begin || end <= static_cast<const void*>(data)) return false;
    return !(data == begin && count == size && last_extent(extents) == columns &&
             (stride == row_stride || count == columns));
  }
};

/// Contiguous memory: a view, or a tensor that must stay as it is until the assignment.
template <class T, class E, class Device>
struct Leaf {
  using expression_tag = void;
  using value_type = T;
  using extents_type = E;
  using device_type = Device;
  static constexpr std::size_t cost = 1;

  TensorView<const T, E, Device> view;

  constexpr const E& extents() const { return view.extents(); }
  constexpr std::size_t columns() const { return last_extent(view.extents()); }

  template <class Result>
  constexpr auto bind(const Result& result) const {
    return bind_tensor(view.data(), view.extents(), columns(), result);
  }
  template <class Result>
  static constexpr Flatness flatness() {
    if constexpr (!E::is_static() || !Result::is_static()) {
      return Flatness::AtRunTime;
    } else {
      return E{}.size() == Result{}.size() ? Flatness::Always : Flatness::Never;
    }
  }
  constexpr bool is_flat(std::size_t result_size) const { return view.size() == result_size; }
  bool disturbed_by(const Destination& destination) const {
    return destination.disturbs(view.data(), view.extents(), columns());
  }
};

/// A matrix whose rows may lie further apart than they are long.
template <class T, class Device>
struct MatrixLeaf {
  using expression_tag = void;
  using value_type = T;
  using extents_type = Extents<dyn, dyn>;
  using device_type = Device;
  static constexpr std::size_t cost = 1;

  MatrixView<const T, Device> view;

  constexpr extents_type extents() const { return extents_type(view.rows, view.cols); }
  constexpr std::size_t columns() const { return view.cols; }

  template <class Result>
  constexpr auto bind(const Result& result) const {
    return bind_tensor(view.data, extents(), view.stride, result);
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Flatness::AtRunTime;
  }
  constexpr bool is_flat(std::size_t result_size) const {
    return view.contiguous() && view.rows * view.cols == result_size;
  }
  bool disturbed_by(const Destination& destination) const {
    return destination.disturbs(view.data, extents(), view.stride);
  }
};

/// A temporary tensor, moved in.
template <class T, class E, class Device>
struct OwningLeaf {
  using expression_tag = void;
  using value_type = T;
  using extents_type = E;
  using device_type = Device;
  static constexpr std::size_t cost = 1;

  Tensor<T, E, Device> tensor;

  const E& extents() const { return tensor.extents(); }
  std::size_t columns() const { return last_extent(tensor.extents()); }

  template <class Result>
  auto bind(const Result& result) const {
    return leaf().bind(result);
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Leaf<T, E, Device>::template flatness<Result>();
  }
  bool is_flat(std::size_t result_size) const { return leaf().is_flat(result_size); }
  bool disturbed_by(const Destination&) const { return false; }

 private:
  Leaf<T, E, Device> leaf() const { return {tensor.view()}; }
};

/// One number, the same everywhere.
template <class T>
struct BoundConstant {
  T number;

  constexpr T value(std::size_t, std::size_t) const { return number; }
  template <class V>
  auto cursor(std::size_t) const {
    return SplatCursor<V>{V(number)};
  }
  template <class V>
  auto flat_cursor() const {
    return SplatCursor<V>{V(number)};
  }
};

template <class T>
struct Constant {
  using expression_tag = void;
  using value_type = T;
  using extents_type = Extents<>;
  using device_type = void;
  static constexpr std::size_t cost = 0;

  T number;

  constexpr extents_type extents() const { return {}; }
  constexpr std::size_t columns() const { return 1; }
  template <class Result>
  constexpr auto bind(const Result&) const {
    return BoundConstant<T>{number};
  }
  template <class Result>
  static constexpr Flatness flatness() {
    return Flatness::Always;
  }
  constexpr bool is_flat(std::size_t) const { return true; }
  bool disturbed_by(const Destination&) const { return false; }
};

}  // namespace SDLORA_SIMD_TAG
}  // namespace detail
}  // namespace sdlora
