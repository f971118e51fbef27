#include <sdlora/scan/selective/fused.hpp>

#include <doctest/doctest.h>

#include <vector>

#include "scan_types.hpp"

using namespace sdlora;

static_assert(SelectiveScan<Fused> && SelectiveScan<Fused, Emulated> && SelectiveScan<Fused, Cuda>);

namespace {

// The calls that Fused stands for.
struct Calls {
  static constexpr std::string_view name = "calls";
  template <class Device = Cpu>
  static std::size_t checkpoint_size(const Sequences& sequences, std::size_t E, std::size_t N) {
    return selective_scan_checkpoint_size(sequences, E, N);
  }
  template <std::size_t N, class T>
  static void forward(const SelectiveScanInputs<T>& in, MatrixView<T> out, MatrixView<T> final_state,
                      T* checkpoints, Workspace& workspace) {
    selective_scan_forward<N>(in, out, final_state, checkpoints, workspace);
  }
  template <std::size_t N, SelectiveScanGradients Wanted, class T>
  static void backward(const SelectiveScanInputs<T>& in, const T* checkpoints, MatrixView<const T> d_out,
                       MatrixView<const T> d_final_state, const SelectiveScanGradientOutputs<T>& gradients,
                       Workspace& workspace) {
    selective_scan_backward<N, Wanted>(in, checkpoints, d_out, d_final_state, gradients, workspace);
  }
};

constexpr SelectiveScanGradients all = SelectiveScanGradients::all();

}  // namespace

TEST_CASE_TEMPLATE("Fused: the bits of the calls", T, float, double) {
  const RandomScan<T> p({31, 0, 1, 50}, 21, 5);
  CHECK(results_of<Fused, dyn, all>(p) == results_of<Calls, dyn, all>(p));
  CHECK(results_of<Fused, 5, all>(p) == results_of<Calls, 5, all>(p));
  constexpr SelectiveScanGradients some{.dt = true, .C = true, .A = AGradient::SelectedChannels};
  CHECK(results_of<Fused, 5, some>(p, {0, 7, 20}) == results_of<Calls, 5, some>(p, {0, 7, 20}));
}

TEST_CASE("Fused: the reference's values") {
  const RandomScan<double> p({31, 0, 1, 50}, 21, 5);
  CHECK(worst(results_of<Fused, 5, all>(p), reference_results<all>(p)) < 1e-12);
}

TEST_CASE("Fused: keeps a state for every 24 rows of a sequence") {
  const std::vector<std::size_t> offsets{0, 24, 24, 49};
  CHECK(Fused::checkpoint_size({offsets}, 16, 4) == 3 * 16 * 4);
}
