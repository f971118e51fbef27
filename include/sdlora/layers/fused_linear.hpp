#pragma once

#include "../adapters/policy.hpp"
#include "../tensor/matmul.hpp"

#include <array>
#include <cstddef>
#include <tuple>
#include <utility>

namespace sdlora {

/// A linear layer y = x·Wᵀ whose weight W (out, in) holds the rows of one or more logical sites, one
/// after another, as checkpoints store in_proj and x_proj. `States` are the policies' Linear states.
/// Frozen sites cost one product for all; weights that learn as a whole are used in place of the
/// base's, still in one product where they lie together.
template <class T, class D, class... States>
class FusedLinear {
 public:
  static constexpr std::size_t parts = sizeof...(States);

  /// `places` tell each part its name, base rows and shape, in order.
  FusedLinear(ParameterStore<T, D>& store, const std::array<SitePlace<T, D>, parts>& places)
      : FusedLinear(store, places, std::make_index_sequence<parts>{}) {}

  /// Outputs of all parts.
  std::size_t rows() const { return rows_.back(); }
  /// Whether anything learns here.
  bool active() const {
    return std::apply([](const auto&... part) { return (part.active() || ...); }, parts_);
  }

  /// The state of part I.
  template <std::size_t I>
  const auto& part() const {
    return std::get<I>(parts_);
  }

  /// y (M, out) = x (M, in)·Wᵀ, adapters included.
  void forward(MatrixView<const T, D> x, MatrixView<T, D> y, const Pass& pass,
               WorkspaceOn<D>& workspace) const {
    const Weights weights = gather();
    for (std::size_t i = 0; i < weights.count; ++i) {
      matmul(y.cols_from(weights.first[i], weights.views[i].rows), x, transposed(weights.views[i]));
    }
    each([&](const auto& part, std::size_t first, std::size_t count) {
      part.forward(x, y.cols_from(first, count), pass, workspace);
    });
  }

  /// From x (M, in) and d_y (M, out): adds to the gradients of what learns. d_x (M, in) is written, or
  /// added to, as `write` says, unless it is empty.
  void backward(MatrixView<const T, D> x, MatrixView<const T, D> d_y, MatrixView<T, D> d_x, Write write,
                const Pass& pass, WorkspaceOn<D>& workspace) const {
    if (d_x) {
      const Weights weights = gather();
      for (std::size_t i = 0; i < weights.count; ++i) {
        matmul(d_x, d_y.cols_from(weights.first[i], weights.views[i].rows), weights.views[i],
               i == 0 ? write : Write::Add);
      }
    }
    each([&](const auto& part, std::size_t first, std::size_t count) {
      part.backward(x, d_y.cols_from(first, count), d_x, pass, workspace);
    });
  }

  /// target (out, in) += sign · the learned change of every part.
  void add_change(MatrixView<T, D> target, T sign) const {
    each([&](const auto& part, std::size_t first, std::size_t count) {
      part.add_change(target.rows_from(first, count), sign);
    });
  }

 private:
  /// Weights that lie together in memory, joined.
  struct Weights {
    std::array<MatrixView<const T, D>, parts> views{};
    std::array<std::size_t, parts> first{};
    std::size_t count = 0;
  };

  template <std::size_t... I>
  FusedLinear(ParameterStore<T, D>& store, const std::array<SitePlace<T, D>, parts>& places,
              std::index_sequence<I...>)
      : parts_{States(store, places[I])...} {
    rows_[0] = 0;
    for (std::size_t i = 0; i < parts; ++i) rows_[i + 1] = rows_[i] + places[i].shape.rows;
  }

  template <class Function>
  void each(const Function& f) const {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f(std::get<I>(parts_), rows_[I], rows_[I + 1] - rows_[I]), ...);
    }(std::make_index_sequence<parts>{});
  }

  Weights gather() const {
    Weights result;
    each([&](const auto& part, std::size_t first, std::size_t) {
      const MatrixView<const T, D> weight = part.weight();
      if (result.count > 0) {
        MatrixView<const T, D>& last = result.views[result.count - 1];
        if (last.stride == weight.stride && last.row(last.rows) == weight.data) {
          last.rows += weight.rows;
          return;
        }
      }
      result.views[result.count] = weight;
      result.first[result.count] = first;
      ++result.count;
    });
    return result;
  }

  std::tuple<States...> parts_;
  std::array<std::size_t, parts + 1> rows_{};
};

}  // namespace sdlora
