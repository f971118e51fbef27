#pragma once

#include <sdlora/error.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/tensor/frozen_weight.hpp>
#include <string>

#include "command_line.hpp"
// Where CMake finds oneDNN it defines this for the programs that include this header.
#if defined(SDLORA_WITH_ONEDNN)
#include <sdlora/tensor/onednn.hpp>
#endif

namespace sdlora::examples {

/// --weights: how the base's matrices lie in memory.
class WeightsFlag {
 public:
  explicit WeightsFlag(CommandLine& command) {
    command.option("--weights", value_,
                   "how the base's matrices are stored: float32; bfloat16 in half the memory, which products "
                   "round activations to as well; int8 with a scale a row, in a quarter");
  }
  WeightsFlag(const WeightsFlag&) = delete;
  WeightsFlag& operator=(const WeightsFlag&) = delete;

  /// How to load the base. Products of bfloat16 are oneDNN's from here on, where the program was built with
  /// it; those of float stay Eigen's, so that results do not depend on how a program was built. ArgumentError
  /// for another type.
  LoadBaseOptions options() const {
    const auto stored = find_stored_type(value_);
    if (!stored) {
      throw ArgumentError("--weights: expected float32, bfloat16 or int8, found '" + value_ + "'");
    }
#if defined(SDLORA_WITH_ONEDNN)
    if (*stored == StoredType::BFloat16) use_onednn();
#endif
    return {.weights = *stored};
  }

 private:
  std::string value_ = "float32";
};

}  // namespace sdlora::examples
