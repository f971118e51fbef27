#pragma once

#include <sdlora/layers/conv1d.hpp>
#include <sdlora/layers/detail/conv1d_kernels.hpp>

#include "guarded.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace sdlora_test {

enum class Windows { none, shared, own };

struct Conv1dCase {
  std::vector<std::size_t> lengths;
  std::size_t channels;
  Windows windows = Windows::shared;
  bool bias = true;
  bool final_windows = true;
};

/// Both directions of the convolution with K taps against the functions of the host.
template <std::size_t K, class Device>
void check_conv1d_kernels(Device& device, const Conv1dCase& c) {
  using namespace sdlora;
  constexpr int taps = static_cast<int>(K);
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  const std::size_t E = c.channels, S = c.lengths.size(), W = (K - 1) * E;
  CAPTURE(K);
  CAPTURE(E);
  CAPTURE(static_cast<int>(c.windows));
  std::vector<std::size_t> offsets{0};
  std::vector<std::int64_t> device_offsets{0};
  for (const std::size_t length : c.lengths) {
    offsets.push_back(offsets.back() + length);
    device_offsets.push_back(static_cast<std::int64_t>(offsets.back()));
  }
  const std::size_t M = offsets.back();
  CAPTURE(M);
  Normals normals(K + 7 * E + 1009 * M);
  const auto x = normals.vector<float>(M * E), weight = normals.vector<float>(E * K),
             bias = normals.vector<float>(E), d_out = normals.vector<float>(M * E),
             window = normals.vector<float>(c.windows == Windows::own ? S * W : W),
             d_final = normals.vector<float>(S * W);
  const std::size_t window_stride = c.windows == Windows::own ? W : 0;
  const bool windowed = c.windows != Windows::none;

  const auto row = [](auto& values, std::size_t cols) { return MatrixView(values.data(), 1, cols); };
  Workspace workspace;
  const Conv1dInputs<float> in{
      {offsets},
      MatrixView<const float>(x.data(), M, E),
      MatrixView<const float>(weight.data(), E, K),
      c.bias ? row(bias, E) : MatrixView<const float>(),
      windowed ? MatrixView<const float>(window.data(), S, W, window_stride) : MatrixView<const float>()};
  Guarded<Device> device_x(M, E, 3, x), device_weight(E, K, 2, weight), device_bias(bias),
      device_window(window), device_d_out(M, E, 1, d_out), device_d_final(d_final);
  typename Device::template Buffer<std::int64_t> all_offsets(device_offsets);
  const detail::Conv1dKernelInputs kernel_in{all_offsets.data(),
                                             static_cast<std::int64_t>(S),
                                             device_x.view(),
                                             device_weight.view(),
                                             c.bias ? device_bias.data() : nullptr,
                                             windowed ? device_window.data() : nullptr,
                                             static_cast<std::int64_t>(window_stride)};

  std::vector<float> out(M * E), last(S * W);
  conv1d_silu_forward<K>(in, MatrixView<float>(out.data(), M, E),
                         c.final_windows ? MatrixView<float>(last.data(), S, W) : MatrixView<float>(),
                         workspace);
  Guarded<Device> device_out(M, E, 5, nan), device_last(1, S * W, 0, nan);
  detail::run_conv1d_forward<taps>(device, kernel_in, device_out.view(),
                                   c.final_windows ? device_last.data() : nullptr);
  CHECK(relative_error(device_out.values(), out) <= 1e-6);
  if (c.final_windows) CHECK(device_last.values() == last);

  // The host adds up all rows one after another, the kernels part by part.
  const double of_sums = M > 1000 ? 1e-5 : 2e-6;
  // Each gradient alone, none, and all of them; those of inputs without and with those of parameters.
  for (const unsigned wanted : {0U, 1U, 2U, 4U, 8U, 15U}) {
    CAPTURE(wanted);
    std::vector<float> d_x(M * E), d_weight = normals.vector<float>(E * K), d_bias = normals.vector<float>(E),
                                   d_window = normals.vector<float>(W);
    Guarded<Device> device_d_x(M, E, 4, nan), device_d_weight(E, K, 1, d_weight, Guarded<Device>::added_to),
        device_d_bias(d_bias, Guarded<Device>::added_to),
        device_d_window(d_window, Guarded<Device>::added_to);
    Conv1dGradients<float> gradients;
    detail::Conv1dKernelGradients kernel_gradients;
    if ((wanted & 1U) != 0) {
      gradients.x = {d_x.data(), M, E};
      kernel_gradients.x = device_d_x.view();
    }
    if ((wanted & 2U) != 0) {
      gradients.weight = {d_weight.data(), E, K};
      kernel_gradients.weight = device_d_weight.view();
    }
    if ((wanted & 4U) != 0) {
      gradients.bias = row(d_bias, E);
      kernel_gradients.bias = device_d_bias.data();
    }
    if ((wanted & 8U) != 0) {
      gradients.window = row(d_window, W);
      kernel_gradients.window = device_d_window.data();
    }
    conv1d_silu_backward<K>(
        in, MatrixView<const float>(d_out.data(), M, E),
        c.final_windows ? MatrixView<const float>(d_final.data(), S, W) : MatrixView<const float>(),
        gradients, workspace);
    Guarded<Device> scratch(1, detail::conv1d_backward_floats(taps, kernel_in, kernel_gradients), 0, nan);
    detail::run_conv1d_backward<taps>(device, kernel_in, device_d_out.view(),
                                      c.final_windows ? device_d_final.data() : nullptr, kernel_gradients,
                                      scratch.data());
    scratch.values();
    if ((wanted & 1U) != 0) CHECK(relative_error(device_d_x.values(), d_x) <= 1e-6);
    CHECK(relative_error(device_d_weight.values(), d_weight) <= of_sums);
    CHECK(relative_error(device_d_bias.values(), d_bias) <= of_sums);
    CHECK(relative_error(device_d_window.values(), d_window) <= 2e-6);
  }
}

template <class Device>
void check_conv1d_kernels(Device& device) {
  check_conv1d_kernels<4>(device, {{1, 2, 5, 37}, 7, Windows::shared});
  check_conv1d_kernels<4>(device, {{37, 0, 2, 1, 0, 5}, 3, Windows::own});
  check_conv1d_kernels<4>(device, {{5, 1, 2}, 131, Windows::none, false, false});
  check_conv1d_kernels<3>(device, {{2, 37, 1}, 5, Windows::own, false});
  check_conv1d_kernels<2>(device, {{0, 1, 37, 5}, 2, Windows::shared, true, false});
  check_conv1d_kernels<1>(device, {{1, 5, 37}, 3, Windows::none});
  check_conv1d_kernels<4>(device, {{1}, 1, Windows::none});
  check_conv1d_kernels<4>(device, {{0}, 3, Windows::shared});
}

}  // namespace sdlora_test
