#pragma once

#include "../adapters/policy.hpp"
#include "../tensor/evaluate.hpp"
#include "../tensor/frozen_weight.hpp"
#include "../tensor/matmul.hpp"
#include "../tensor/workspace.hpp"

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
  using View = MatrixView<const T, D>;
  using Matrix = MatrixView<T, D>;

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

  /// Columns of what `forward` keeps for those parts that change the output.
  std::size_t kept_columns() const {
    std::size_t columns = 0;
    each([&]<class State>(const State&, std::size_t, std::size_t count) {
      if constexpr (changes_output<State>) columns += count;
    });
    return columns;
  }

  /// y (M, out) = x (M, in)·Wᵀ, adapters included. `kept` (M, kept_columns()) is filled for backward unless
  /// it is empty.
  void forward(View x, Matrix y, Matrix kept, const Pass& pass, WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    const Products products = gather(x, pass, workspace);
    for (std::size_t i = 0; i < products.count; ++i) {
      matmul(y.cols_from(products.first[i], products.weights[i].rows), products.inputs[i],
             transposed(products.weights[i]));
    }
    std::size_t next = 0, column = 0;
    each([&]<class State>(const State& part, std::size_t first, std::size_t count) {
      const View input = products.of_part[next++];
      const Matrix output = y.cols_from(first, count);
      if constexpr (changes_output<State>) {
        part.forward(input, output, kept ? kept.cols_from(column, count) : Matrix{}, pass, workspace);
        column += count;
      } else if constexpr (requires { &State::forward; }) {
        part.forward(input, output, pass, workspace);
      }
      if constexpr (adds_beside<State>) {
        if (part.active()) part.beside(x, output, pass, workspace);
      }
    });
  }

  /// From x (M, in), d_y (M, out) and what `forward` kept: adds to the gradients of what learns. d_x (M, in)
  /// is written, or added to, as `write` says, unless it is empty.
  void backward(View x, View d_y, View kept, Matrix d_x, Write write, const Pass& pass,
                WorkspaceOn<D>& workspace) const {
    const WorkspaceScope scope(workspace);
    const View d = of_products(d_y, kept, pass, workspace);
    const Products products = gather(x, pass, workspace);
    if (d_x) {
      bool written = write == Write::Add;
      for (std::size_t i = 0; i < products.count; ++i) {
        if (products.changed[i]) continue;
        matmul(d_x, d.cols_from(products.first[i], products.weights[i].rows), products.weights[i],
               written ? Write::Add : Write::Overwrite);
        written = true;
      }
      if (!written) assign(d_x, 0);
    }
    std::size_t next = 0;
    each([&]<class State>(const State& part, std::size_t first, std::size_t count) {
      const View input = products.of_part[next++];
      const View d_part = d.cols_from(first, count);
      Matrix d_input = d_x;
      if constexpr (changes_input<State>) {
        if (part.active()) {
          d_input = workspace.template matrix<T>(x.rows, x.cols);
          matmul(d_input, d_part, FrozenWeight<T, D>(part.weight()));
        }
      }
      if constexpr (requires { &State::backward; }) part.backward(input, d_part, d_input, pass, workspace);
      if constexpr (changes_input<State>) {
        if (part.active()) part.input_backward(x, d_input, d_x, pass, workspace);
      }
      if constexpr (adds_beside<State>) {
        if (part.active()) part.beside_backward(x, d_y.cols_from(first, count), d_x, pass, workspace);
      }
    });
  }

  /// target (out, in) += sign · the learned change of every part.
  void add_change(MatrixView<T, D> target, T sign) const {
    each([&](const auto& part, std::size_t first, std::size_t count) {
      part.add_change(target.rows_from(first, count), sign);
    });
  }

 private:
  /// The products of a pass: weights of neighbours that lie together in memory and read the same input,
  /// joined.
  struct Products {
    std::array<FrozenWeight<T, D>, parts> weights{};
    std::array<View, parts> inputs{};
    std::array<std::size_t, parts> first{};
    std::array<bool, parts> changed{};  // a part of its own input
    std::array<View, parts> of_part{};  // the input of each part
    std::size_t count = 0;
  };

  template <std::size_t... I>
  FusedLinear(ParameterStore<T, D>& store, const std::array<SitePlace<T, D>, parts>& places,
              std::index_sequence<I...>)
      : parts_{States(store, places[I])...} {
    rows_[0] = 0;
    for (std::size_t i = 0; i < parts; ++i) rows_[i + 1] = rows_[i] + places[i].rows();
  }

  template <class Function>
  void each(const Function& f) const {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f(std::get<I>(parts_), rows_[I], rows_[I + 1] - rows_[I]), ...);
    }(std::make_index_sequence<parts>{});
  }

  Products gather(View x, const Pass& pass, WorkspaceOn<D>& workspace) const {
    Products result;
    std::size_t next = 0;
    each([&]<class State>(const State& part, std::size_t first, std::size_t) {
      View input = x;
      bool changed = false;
      if constexpr (changes_input<State>) {
        changed = part.active();
        if (changed) input = part.input(x, pass, workspace);
      }
      result.of_part[next++] = input;
      const FrozenWeight<T, D> weight = part.weight();
      if (result.count > 0 && !changed && !result.changed[result.count - 1]) {
        FrozenWeight<T, D>& last = result.weights[result.count - 1];
        if (last.followed_by(weight)) {
          last.rows += weight.rows;
          return;
        }
      }
      result.weights[result.count] = weight;
      result.inputs[result.count] = input;
      result.first[result.count] = first;
      result.changed[result.count] = changed;
      ++result.count;
    });
    return result;
  }

  /// The gradient of the products, from that of the outputs: another one where a part changes its output.
  View of_products(View d_y, View kept, const Pass& pass, WorkspaceOn<D>& workspace) const {
    if constexpr (!(changes_output<States> || ...)) {
      return d_y;
    } else {
      const Matrix d = workspace.template matrix<T>(d_y.rows, d_y.cols);
      assign(d, d_y);
      std::size_t column = 0;
      each([&]<class State>(const State& part, std::size_t first, std::size_t count) {
        if constexpr (changes_output<State>) {
          part.output_backward(kept.cols_from(column, count), d.cols_from(first, count), pass, workspace);
          column += count;
        }
      });
      return d;
    }
  }

  std::tuple<States...> parts_;
  std::array<std::size_t, parts + 1> rows_{};
};

}  // namespace sdlora
