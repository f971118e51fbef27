#include <sdlora/layers/mamba/weights.hpp>

#include <type_traits>

using namespace sdlora;

namespace {

static_assert(std::is_trivially_copyable_v<MambaWeights<const float>>);
static_assert(std::is_same_v<decltype(MambaWeights<const double>{}.A_log), MatrixView<const double>>);

// Views are given by their order, as Base does.
constexpr float values[10] = {};
constexpr MatrixView<const float> at(std::size_t i) { return {values + i, 1, 1}; }
constexpr MambaWeights<const float> weights{at(0), at(1), at(2), at(3), at(4),
                                            at(5), at(6), at(7), at(8), at(9)};
static_assert(weights.norm.data == values && weights.in_proj.data == values + 1);
static_assert(weights.conv.data == values + 2 && weights.conv_bias.data == values + 3);
static_assert(weights.x_proj.data == values + 4 && weights.dt_proj.data == values + 5);
static_assert(weights.dt_bias.data == values + 6 && weights.A_log.data == values + 7);
static_assert(weights.D.data == values + 8 && weights.out_proj.data == values + 9);

}  // namespace
