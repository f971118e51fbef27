#pragma once

#include "../error.hpp"
#include "../tensor/extents.hpp"
#include "policy.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

/// Selective dimension tuning (Galim et al., arXiv 2410.09016, section 5): only chosen channels of
/// the SSM learn. On A_log, only chosen states of each; on x_proj_B and x_proj_C, only the chosen
/// channels' columns, all states. Work, gradients and optimizer state are in proportion to the
/// selection: deltas are stored compactly, begin at zero and act on gathered columns.
/// Which dimensions they are comes from a Selection; one channel set serves the three sites.
template <std::size_t Channels = dyn, std::size_t States = dyn>
struct SelectedDimensions {
  static_assert(
      Channels > 0 && States > 0,
      "sdlora::SelectedDimensions: choose at least 1 channel and 1 state; to train nothing use Frozen");

  static constexpr std::string_view name = "selected_dimensions";
  static constexpr bool learns = true;
  static constexpr bool mergeable = true;
  static constexpr bool is_static = Channels != dyn;                            ///< on a projection
  static constexpr bool is_static_selected = Channels != dyn && States != dyn;  ///< on A_log
  static constexpr std::size_t channels(AdapterSizes sizes) {
    return Channels == dyn ? sizes.channels : Channels;
  }
  static constexpr std::size_t states(AdapterSizes sizes) { return States == dyn ? sizes.states : States; }

  /// On a projection to the states, (N, E): whole columns. A_log counts by `count_selected`.
  static constexpr std::size_t count(SiteShape shape, AdapterSizes sizes) {
    return shape.rows * channels(sizes);
  }
  static constexpr std::size_t count_selected(AdapterSizes sizes) { return channels(sizes) * states(sizes); }

  /// A projection (N, E) whose chosen columns learn.
  template <class T>
  class Linear {
   public:
    Linear(ParameterStore<T>& store, const SitePlace<T>& place) : base_(place.base) {
      if (!place.active) return;
      const std::size_t count = channels(place.sizes);
      require_channels(place, count);
      channels_ = place.selection->channels;
      delta_ = store.add(place, ".delta", place.shape.rows, count);
    }

    bool active() const { return static_cast<bool>(delta_); }
    MatrixView<const T> weight() const { return base_; }

    /// y (M, N) += x's chosen columns · deltaᵀ, x (M, E).
    void forward(MatrixView<const T> x, MatrixView<T> y, const Pass&, Workspace& workspace) const {
      if (!active()) return;
      const Workspace::Scope scope(workspace);
      matmul(y, gathered(x, workspace), transposed(delta_.value), Write::Add);
    }

    /// Adds to the gradient of the deltas; and to d_x's chosen columns unless d_x (M, E) is empty.
    void backward(MatrixView<const T> x, MatrixView<const T> d_y, MatrixView<T> d_x, const Pass&,
                  Workspace& workspace) const {
      if (!active()) return;
      const Workspace::Scope scope(workspace);
      const MatrixView<const T> columns = gathered(x, workspace);  // (M, k)
      matmul(delta_.gradient, transposed(d_y), columns, Write::Add);
      if (!d_x) return;
      const MatrixView<T> d_columns = workspace.matrix<T>(columns.rows, columns.cols);
      matmul(d_columns, d_y, delta_.value);
      for (std::size_t i = 0; i < d_x.rows; ++i) {
        for (std::size_t k = 0; k < channels_.size(); ++k) d_x(i, channels_[k]) += d_columns(i, k);
      }
    }

    /// target (N, E) += sign · the deltas at the chosen columns.
    void add_change(MatrixView<T> target, T sign) const {
      if (!active()) return;
      for (std::size_t i = 0; i < target.rows; ++i) {
        for (std::size_t k = 0; k < channels_.size(); ++k)
          target(i, channels_[k]) += sign * delta_.value(i, k);
      }
    }

   private:
    MatrixView<const T> gathered(MatrixView<const T> x, Workspace& workspace) const {
      const MatrixView<T> columns = workspace.matrix<T>(x.rows, channels_.size());
      for (std::size_t i = 0; i < x.rows; ++i) {
        for (std::size_t k = 0; k < channels_.size(); ++k) columns(i, k) = x(i, channels_[k]);
      }
      return columns;
    }

    MatrixView<const T> base_;
    Learned<T> delta_;
    std::vector<std::uint32_t> channels_;
  };

  /// A_log (E, N) of which chosen states of chosen channels learn.
  template <class T>
  class Selected {
   public:
    Selected(ParameterStore<T>& store, const SitePlace<T>& place) {
      if (!place.active) return;
      require_channels(place, channels(place.sizes));
      const std::size_t per = states(place.sizes);
      if (place.selection->states_per_channel() != per) {
        throw ArgumentError(place.name + ": expected a selection of " + std::to_string(per) +
                            " states per channel as the placement says, found " +
                            std::to_string(place.selection->states_per_channel()) +
                            "; make the selection with select_dimensions for this placement");
      }
      for (const std::uint32_t c : place.selection->channels) channels_.push_back(c);
      states_ = place.selection->states;
      delta_ = store.add(place, ".delta", channels_.size(), per);
    }

    bool active() const { return static_cast<bool>(delta_); }
    /// In ascending order; the rows of `add_gradient`'s argument.
    std::span<const std::size_t> channels_chosen() const { return channels_; }

    /// target (E, N) += sign · the learned change.
    void add_change(MatrixView<T> target, T sign) const {
      for (std::size_t c = 0; c < channels_.size(); ++c) {
        for (std::size_t s = 0; s < delta_.value.cols; ++s) {
          target(channels_[c], states_[c * delta_.value.cols + s]) += sign * delta_.value(c, s);
        }
      }
    }

    /// Adds the chosen entries of `gradient` (k, N), a row per chosen channel.
    void add_gradient(MatrixView<const T> gradient) const {
      for (std::size_t c = 0; c < channels_.size(); ++c) {
        for (std::size_t s = 0; s < delta_.value.cols; ++s) {
          delta_.gradient(c, s) += gradient(c, states_[c * delta_.value.cols + s]);
        }
      }
    }

   private:
    Learned<T> delta_;
    std::vector<std::size_t> channels_;
    std::vector<std::uint32_t> states_;
  };

 private:
  template <class T>
  static void require_channels(const SitePlace<T>& place, std::size_t count) {
    const std::size_t found = place.selection == nullptr ? 0 : place.selection->channels.size();
    if (found != count) {
      throw ArgumentError(place.name + ": expected a selection of " + std::to_string(count) +
                          " channels as the placement says, found " + std::to_string(found) +
                          "; pass the model a Selection made by select_dimensions for this placement");
    }
  }
};

static_assert(AdapterPolicy<SelectedDimensions<15, 4>> && AdapterPolicy<SelectedDimensions<>>);

}  // namespace sdlora
