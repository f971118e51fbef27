#pragma once

#include "../../tensor/device.hpp"
#include "../../tensor/matrix_view.hpp"

#include <cstdint>
#include <span>

namespace sdlora::detail {

/// Indices in the memory of a device, of which a state is to last.
template <class D>
class IndexList {
 public:
  IndexList() = default;
  explicit IndexList(std::span<const std::uint32_t> indices) : memory_(indices.size()) {
    Storage<std::uint32_t, D>::write(memory_.data(), indices.data(), indices.size());
  }
  /// (1, count).
  MatrixView<const std::uint32_t, D> row() const { return {memory_.data(), 1, memory_.capacity()}; }

 private:
  Storage<std::uint32_t, D> memory_;
};

}  // namespace sdlora::detail
