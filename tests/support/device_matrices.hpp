#pragma once

#include <sdlora/tensor/tensor.hpp>

#include "device_copies.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// One piece of code run on two devices, and what it leaves compared.
namespace sdlora_test {

template <class Device>
using DeviceMatrix = sdlora::Tensor<float, sdlora::Extents<sdlora::dyn, sdlora::dyn>, Device>;

/// Matrices of random numbers in a device's memory; the same ones on every device.
template <class Device>
class DeviceNormals {
 public:
  explicit DeviceNormals(std::uint64_t seed) : normals_(seed) {}

  DeviceMatrix<Device> matrix(std::size_t rows, std::size_t cols, double scale = 1.0) {
    DeviceMatrix<sdlora::Cpu> host(rows, cols);
    normals_.fill(std::span<float>(host.data(), host.size()), scale);
    return CopyThrough<Device>().put(host);
  }

 private:
  Normals normals_;
};

/// Row after row, in host memory.
template <class Device>
std::vector<float> host_values(const DeviceMatrix<Device>& matrix) {
  const DeviceMatrix<sdlora::Cpu> host = CopyThrough<Device>().get(matrix);
  return {host.data(), host.data() + host.size()};
}

/// Arrays that a piece of code leaves, in host memory.
using Results = std::vector<std::vector<float>>;

/// Checks each array against that of another device, relative to its largest value.
inline void check_results(const Results& found, const Results& expected, double tolerance = 1e-5) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(relative_error(found[i], expected[i]) <= tolerance);
  }
}

}  // namespace sdlora_test
