#pragma once

#include "bfloat16.hpp"
#include "detail/kernels/matmul.hpp"
#include "detail/kernels/round.hpp"
#include "detail/packed_panels.hpp"
#include "detail/row_products.hpp"
#include "detail/stored_values.hpp"
#include "device.hpp"
#include "extents.hpp"
#include "matmul.hpp"
#include "matmul_backend.hpp"
#include "matrix_view.hpp"
#include "parallel.hpp"
#include "weight.hpp"
#include "workspace.hpp"
#include "write.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sdlora {

/// A weight as the right operand of `matmul`, transposed.
template <class Stored, class Device, class Products>
struct TransposedWeight {
  Weight<Stored, Device, Products> of;
};

/// The weight, to be read as its transpose: a layer's y = x·Wᵀ.
template <class Stored, class Device, class Products>
TransposedWeight<Stored, Device, Products> transposed(const Weight<Stored, Device, Products>& weight) {
  return {weight};
}

namespace detail {

/// A product of activations and a weight on the host, by panels of the weight. Those are cut by shape, and a
/// task of the thread team computes a tile of out; so bits do not depend on the number of threads.
template <bool Transpose, class Stored, class Products>
class WeightProduct {
  using W = Weight<Stored, Cpu, Products>;
  static constexpr bool rounds = std::is_same_v<Products, BFloat16>;

 public:
  WeightProduct(MatrixView<float> out, MatrixView<const float> x, const W& w, Write write, float scale)
      : out_(out), x_(x), w_(w), write_(write), scale_(scale), backend_(matmul_backend()) {}

  void run() const {
    if (x_.cols == 0) {
      if (write_ == Write::Overwrite) {
        for (std::size_t i = 0; i < out_.rows; ++i) std::fill_n(out_.row(i), out_.cols, 0.0F);
      }
      return;
    }
    if constexpr (Transpose) {
      if (out_.rows <= few_rows<Stored, rounds>)
        return multiply_few_rows<rounds>(out_, x_, StoredBytes<Stored>(w_), write_, scale_);
    }
    if constexpr (rounds) {
      if (backend_ != nullptr && backend_->multiplies_bfloat16()) return tiles<BFloat16>();
    }
    tiles<float>();
  }

  /// A part of the weight as a matrix of what the backend multiplies: where it lies, or copied.
  template <class Value>
  static MatrixView<const Value> panel(const W& w, std::size_t outer_first, std::size_t outer,
                                       std::size_t inner_first, std::size_t inner, Workspace& workspace) {
    const std::size_t first_row = Transpose ? outer_first : inner_first, rows = Transpose ? outer : inner;
    const std::size_t first_column = Transpose ? inner_first : outer_first, cols = Transpose ? inner : outer;
    const StoredBytes<Stored> bytes(w);
    if constexpr (std::is_same_v<Value, Stored> && (!rounds || std::is_same_v<Value, BFloat16>)) {
      const std::byte* begin = bytes.at(first_row, first_column);
      if (reinterpret_cast<std::uintptr_t>(begin) % alignof(Value) == 0) {
        return {reinterpret_cast<const Value*>(begin), rows, cols, w.stride};
      }
    }
    const MatrixView<Value> copy = workspace.matrix<Value>(rows, cols);
    for (std::size_t i = 0; i < rows; ++i) {
      bytes.template read<rounds>(first_row + i, first_column, cols, copy.row(i));
    }
    return copy;
  }

 private:
  static constexpr std::size_t tile_rows = 256;

  template <class Value>
  void tiles() const {
    Workspace& workspace = thread_workspace();
    const Workspace::Scope scope(workspace);
    const MatrixView<const Value> x = operand<Value>(workspace);
    const std::size_t inner = x.cols;
    const std::size_t across = ceil_div(out_.cols, panel_outer), down = ceil_div(out_.rows, tile_rows);
    const std::size_t parts = ceil_div(inner, panel_inner<Value>);
    const auto* packed = packed_panels(parts);
    parallel_for(across * down, [&](std::size_t task) {
      const std::size_t row = task / across * tile_rows, column = task % across * panel_outer;
      const std::size_t rows = std::min(tile_rows, out_.rows - row);
      const std::size_t columns = std::min(panel_outer, out_.cols - column);
      const MatrixView<float> tile = out_.rows_from(row, rows).cols_from(column, columns);
      for (std::size_t part = 0; part < parts; ++part) {
        const std::size_t k = part * panel_inner<Value>, count = std::min(panel_inner<Value>, inner - k);
        const MatrixView<const Value> left = x.rows_from(row, rows).cols_from(k, count);
        const Write write = part == 0 ? write_ : Write::Add;
        const PackedOperand* in_layout =
            packed == nullptr ? nullptr : packed[task % across * parts + part].get();
        if (in_layout != nullptr) {
          const MatrixView<const Value> shape(nullptr, Transpose ? columns : count,
                                              Transpose ? count : columns);
          if (backend_->multiply(tile, {left}, {shape, Transpose, in_layout}, write, scale_)) continue;
        }
        Workspace& own = thread_workspace();
        own.join();  // where nothing of a caller lies in it
        const Workspace::Scope panel_scope(own);
        multiply(tile, left, panel<Value>(w_, column, columns, k, count, own), write, own);
      }
    });
  }

  void multiply(MatrixView<float> tile, MatrixView<const float> left, MatrixView<const float> right,
                Write write, Workspace&) const {
    multiply_block<false, Transpose>(tile, left, right, write, scale_, backend_);
  }
  void multiply(MatrixView<float> tile, MatrixView<const BFloat16> left, MatrixView<const BFloat16> right,
                Write write, Workspace& workspace) const {
    if (backend_->multiply(tile, {left}, {right, Transpose}, write, scale_)) return;
    const auto widen = [&](MatrixView<const BFloat16> from) {
      const MatrixView<float> to = workspace.matrix<float>(from.rows, from.cols);
      for (std::size_t i = 0; i < from.rows; ++i) {
        for (std::size_t j = 0; j < from.cols; ++j) to(i, j) = static_cast<float>(from(i, j));
      }
      return MatrixView<const float>(to);
    };
    multiply_block<false, Transpose>(tile, widen(left), widen(right), write, scale_, backend_);
  }

  /// The activations as the product takes them.
  template <class Value>
  MatrixView<const Value> operand(Workspace& workspace) const {
    if constexpr (rounds) {
      const MatrixView<Value> rounded = workspace.matrix<Value>(x_.rows, x_.cols);
      const std::size_t block = 1 + (std::size_t{1} << 14) / x_.cols;
      parallel_for(ceil_div(x_.rows, block), [&](std::size_t task) {
        const std::size_t end = std::min((task + 1) * block, x_.rows);
        for (std::size_t i = task * block; i < end; ++i) round_row(rounded.row(i), x_.row(i), x_.cols);
      });
      return rounded;
    } else {
      return x_;
    }
  }

  /// The panels in the backend's layout, where the rows of the weight are whole panels of what was packed.
  const std::unique_ptr<PackedOperand>* packed_panels(std::size_t parts) const {
    const PackedPanels* packed = w_.packed;
    if (packed == nullptr || packed->backend != backend_) return nullptr;
    if constexpr (Transpose) {
      const bool whole = w_.packed_row % panel_outer == 0 &&
                         (w_.rows % panel_outer == 0 || w_.packed_row + w_.rows == packed->rows);
      if (!whole || packed->forward.empty()) return nullptr;
      return packed->forward.data() + w_.packed_row / panel_outer * parts;
    } else {
      if (packed->backward.empty() || w_.packed_row != 0 || w_.rows != packed->rows) return nullptr;
      return packed->backward.data();
    }
  }

  MatrixView<float> out_;
  MatrixView<const float> x_;
  const W& w_;
  Write write_;
  float scale_;
  const MatmulBackend* backend_;
};

/// A product of stored bfloat16 by the backend of a device that runs kernels, for which the activations are
/// rounded first; false leaves it to the tiled kernel. The rounded values lie in memory of their own, which
/// follows the thread's stream as a backend's work does.
template <bool Transpose, class Device>
bool multiply_by_backend(MatrixView<float, Device> out, MatrixView<const float, Device> x,
                         const Weight<BFloat16, Device, BFloat16>& w, Write write, float scale) {
  const MatmulBackendOn<Device>* backend = matmul_backend<Device>();
  if (backend == nullptr || x.cols == 0 || !backend->multiplies_bfloat16()) return false;
  const Storage<BFloat16, Device> memory(x.rows * x.cols);
  const MatrixView<BFloat16, Device> rounded(memory.data(), x.rows, x.cols);
  Launcher<Device> launcher("matmul");
  run_round(launcher, rounded.bare(), x.bare());
  return backend->multiply(out, {rounded}, {w.stored(), Transpose}, write, scale);
}

template <bool Transpose, class Stored, class Device, class Products, class T>
void multiply_weight(MatrixView<T, Device> out, MatrixView<const T, Device> x,
                     const Weight<Stored, Device, Products>& w, Write write, T scale) {
  using W = Weight<Stored, Device, Products>;
  static_assert(
      std::is_same_v<T, typename W::value_type>,
      "sdlora::matmul: a weight of double meets activations of double, every other one those of float");
  constexpr bool rounds = std::is_same_v<Products, BFloat16>;
  if constexpr (W::plain && !rounds) {
    if (w.packed == nullptr || !is_host<Device>) {
      return matmul<false, Transpose, T, Device>(out, x, w.stored(), write, scale);
    }
  }
  if (!check_matmul<false, Transpose>(out, x, w)) return;
  if (share_memory<T, Device>(out, x)) throw_matmul_overlap("first");
  const auto begin = [](const auto* p) { return reinterpret_cast<std::uintptr_t>(p); };
  if (w.rows * w.cols != 0 && begin(out.data) < begin(w.row(w.rows - 1) + w.cols * sizeof(Stored)) &&
      begin(w.data) < begin(out.row(out.rows - 1) + out.cols)) {
    throw_matmul_overlap("second");
  }
  count_matmul(out.rows, out.cols, x.cols);
  if constexpr (!is_host<Device>) {
    if constexpr (rounds && std::is_same_v<Stored, BFloat16>) {
      if (multiply_by_backend<Transpose>(out, x, w, write, scale)) return;
    }
    Launcher<Device> launcher("matmul");
    const StoredValues<Stored, rounds> right(w);
    if constexpr (rounds) {
      run_matmul<false, Transpose>(launcher, out.bare(), RoundedMatrix(x.bare()), right, write, scale);
    } else {
      run_matmul<false, Transpose>(launcher, out.bare(), x.bare(), right, write, scale);
    }
  } else if constexpr (std::is_same_v<T, float>) {
    WeightProduct<Transpose, Stored, Products>(out, x, w, write, scale).run();
  }
}

}  // namespace detail

/// out = scale · x · Wᵀ, or out += that: (M, rows) of x (M, cols), a layer's forward. Both operands are
/// rounded to the weight's `product_type`; sums are floats (doubles for double). A weight whose products are
/// of the stored type gives the bits that `matmul` of its matrix gives. Errors, threads and bits are as
/// there.
template <class Stored, class Device, class Products, class T>
void matmul(MatrixView<T, Device> out, std::type_identity_t<MatrixView<const T, Device>> x,
            TransposedWeight<Stored, Device, Products> weight, Write write = Write::Overwrite,
            std::type_identity_t<T> scale = T(1)) {
  detail::multiply_weight<true, Stored, Device, Products, T>(out, x, weight.of, write, scale);
}

/// out = scale · d_y · W, or out += that: (M, cols) of d_y (M, rows), the same layer's backward.
template <class Stored, class Device, class Products, class T>
void matmul(MatrixView<T, Device> out, std::type_identity_t<MatrixView<const T, Device>> d_y,
            const Weight<Stored, Device, Products>& weight, Write write = Write::Overwrite,
            std::type_identity_t<T> scale = T(1)) {
  detail::multiply_weight<false, Stored, Device, Products, T>(out, d_y, weight, write, scale);
}

}  // namespace sdlora
