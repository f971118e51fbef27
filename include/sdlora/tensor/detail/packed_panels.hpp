#pragma once

#include "../matmul_backend.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace sdlora::detail {

/// Places of one panel of a weight along the extent that it shares with a product's output.
inline constexpr std::size_t panel_outer = 256;
/// And along the inner extent: a panel of floats fits into a core's cache, and one of bfloat16 holds all of
/// it in most models.
template <class Value>
inline constexpr std::size_t panel_inner = sizeof(Value) == 2 ? 4096 : 1024;

/// A weight's panels in a backend's layout, [outer][inner]; empty where a direction is not packed.
struct PackedPanels {
  const MatmulBackend* backend = nullptr;
  std::size_t rows = 0;  ///< of the weight
  std::vector<std::unique_ptr<PackedOperand>> forward;
  std::vector<std::unique_ptr<PackedOperand>> backward;
};

}  // namespace sdlora::detail
