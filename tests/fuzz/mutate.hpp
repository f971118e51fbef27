#pragma once

#include "target.hpp"

#include <cstddef>
#include <cstdint>

namespace fuzz {

/// Changes an input by its parts: a value or key of its JSON, or the JSON of a safetensors header, whose
/// length is put right. Empty where the input has no such parts.
std::string mutate(std::string_view input, Parts parts, std::uint32_t seed);

}  // namespace fuzz
