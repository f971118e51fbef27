#pragma once

#include <sdlora/tensor/emulator.hpp>

#include <vector>

namespace sdlora_test {

/// The device of check_scan_kernels that every machine has.
struct EmulatedDevice : sdlora::Emulator {
  using Emulator::Emulator;
  static constexpr double slack = 1;
  template <class T>
  struct Buffer {
    explicit Buffer(const std::vector<T>& values) : values_(values) {}
    T* data() { return values_.data(); }
    std::vector<T> read() const { return values_; }

   private:
    std::vector<T> values_;
  };
};

}  // namespace sdlora_test
