#pragma once

#include <cstddef>
#include <span>

namespace sdlora {

/// How the M rows of a batch fall into S sequences. Rows of all sequences lie one after another
/// without padding ("packed"); sequence s owns rows [offsets[s], offsets[s + 1]).
/// Row-wise layers ignore it; the convolution and the scan restart at every boundary.
struct Sequences {
  std::span<const std::size_t> offsets;  // S + 1 ascending values, the first 0

  constexpr std::size_t count() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  constexpr std::size_t rows() const { return offsets.empty() ? 0 : offsets.back(); }
  constexpr std::size_t first(std::size_t s) const { return offsets[s]; }
  constexpr std::size_t length(std::size_t s) const { return offsets[s + 1] - offsets[s]; }
};

}  // namespace sdlora
