#include <sdlora/scan/selective/interface.hpp>

#include <doctest/doctest.h>

#include <string_view>

using namespace sdlora;

namespace {

struct Complete {
  static constexpr std::string_view name = "complete";
  template <class Device = Cpu>
  static std::size_t checkpoint_size(const Sequences&, std::size_t E, std::size_t N) {
    return E * N;
  }
  template <std::size_t N, class T>
  static void forward(const SelectiveScanInputs<T>&, MatrixView<T>, MatrixView<T>, T*, Workspace&) {}
  template <std::size_t N, SelectiveScanGradients Wanted, class T>
  static void backward(const SelectiveScanInputs<T>&, const T*, MatrixView<const T>, MatrixView<const T>,
                       const SelectiveScanGradientOutputs<T>&, Workspace&) {}
};

struct WithState : Complete {
  int chunk = 24;
};

struct ForwardOnly {
  static constexpr std::string_view name = "forward only";
  template <class Device = Cpu>
  static std::size_t checkpoint_size(const Sequences&, std::size_t, std::size_t) {
    return 0;
  }
  template <std::size_t N, class T>
  static void forward(const SelectiveScanInputs<T>&, MatrixView<T>, MatrixView<T>, T*, Workspace&) {}
};

// Its gradients cannot be chosen.
struct AllGradients : ForwardOnly {
  template <std::size_t N, class T>
  static void backward(const SelectiveScanInputs<T>&, const T*, MatrixView<const T>, MatrixView<const T>,
                       const SelectiveScanGradientOutputs<T>&, Workspace&) {}
};

struct Nameless : ForwardOnly {
  static constexpr int name = 0;
  template <std::size_t N, SelectiveScanGradients Wanted, class T>
  static void backward(const SelectiveScanInputs<T>&, const T*, MatrixView<const T>, MatrixView<const T>,
                       const SelectiveScanGradientOutputs<T>&, Workspace&) {}
};

}  // namespace

TEST_CASE("SelectiveScan: an empty type with a name, checkpoints, and both passes") {
  CHECK(SelectiveScan<Complete>);
  CHECK_FALSE(SelectiveScan<WithState>);
  CHECK_FALSE(SelectiveScan<ForwardOnly>);
  CHECK_FALSE(SelectiveScan<AllGradients>);
  CHECK_FALSE(SelectiveScan<Nameless>);
  CHECK_FALSE(SelectiveScan<int>);
}
