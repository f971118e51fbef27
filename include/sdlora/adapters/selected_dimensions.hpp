#pragma once

#include "../error.hpp"
#include "../tensor/extents.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/indexed.hpp"
#include "detail/index_list.hpp"
#include "policy.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

/// What SelectedDimensions leaves open.
struct SelectedOptions {
  static constexpr std::string_view name = "selected";

  std::size_t channels = 0;  ///< of each layer, where the type says dyn; 0 means 1 % of them
  std::size_t states = 4;    ///< of each chosen channel, where the type says dyn

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    visit(Setting{.name = "channels",
                  .help = "selected channels of each layer; 0: 1 % of them",
                  .expected = "a number of channels",
                  .good = detail::is_count_or_zero},
          self.channels);
    visit(Setting{.name = "states",
                  .help = "selected states of each channel",
                  .expected = "at least 1 state of each selected channel",
                  .good = detail::is_count},
          self.states);
  }
};

namespace detail {
/// 1 % of the channels as the published code rounds it, at least 1.
constexpr std::size_t one_percent(std::size_t channels) {
  const std::size_t found = channels - (channels * 99 + 50) / 100;
  return found == 0 ? 1 : found;
}
}  // namespace detail

/// Selective dimension tuning (Galim et al., arXiv 2410.09016, section 5): only chosen channels of
/// the SSM learn. On A_log, only chosen states of each; on x_proj_B and x_proj_C, only the chosen
/// channels' columns, all states. Work, gradients and optimizer state are in proportion to the
/// selection: deltas are stored compactly, begin at zero and act on gathered columns.
/// At an S4D layer they sit at log_A_real, A_imag and C (StateSite), chosen states of each.
/// Which dimensions they are comes from a Selection; one channel set serves all sites.
template <std::size_t Channels = dyn, std::size_t States = dyn>
struct SelectedDimensions : PolicyDefaults {
  static_assert(
      Channels > 0 && States > 0,
      "sdlora::SelectedDimensions: choose at least 1 channel and 1 state; to train nothing use Frozen");

  static constexpr std::string_view name = "selected_dimensions";
  static constexpr std::size_t selected_channels = Channels;
  static constexpr bool is_static = Channels != dyn;  ///< on a projection, where all states learn
  template <class S>
  static constexpr bool is_static_at = is_static && (States != dyn || S::kind == SiteKind::Linear);
  template <class S>
  static constexpr bool sits_at = std::is_same_v<S, site::ALog> || std::is_same_v<S, site::XProjB> ||
                                  std::is_same_v<S, site::XProjC> || StateSite<S>;
  using options = SelectedOptions;
  static constexpr options resolved(options o, SiteInfo site) {
    if (Channels != dyn) o.channels = Channels;
    if (States != dyn) o.states = States;
    const bool projection = site.kind == SiteKind::Linear;  // (N, E), where A_log is (E, N)
    if (o.channels == 0) o.channels = detail::one_percent(projection ? site.shape.cols : site.shape.rows);
    return o;
  }
  /// On a projection to the states, (N, E), whole columns; on A_log, (E, N), and other sites with a row for
  /// each channel the chosen states.
  static constexpr std::size_t count(SiteInfo site, options o) {
    return o.channels * (site.kind == SiteKind::Linear ? site.shape.rows : o.states * site.values_per_state);
  }

  /// A projection (N, E) whose chosen columns learn.
  template <class T, class D = Cpu>
  class Linear {
    using View = MatrixView<const T, D>;

   public:
    Linear(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base) {
      if (!place.active) return;
      const std::size_t count = options_of<SelectedDimensions>(place).channels;
      require_channels(place, count);
      channels_ = detail::IndexList<D>(place.selection->channels);
      delta_ = store.add(place, ".delta", place.rows(), count);
    }

    bool active() const { return static_cast<bool>(delta_); }
    FrozenWeight<T, D> weight() const { return base_; }

    /// y (M, N) += x's chosen columns · deltaᵀ, x (M, E).
    void forward(View x, MatrixView<T, D> y, const Pass&, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      matmul(y, gathered(x, workspace), transposed(delta_.value), Write::Add);
    }

    /// Adds to the gradient of the deltas; and to d_x's chosen columns unless d_x (M, E) is empty.
    void backward(View x, View d_y, MatrixView<T, D> d_x, const Pass&, WorkspaceOn<D>& workspace) const {
      if (!active()) return;
      const WorkspaceScope scope(workspace);
      const View columns = gathered(x, workspace);  // (M, k)
      matmul(delta_.gradient, transposed(d_y), columns, Write::Add);
      if (!d_x) return;
      const MatrixView<T, D> d_columns = workspace.template matrix<T>(columns.rows, columns.cols);
      matmul(d_columns, d_y, delta_.value);
      assign<AssignMode::Add>(columns_at(d_x, channels_.row()), d_columns);
    }

    /// target (N, E) += sign · the deltas at the chosen columns.
    void add_change(MatrixView<T, D> target, T sign) const {
      if (active()) assign<AssignMode::Add>(columns_at(target, channels_.row()), sign * delta_.value);
    }

   private:
    View gathered(View x, WorkspaceOn<D>& workspace) const {
      const MatrixView<T, D> columns = workspace.template matrix<T>(x.rows, channels_.row().cols);
      assign(columns, columns_at(x, channels_.row()));
      return columns;
    }

    FrozenWeight<T, D> base_;
    Learned<T, D> delta_;
    detail::IndexList<D> channels_;
  };

  /// A_log (E, N) of which chosen states of chosen channels learn.
  template <class T, class D = Cpu>
  class Selected {
    using View = MatrixView<const T, D>;

   public:
    Selected(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base.values()) {
      if (!place.active) return;
      const std::size_t per = require_selection(place);
      const LayerSelection& chosen = *place.selection;
      channels_.assign(chosen.channels.begin(), chosen.channels.end());
      std::vector<std::uint32_t> in_all, in_chosen;
      for (std::size_t i = 0; i < chosen.states.size(); ++i) {
        const auto N = static_cast<std::uint32_t>(place.cols());
        in_all.push_back(chosen.channels[i / per] * N + chosen.states[i]);
        in_chosen.push_back(static_cast<std::uint32_t>(i / per) * N + chosen.states[i]);
      }
      in_all_ = detail::IndexList<D>(in_all);
      in_chosen_ = detail::IndexList<D>(in_chosen);
      delta_ = store.add(place, ".delta", channels_.size(), per);
    }

    bool active() const { return static_cast<bool>(delta_); }
    /// In ascending order; the rows of `add_gradient`'s first argument.
    std::span<const std::size_t> channels_chosen() const { return channels_; }

    /// A (E, N) = −exp(A_log + the learned change), given −exp(A_log) of the base.
    void effective_A(View base_A, MatrixView<T, D> A) const {
      sdlora::assign(A, base_A);
      if (!active()) return;
      sdlora::assign(elements_at(A, numbers(in_all_)),
                     -exp(elements_at(base_, numbers(in_all_)) + delta_.value));
    }

    /// Adds to the gradient of the change, from that of A (k, N), a row for each chosen channel, and
    /// A (E, N) = −exp(A_log) itself: ∂/∂A_log = A · ∂/∂A.
    void add_gradient(View d_A, View A) const {
      if (!active()) return;
      sdlora::assign<AssignMode::Add>(
          delta_.gradient, elements_at(A, numbers(in_all_)) * elements_at(d_A, numbers(in_chosen_)));
    }

    /// target (E, N) += sign · the learned change.
    void add_change(MatrixView<T, D> target, T sign) const {
      if (active())
        sdlora::assign<AssignMode::Add>(elements_at(target, numbers(in_all_)), sign * delta_.value);
    }

   private:
    MatrixView<const std::uint32_t, D> numbers(const detail::IndexList<D>& list) const {
      return {list.row().data, delta_.value.rows, delta_.value.cols};
    }

    View base_;
    Learned<T, D> delta_;
    std::vector<std::size_t> channels_;
    detail::IndexList<D> in_all_, in_chosen_;  // of each learned value, in A and in the chosen rows of A
  };

  /// A StateSite (channels, columns of all states): base + what is learned at chosen states of chosen
  /// channels, formed in each pass.
  template <class T, class D = Cpu>
  class Element {
   public:
    Element(ParameterStore<T, D>& store, const SitePlace<T, D>& place) : base_(place.base.values()) {
      if (!place.active) return;
      const std::size_t per = require_selection(place), columns = place.site.values_per_state;
      const LayerSelection& chosen = *place.selection;
      std::vector<std::uint32_t> elements;
      for (std::size_t i = 0; i < chosen.states.size(); ++i) {
        for (std::size_t k = 0; k < columns; ++k) {
          elements.push_back(static_cast<std::uint32_t>(chosen.channels[i / per] * place.cols() +
                                                        chosen.states[i] * columns + k));
        }
      }
      elements_ = detail::IndexList<D>(elements);
      delta_ = store.add(place, ".delta", chosen.channels.size(), per * columns);
    }

    bool active() const { return static_cast<bool>(delta_); }
    MatrixView<const T, D> values(WorkspaceOn<D>& workspace) const {
      if (!active()) return base_;
      const MatrixView<T, D> values = workspace.template matrix<T>(base_.rows, base_.cols);
      assign(values, base_);
      add_change(values, T(1));
      return values;
    }
    void add_gradient(MatrixView<const T, D> d_values, WorkspaceOn<D>&) const {
      assign<AssignMode::Add>(delta_.gradient, elements_at(d_values, numbers()));
    }
    /// target += sign · the learned change.
    void add_change(MatrixView<T, D> target, T sign) const {
      if (active()) assign<AssignMode::Add>(elements_at(target, numbers()), sign * delta_.value);
    }

   private:
    MatrixView<const std::uint32_t, D> numbers() const {
      return {elements_.row().data, delta_.value.rows, delta_.value.cols};
    }

    MatrixView<const T, D> base_;
    Learned<T, D> delta_;
    detail::IndexList<D> elements_;  // of each learned value, in the site's values
  };

 private:
  /// The number of states of each channel. Throws ArgumentError where the selection is not the placement's.
  template <class T, class D>
  static std::size_t require_selection(const SitePlace<T, D>& place) {
    const options o = options_of<SelectedDimensions>(place);
    require_channels(place, o.channels);
    if (place.selection->states_per_channel() != o.states) {
      throw ArgumentError(place.name + ": expected a selection of " + std::to_string(o.states) +
                          " states per channel as the placement says, found " +
                          std::to_string(place.selection->states_per_channel()) +
                          "; make the selection with select_dimensions for this placement");
    }
    return o.states;
  }
  template <class T, class D>
  static void require_channels(const SitePlace<T, D>& place, std::size_t count) {
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
