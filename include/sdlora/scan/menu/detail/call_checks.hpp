#pragma once

#include "../../../error.hpp"
#include "../../../tensor/extents.hpp"
#include "../../../tensor/matrix_view.hpp"
#include "../../../tensor/sequences.hpp"
#include "../../detail/matrix_checks.hpp"
#include "../options.hpp"

#include <cstddef>
#include <functional>
#include <span>
#include <string>

// What calls of scans are refused for.

namespace sdlora::detail {

/// The sequences of a call: those it was given, or all rows as one.
struct SequencesOfCall {
  const std::size_t whole[2];
  const Sequences sequences;

  /// Throws as check_sequences.
  SequencesOfCall(const char* where, const Sequences& given, std::size_t rows)
      : whole{0, rows}, sequences(given.offsets.empty() ? Sequences{whole} : given) {
    check_sequences(where, given, rows);
  }
  SequencesOfCall(const SequencesOfCall&) = delete;
  SequencesOfCall& operator=(const SequencesOfCall&) = delete;
};

/// Throws ShapeError unless `states` is absent or has a row for every sequence.
template <class T>
void check_states(const char* where, const char* name, const MatrixView<T>& states,
                  const Sequences& sequences, std::size_t columns) {
  check_data(where, name, states);
  if (states && (states.rows != sequences.count() || states.cols != columns)) {
    throw ShapeError(std::string(where) + ": " + name +
                     " must be (sequences, columns) = " + extents_text(sequences.count(), columns) +
                     " but is " + extents_text(states.rows, states.cols));
  }
}

/// What `scan` of linear recurrences refuses on either device, given its matrices: `h` may lie where `a` or
/// `b` does, but not overlap them in another way.
template <class Stored>
void check_scan(MatrixView<const Stored> a, MatrixView<const Stored> b, MatrixView<Stored> h) {
  if (a.rows != h.rows || a.cols != h.cols || b.rows != h.rows || b.cols != h.cols) {
    throw ShapeError("scan: a, b and h must have one shape (L, columns) but are " +
                     extents_text(a.rows, a.cols) + ", " + extents_text(b.rows, b.cols) + " and " +
                     extents_text(h.rows, h.cols));
  }
  check_data("scan", "a", a);
  check_data("scan", "b", b);
  check_rows("scan", "h", h);
  using Named = NamedMatrix<Stored>;
  const Named result[] = {{"h", h}};
  for (const Named& read : {Named{"a", a}, Named{"b", b}}) {
    if (!same_place<Stored, Cpu>(h, read.matrix)) check_apart<Stored>("scan", result, {&read, 1});
  }
}

/// The same of `scan_backward`: `d_b` may lie where `d_h` does, `d_a` may be absent.
template <class Stored>
void check_scan_backward(ScanKind kind, MatrixView<const Stored> a, MatrixView<const Stored> h,
                         MatrixView<const Stored> d_h, MatrixView<Stored> d_a, MatrixView<Stored> d_b) {
  if (kind != ScanKind::Inclusive) {
    throw ArgumentError("scan_backward: takes inclusive scans only; pass the inclusive states as h");
  }
  const auto check = [&](const char* name, const auto& matrix) {
    if (matrix.rows != d_b.rows || matrix.cols != d_b.cols) {
      throw ShapeError(std::string("scan_backward: ") + name + " is " +
                       extents_text(matrix.rows, matrix.cols) + " but d_b " +
                       extents_text(d_b.rows, d_b.cols) + "; both must be (L, columns)");
    }
    check_data("scan_backward", name, matrix);
  };
  check("a", a);
  check("h", h);
  check("d_h", d_h);
  check_rows("scan_backward", "d_b", d_b);
  if (d_a || d_a.rows > 0) {
    check("d_a", d_a);
    check_rows("scan_backward", "d_a", d_a);
  }
  const MatrixView<const Stored> none;
  const NamedMatrix<Stored> results[] = {{"d_b", d_b}, {"d_a", d_a}},
                            read[] = {
                                {"a", a}, {"h", h}, {"d_h", same_place<Stored, Cpu>(d_b, d_h) ? none : d_h}};
  check_apart<Stored>("scan_backward", results, read);
}

/// The same of `scan` under an operator: `out` may lie where `in` does, but not overlap it in another way.
template <class V>
void check_element_scan(std::span<const V> in, std::span<V> out) {
  if (in.size() != out.size()) {
    throw ShapeError("scan: in has " + std::to_string(in.size()) + " values but out has " +
                     std::to_string(out.size()) + "; give both the same length");
  }
  const std::less<const V*> before;
  if (in.data() != out.data() && before(in.data(), out.data() + out.size()) &&
      before(out.data(), in.data() + in.size())) {
    throw ArgumentError(
        "scan: out overlaps in, which would be overwritten before it is read; pass the same memory or memory "
        "apart");
  }
}

}  // namespace sdlora::detail
