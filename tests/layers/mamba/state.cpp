#include <sdlora/layers/mamba/state.hpp>

#include <type_traits>

using namespace sdlora;

namespace {

static_assert(std::is_trivially_copyable_v<BlockState<float>> &&
              std::is_trivially_copyable_v<BlockActivations<double>>);
static_assert(
    std::is_same_v<decltype(BlockState<const float, Emulated>{}.h), MatrixView<const float, Emulated>>);
static_assert(std::is_same_v<decltype(BlockActivations<float, Emulated>{}.xz), MatrixView<float, Emulated>>);

// A state that is not given is absent, which is how forward knows that it starts at the beginning.
static_assert(!BlockState<float>{}.window && !BlockState<float>{}.h);
// What is not kept is absent, which is how forward knows that it is to find room itself.
constexpr BlockActivations<float> nothing;
static_assert(!nothing.x && !nothing.xz && !nothing.u && !nothing.x_dbl && !nothing.dt && !nothing.y);
static_assert(nothing.checkpoints == nullptr);

// Views are given by their order: the window, then the scan's state.
constexpr float values[2] = {};
constexpr BlockState<const float> state{{values, 1, 1}, {values + 1, 1, 1}};
static_assert(state.window.data == values && state.h.data == values + 1);

}  // namespace
