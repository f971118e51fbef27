#pragma once

#include "../scan/selective/fused.hpp"
#include "../tensor/device.hpp"

#include <concepts>
#include <type_traits>

namespace sdlora {

/// How a model runs: the device that holds its values and computes, the type of the values, and the way its
/// blocks scan, Fused or a Materialized<policy>. For example MambaModel<Config, Placement, Run<Cuda>>, or
/// Run<Cpu>::with_scan<Materialized<Sequential>>. A scalar alone, as `double`, stands for Run<Cpu, double>.
template <class Device = Cpu, class T = float, class Scan = Fused>
struct Run {
  static_assert(std::is_same_v<T, float> || (is_host<Device> && std::is_same_v<T, double>),
                "sdlora::Run: values are float, or double on the Cpu");
  using device_type = Device;
  using value_type = T;
  using scan_type = Scan;
  template <class OtherScan>
  using with_scan = Run<Device, T, OtherScan>;
};

namespace detail {
template <class X>
struct RunOf {
  using type = X;
};
template <std::floating_point T>
struct RunOf<T> {
  using type = Run<Cpu, T>;
};
}  // namespace detail

/// The Run that a model's third type stands for.
template <class X>
using run_of = typename detail::RunOf<X>::type;

}  // namespace sdlora
