#pragma once

#include "detail/packed_panels.hpp"
#include "extents.hpp"
#include "matmul_backend.hpp"
#include "weight.hpp"
#include "weight_matmul.hpp"
#include "workspace.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sdlora {

/// Which products of a weight read it in the backend's own layout.
enum class Packing {
  None,     ///< none: the weight is read where it lies
  Forward,  ///< x · Wᵀ
  Both      ///< and d_y · W
};

/// A weight of the host with copies in the layout of the backend in use, made once. `weight()` reads the
/// weight through them while that backend is in use, in blocks of rows too where these are whole panels
/// (multiples of 256). Each direction takes about as much memory as the weight has in the type of its
/// products. A backend without layouts of its own, as Eigen, copies nothing, and `bytes()` is 0. The last
/// bits of products may differ from those without packing.
template <class Stored, class Products = default_products<Stored>>
class PackedWeight {
 public:
  using weight_type = Weight<Stored, Cpu, Products>;

  PackedWeight() = default;
  /// The values of `weight` must stay while this lasts.
  PackedWeight(const weight_type& weight, Packing packing) : weight_(weight) {
    const MatmulBackend* backend = matmul_backend();
    if (packing == Packing::None || backend == nullptr || weight.rows * weight.cols == 0) return;
    auto panels = std::make_shared<detail::PackedPanels>();
    panels->backend = backend;
    panels->rows = weight.rows;
    if constexpr (std::is_same_v<Products, BFloat16>) {
      if (backend->multiplies_bfloat16()) {
        pack<BFloat16>(*panels, packing);
      } else {
        pack<float>(*panels, packing);
      }
    } else if constexpr (std::is_same_v<Products, float>) {
      pack<float>(*panels, packing);
    }
    if (panels->forward.empty() && panels->backward.empty()) return;
    panels_ = std::move(panels);
    weight_.packed = panels_.get();
    weight_.packed_row = 0;
  }

  /// The weight, to be read through the copies; valid as long as this is.
  const weight_type& weight() const { return weight_; }

  /// The memory of all copies.
  std::size_t bytes() const {
    std::size_t total = 0;
    if (panels_ == nullptr) return total;
    for (const auto& panel : panels_->forward) total += panel->bytes();
    for (const auto& panel : panels_->backward) total += panel->bytes();
    return total;
  }

 private:
  template <class Value>
  void pack(detail::PackedPanels& panels, Packing packing) {
    panels.forward = direction<Value, true>();
    if (packing == Packing::Both) panels.backward = direction<Value, false>();
  }

  /// All panels of one direction, or none where the backend has no layout for one of them.
  template <class Value, bool Transpose>
  std::vector<std::unique_ptr<PackedOperand>> direction() const {
    const std::size_t outer = Transpose ? weight_.rows : weight_.cols;
    const std::size_t inner = Transpose ? weight_.cols : weight_.rows;
    constexpr std::size_t part = detail::panel_inner<Value>;
    const MatmulBackend* backend = matmul_backend();
    std::vector<std::unique_ptr<PackedOperand>> panels;
    Workspace workspace;
    for (std::size_t i = 0; i < outer; i += detail::panel_outer) {
      for (std::size_t k = 0; k < inner; k += part) {
        const Workspace::Scope scope(workspace);
        const MatrixView<const Value> panel =
            detail::WeightProduct<Transpose, Stored, Products>::template panel<Value>(
                weight_, i, std::min(detail::panel_outer, outer - i), k, std::min(part, inner - k),
                workspace);
        auto packed = backend->pack({panel, Transpose}, detail::panel_outer);
        if (packed == nullptr) return {};
        panels.push_back(std::move(packed));
      }
    }
    return panels;
  }

  weight_type weight_;
  std::shared_ptr<detail::PackedPanels> panels_;
};

}  // namespace sdlora
