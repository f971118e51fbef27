#pragma once

#include "../version.hpp"

namespace sdlora {

/// What an operation does with the values that its output holds.
enum class Write { Overwrite, Add };

}  // namespace sdlora
