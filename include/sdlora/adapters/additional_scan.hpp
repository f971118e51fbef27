#pragma once

#include "../scan/selective/fused.hpp"
#include "../tensor/functions.hpp"
#include "../tensor/host_copy.hpp"
#include "../tensor/random.hpp"
#include "policy.hpp"
#include "scan_inputs.hpp"

#include <cmath>
#include <cstddef>

namespace sdlora {

/// What AdditionalScan leaves open.
struct AdditionalScanOptions {
  static constexpr std::string_view name = "additional_scan";

  std::size_t extra_states = 8;  ///< of each channel, where the type says dyn

  template <class Self, class Visitor>
  static constexpr void visit(Self& self, Visitor&& visit) {
    visit(Setting{.name = "extra_states",
                  .help = "of each channel, that an additional scan has",
                  .expected = "from 1 to 4096 extra states",
                  .good = [](double states) { return states >= 1.0 && states <= 4096.0; }},
          self.extra_states);
  }
};

/// Additional-scan (Yoshimura et al., arXiv 2411.03855): n more states of each channel. A is (E, n), by its
/// logarithm, and B and C are W_B·u and W_C·u, both (n, E). As states do not act on each other, they are a
/// scan of their own beside the block's, with its dt: y += silu(z) ∘ scan(u). The new logarithms begin as the
/// first n columns of A_log (in turn, where there are fewer), W_B uniform in ±1/√E, W_C as zero. Decoding
/// keeps E·n more values of a sequence in each layer. Learned rows of a prefix do not reach these states.
template <std::size_t States = dyn>
struct AdditionalScan : PolicyDefaults {
  static_assert(States > 0, "sdlora::AdditionalScan: at least 1 state; to train nothing leave the site out");

  static constexpr std::string_view name = "additional_scan";
  static constexpr bool mergeable = false;
  static constexpr bool is_static = States != dyn;
  static constexpr ScanReads reads{.u = true, .dt = true};
  using options = AdditionalScanOptions;
  static constexpr options resolved(options o, SiteInfo) {
    if (States != dyn) o.extra_states = States;
    return o;
  }
  static constexpr std::size_t count(SiteInfo site, options o) {
    return 3 * o.extra_states * site.shape.rows;
  }
  static constexpr std::size_t remembers(SiteInfo site, options o) {
    return o.extra_states * site.shape.rows;
  }

  /// What a model keeps of it at the scan (see AdapterPolicy).
  template <class T, class D = Cpu>
  class Scan {
    using View = MatrixView<const T, D>;
    using Matrix = MatrixView<T, D>;

   public:
    Scan(ParameterStore<T, D>& store, const SitePlace<T, D>& place) {
      if (!place.active) return;
      const std::size_t E = place.rows(), N = place.cols(),
                        n = options_of<AdditionalScan>(place).extra_states;
      a_log_ = store.add(place, ".A_log", E, n, {.decay = false});
      w_b_ = store.add(place, ".W_B", n, E, {.decay = true});
      w_c_ = store.add(place, ".W_C", n, E, {.decay = true});
      const HostCopy base(place.base.values());
      detail::set_each(a_log_.value, [&](std::size_t i) { return base.view()(i / n, i % n % N); });
      const RandomStream random(place.options->seed, detail::stream_of(place.name));
      const double bound = 1.0 / std::sqrt(static_cast<double>(E));
      detail::set_each(w_b_.value, [&](std::size_t i) { return bound * (2.0 * random.uniform(i) - 1.0); });
    }
    bool active() const { return static_cast<bool>(a_log_); }

    /// y (M, E) += the scan of these states.
    void add(const ScanInputs<const T, D>& in, const ScanMemory<T, D>& memory, Matrix y,
             WorkspaceOn<D>& workspace) const {
      const WorkspaceScope scope(workspace);
      const Matrix out = workspace.template matrix<T>(y.rows, y.cols);
      Fused::forward<States>(arguments(in, memory.sequences, memory.before, workspace), out, memory.after,
                             nullptr, workspace);
      assign<AssignMode::Add>(y, out);
    }

    /// Of whole sequences.
    void backward(const ScanInputs<const T, D>& in, const SequencesOn<D>& sequences, View d_y,
                  const ScanInputs<T, D>& d_in, WorkspaceOn<D>& workspace) const {
      const WorkspaceScope scope(workspace);
      const std::size_t M = d_y.rows, E = d_y.cols, n = w_b_.value.rows;
      const auto take = [&](std::size_t rows, std::size_t cols) {
        return workspace.template matrix<T>(rows, cols);
      };
      const SelectiveScanInputs<T, D> scan = arguments(in, sequences, {}, workspace);
      T* const checkpoints = take(1, Fused::checkpoint_size<D>(sequences, E, n)).data;
      Fused::forward<States>(scan, take(M, E), {}, checkpoints, workspace);
      constexpr SelectiveScanGradients wanted{
          .u = true, .dt = true, .B = true, .C = true, .A = AGradient::All, .dt_bias = true};
      SelectiveScanGradientOutputs<T, D> gradients;
      gradients.u = take(M, E);
      gradients.dt = take(M, E);
      gradients.B = take(M, n);
      gradients.C = take(M, n);
      gradients.A = take(E, n);
      gradients.dt_bias = d_in.dt_bias ? d_in.dt_bias : take(1, E);
      assign(gradients.A, 0);
      if (!d_in.dt_bias) assign(gradients.dt_bias, 0);
      Fused::backward<States, wanted>(scan, checkpoints, d_y, {}, gradients, workspace);
      // A = −exp(A_log), so ∂/∂A_log = A · ∂/∂A.
      assign<AssignMode::Add>(a_log_.gradient, scan.A * gradients.A);
      matmul(w_b_.gradient, transposed(gradients.B), in.u, Write::Add);
      matmul(w_c_.gradient, transposed(gradients.C), in.u, Write::Add);
      if (d_in.dt) assign<AssignMode::Add>(d_in.dt, gradients.dt);
      if (!d_in.u) return;
      assign<AssignMode::Add>(d_in.u, gradients.u);
      matmul(d_in.u, gradients.B, w_b_.value, Write::Add);
      matmul(d_in.u, gradients.C, w_c_.value, Write::Add);
    }

   private:
    SelectiveScanInputs<T, D> arguments(const ScanInputs<const T, D>& in, const SequencesOn<D>& sequences,
                                        View before, WorkspaceOn<D>& workspace) const {
      const std::size_t M = in.u.rows, n = w_b_.value.rows;
      const Matrix B = workspace.template matrix<T>(M, n), C = workspace.template matrix<T>(M, n);
      const Matrix A = workspace.template matrix<T>(a_log_.value.rows, n);
      matmul(B, in.u, transposed(w_b_.value));
      matmul(C, in.u, transposed(w_c_.value));
      assign(A, -exp(a_log_.value));
      SelectiveScanInputs<T, D> scan;
      scan.sequences = sequences;
      scan.u = in.u;
      scan.dt = in.dt;
      scan.B = B;
      scan.C = C;
      scan.A = A;
      scan.dt_bias = in.dt_bias;
      scan.initial_state = before;
      return scan;
    }

    Learned<T, D> a_log_, w_b_, w_c_;
  };
};

static_assert(AdapterPolicy<AdditionalScan<8>> && AdapterPolicy<AdditionalScan<>>);

}  // namespace sdlora
