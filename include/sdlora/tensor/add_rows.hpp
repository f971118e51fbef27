#pragma once

#include "../error.hpp"
#include "detail/kernels/add_rows.hpp"
#include "extents.hpp"
#include "matrix_view.hpp"
#include "parallel.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sdlora {

/// out.row(ids[i]) += x.row(i) for i = 0, 1, …, where an id may stand more than once: the gradient of rows
/// that were looked up. out (V, d), x (M, d), ids (1, M) below V. Rows are added in order, for any number of
/// threads. Throws ShapeError where shapes do not fit; ids are not checked.
template <class T, class Device>
void add_rows(MatrixView<T, Device> out, std::type_identity_t<MatrixView<const T, Device>> x,
              std::type_identity_t<MatrixView<const std::int32_t, Device>> ids) {
  if (out.cols != x.cols || ids.cols != x.rows) {
    throw ShapeError("add_rows: expected rows of " + std::to_string(out.cols) + " values and " +
                     std::to_string(x.rows) + " ids, found rows of " + std::to_string(x.cols) + " and " +
                     std::to_string(ids.cols) + " ids; give an id for each row");
  }
  if (x.rows == 0) return;
  if constexpr (is_host<Device>) {
    constexpr std::size_t block = 256;  // columns of one task
    parallel_for(detail::ceil_div(x.cols, block), [&](std::size_t task) {
      const std::size_t first = task * block, last = std::min(x.cols, first + block);
      for (std::size_t i = 0; i < x.rows; ++i) {
        T* to = out.row(static_cast<std::size_t>(ids(0, i)));
        const T* from = x.row(i);
        for (std::size_t j = first; j < last; ++j) to[j] += from[j];
      }
    });
  } else {
    Launcher<Device> launcher("add_rows");
    detail::run_add_rows(launcher, out.bare(), x.bare(), ids.data);
  }
}

}  // namespace sdlora
