#pragma once

#include <sdlora/scan/menu/kernel_scan.hpp>
#include <sdlora/scan/menu/scan_backward.hpp>
#include <sdlora/scan/menu/sequential.hpp>
#include <sdlora/tensor/tensor.hpp>

#include "support/device_copies.hpp"
#include "support/numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

// One test body for algorithms that scan in the memory of a device, the emulator's or a GPU's.
namespace sdlora_test {

/// All kinds and directions of `scan`, and `scan_backward`, of packed sequences, against the sequential scan.
template <class Device, class T, class Policy>
void check_device_scan(Policy policy, const std::vector<std::size_t>& offsets = {0, 0, 37, 38, 71},
                       std::size_t columns = 5) {
  using namespace sdlora;
  using Matrix = Tensor<T, Extents<dyn, dyn>>;
  const std::string name(Policy::name);
  INFO(name);
  constexpr double tolerance = sizeof(T) == 8 ? 1e-14 : 4e-6;
  const std::size_t rows = offsets.back(), count = offsets.size() - 1;
  Normals normals(3);
  const auto draw = [&](std::size_t n) {
    Matrix m(n, columns);
    for (std::size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<T>(normals.next());
    return m;
  };
  Matrix a(rows, columns);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.data()[i] = i % 29 == 17 ? T(0) : T(0.9) / static_cast<T>(1 + i % 3);
  }
  const Matrix b = draw(rows), initial = draw(count), d_h = draw(rows);
  const CopyThrough<Device> device;
  const auto on_a = device.put(a), on_b = device.put(b), on_initial = device.put(initial),
             on_d_h = device.put(d_h);
  const auto values = [](const Matrix& m) { return std::vector<T>(m.data(), m.data() + m.size()); };
  const auto check = [&](const auto& got, const Matrix& expected) {
    CHECK(relative_error(values(device.get(got)), values(expected)) < tolerance);
  };
  WorkspaceOn<Device> workspace;
  for (const ScanDirection direction : {ScanDirection::Forward, ScanDirection::Reverse}) {
    for (const bool with_initial : {false, true}) {
      CAPTURE(direction);
      CAPTURE(with_initial);
      LinearScanOptions<T> options{ScanKind::Inclusive, direction, {}, {offsets}};
      LinearScanOptions<T, Device> on_device{ScanKind::Inclusive, direction, {}, {offsets}};
      if (with_initial) {
        options.initial = initial.matrix();
        on_device.initial = on_initial.view().matrix();
      }
      Matrix h(rows, columns), d_a(rows, columns), d_b(rows, columns), d_initial(count, columns);
      Tensor<T, Extents<dyn, dyn>, Device> on_h(rows, columns), on_d_a(rows, columns), on_d_b(rows, columns),
          on_d_initial(count, columns);
      options.kind = on_device.kind = ScanKind::Exclusive;
      scan(Sequential{}, a.matrix(), b.matrix(), h.matrix(), options);
      scan(policy, on_a.view().matrix(), on_b.view().matrix(), on_h.view().matrix(), on_device, workspace);
      check(on_h, h);
      options.kind = on_device.kind = ScanKind::Inclusive;
      scan(Sequential{}, a.matrix(), b.matrix(), h.matrix(), options);
      scan(policy, on_a.view().matrix(), on_b.view().matrix(), on_h.view().matrix(), on_device, workspace);
      check(on_h, h);
      // In place.
      auto in_b = on_b;
      scan(policy, on_a.view().matrix(), in_b.view().matrix(), in_b.view().matrix(), on_device, workspace);
      check(in_b, h);

      scan_backward(Sequential{}, a.matrix(), h.matrix(), d_h.matrix(), d_a.matrix(), d_b.matrix(),
                    d_initial.matrix(), options);
      scan_backward(policy, on_a.view().matrix(), on_h.view().matrix(), on_d_h.view().matrix(),
                    on_d_a.view().matrix(), on_d_b.view().matrix(), on_d_initial.view().matrix(), on_device,
                    workspace);
      check(on_d_a, d_a);
      check(on_d_b, d_b);
      check(on_d_initial, d_initial);
      // Into the memory of d_h, without what is not wanted.
      auto in_place = on_d_h;
      scan_backward(policy, on_a.view().matrix(), on_a.view().matrix(), in_place.view().matrix(), {},
                    in_place.view().matrix(), {}, on_device, workspace);
      check(in_place, d_b);
    }
  }
  CHECK(workspace.bytes_in_use() == 0);
}

}  // namespace sdlora_test
