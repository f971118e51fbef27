#pragma once

#include "../../adapters/site.hpp"
#include "../../error.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace sdlora::detail {

/// As a layer: the model itself.
inline constexpr std::size_t no_layer = static_cast<std::size_t>(-1);

/// Throws ShapeError unless `found`, of a policy's state, has the shape of its site and is contiguous.
template <class T, class D>
void require_site_shape(MatrixView<const T, D> found, const char* what, SiteShape expected,
                        std::string_view site, std::size_t layer) {
  if (found && found.rows == expected.rows && found.cols == expected.cols && found.contiguous()) return;
  throw ShapeError((layer == no_layer ? "" : "layers." + std::to_string(layer) + ".") + std::string(site) +
                   ": expected values and a gradient " + extents_text(expected.rows, expected.cols) +
                   ", found " + what + " " + extents_text(found.rows, found.cols) +
                   (found.contiguous() ? "" : " with gaps between rows") +
                   "; correct what the policy's state returns");
}

}  // namespace sdlora::detail
