#include "support/device_matrices.hpp"
#include "support/finite_differences.hpp"
#include "support/padded.hpp"
#include "support/reference_file.hpp"

#include <sdlora/layers/rms_norm.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr double epsilon = 1e-5;

template <class T>
MatrixView<T> row(std::vector<T>& values) {
  return {values.data(), 1, values.size()};
}
template <class T>
MatrixView<const T> row(const std::vector<T>& values) {
  return {values.data(), 1, values.size()};
}

/// The definition, in double.
std::vector<double> plain(const std::vector<double>& x, const std::vector<double>& weight) {
  std::vector<double> out(x.size());
  const std::size_t d = weight.size();
  for (std::size_t i = 0; i < x.size() / d; ++i) {
    double square = 0.0;
    for (std::size_t j = 0; j < d; ++j) square += x[i * d + j] * x[i * d + j];
    for (std::size_t j = 0; j < d; ++j) {
      out[i * d + j] = x[i * d + j] / std::sqrt(square / static_cast<double>(d) + epsilon) * weight[j];
    }
  }
  return out;
}

template <class T>
void check_forward(double tolerance) {
  // Around the vector's width, four of them, and the blocks of 32 rows.
  for (const std::size_t rows : {1U, 31U, 32U, 33U, 65U}) {
    for (const std::size_t d : {1U, 3U, 8U, 16U, 17U, 64U, 131U}) {
      CAPTURE(rows);
      CAPTURE(d);
      Normals normals(rows * 1000 + d);
      const auto x = normals.vector<double>(rows * d, 3.0), weight = normals.vector<double>(d, 1.0, 1.0);
      Padded<T> in(rows, d, 3, x), out(rows, d, 1);
      const std::vector<T> w(weight.begin(), weight.end());
      rms_norm_forward(in.view, row(w), T(epsilon), out.view);
      CHECK(relative_error(out.values(), plain(x, weight)) <= tolerance);
      rms_norm_forward(in.view, row(w), T(epsilon), in.view);  // in place
      CHECK(in.values() == out.values());
    }
  }
}

/// Both directions on columns of wider matrices, whose other values are to stay; and in place.
template <class Device>
Results both_directions(std::size_t rows, std::size_t d) {
  DeviceNormals<Device> normals(1000 * rows + d);
  auto x = normals.matrix(rows, d + 3);
  const auto weight = normals.matrix(1, d), d_out = normals.matrix(rows, d);
  auto out = normals.matrix(rows, d + 1), d_x = normals.matrix(rows, d + 2), d_weight = normals.matrix(1, d),
       d_x_alone = normals.matrix(rows, d), d_weight_alone = normals.matrix(1, d);
  WorkspaceOn<Device> workspace;
  const MatrixView<const float, Device> in = x.matrix().cols_from(2, d);
  rms_norm_forward(in, weight.matrix(), float(epsilon), out.matrix().cols_from(1, d));
  rms_norm_backward(in, weight.matrix(), float(epsilon), d_out.matrix(), d_x.matrix().cols_from(1, d),
                    d_weight.matrix(), workspace);
  rms_norm_backward(in, weight.matrix(), float(epsilon), d_out.matrix(), d_x_alone.matrix(), {}, workspace);
  rms_norm_backward(in, weight.matrix(), float(epsilon), d_out.matrix(), {}, d_weight_alone.matrix(),
                    workspace);
  CHECK(workspace.bytes_in_use() == 0);
  auto plain = normals.matrix(rows, d + 1), d_plain = normals.matrix(rows, d + 2);
  rms_norm_forward(in, float(epsilon), plain.matrix().cols_from(1, d));
  rms_norm_backward(in, float(epsilon), d_plain.matrix().cols_from(1, d));
  rms_norm_forward(in, weight.matrix(), float(epsilon), x.matrix().cols_from(2, d));
  return {host_values(x),        host_values(out),       host_values(d_x),
          host_values(d_weight), host_values(d_x_alone), host_values(d_weight_alone),
          host_values(plain),    host_values(d_plain)};
}

}  // namespace

TEST_CASE("rms_norm: the emulated device's values and gradients are the host's") {
  for (const std::size_t rows : {0U, 1U, 37U}) {
    for (const std::size_t d : {1U, 17U, 300U}) {
      CAPTURE(rows);
      CAPTURE(d);
      check_results(both_directions<Emulated>(rows, d), both_directions<Cpu>(rows, d));
    }
  }
}

TEST_CASE("rms_norm: shapes that do not fit") {
  Padded<float> x(4, 5, 0), out(4, 5, 0), low(3, 5, 0), wide(4, 6, 0);
  std::vector<float> weight(5), d_weight(4);
  Workspace workspace;
  const MatrixView<const float> in = x.view;
  CHECK_THROWS_AS(rms_norm_forward(in, row(weight), 1e-5F, low.view), ShapeError);
  CHECK_THROWS_AS(rms_norm_forward(in, row(weight), 1e-5F, wide.view), ShapeError);
  CHECK_THROWS_AS(rms_norm_forward(in, row(weight).cols_from(0, 4), 1e-5F, out.view), ShapeError);
  CHECK_THROWS_AS(rms_norm_backward(in, row(weight), 1e-5F, out.view, low.view, {}, workspace), ShapeError);
  CHECK_THROWS_AS(rms_norm_forward(in, 1e-5F, wide.view), ShapeError);
  CHECK_THROWS_AS(rms_norm_backward(in, 1e-5F, low.view), ShapeError);
  CHECK_THROWS_AS(rms_norm_backward(in, row(weight), 1e-5F, out.view, {}, row(d_weight), workspace),
                  ShapeError);
}

TEST_CASE("rms_norm: the definition, in float") { check_forward<float>(1e-6); }
TEST_CASE("rms_norm: the definition, in double") { check_forward<double>(1e-14); }

TEST_CASE("rms_norm: a row of zeros stays zero, no row passes through") {
  Padded<float> x(1, 7, 0), out(1, 7, 0), none(0, 7, 0);
  const std::vector<float> weight(7, 2.0F);
  rms_norm_forward(x.view, row(weight), 1e-5F, out.view);
  for (const float v : out.values()) CHECK(v == 0.0F);
  rms_norm_forward(none.view, row(weight), 1e-5F, none.view);
}

TEST_CASE("rms_norm: PyTorch's values and gradients") {
  const ReferenceFile reference("layers");
  for (const std::string name : {"rms_norm.0.", "rms_norm.1.", "rms_norm.2."}) {
    CAPTURE(name);
    const auto weight = reference.read(name + "weight"), x = reference.read(name + "x");
    const std::size_t d = weight.size(), rows = x.size() / d;
    Padded<double> in(rows, d, 2, x), out(rows, d, 1), d_out(rows, d, 5, reference.read(name + "grad_y")),
        d_x(rows, d, 1);
    rms_norm_forward(in.view, row(weight), epsilon, out.view);
    CHECK(relative_error(out.values(), reference.read(name + "y")) <= 1e-14);
    std::vector<double> d_weight(d, 0.0);
    Workspace workspace;
    rms_norm_backward(MatrixView<const double>(in.view), row(weight), epsilon, d_out.view, d_x.view,
                      row(d_weight), workspace);
    CHECK(workspace.bytes_in_use() == 0);
    // At width 1 the gradient is ε-small: a difference of nearly equal numbers.
    CHECK(relative_error(d_x.values(), reference.read(name + "grad_x")) <= (d == 1 ? 1e-9 : 1e-13));
    CHECK(relative_error(d_weight, reference.read(name + "grad_weight")) <= 1e-13);
  }
}

TEST_CASE("rms_norm: without a weight, values and gradients of a weight of ones") {
  for (const std::size_t d : {1U, 3U, 16U, 70U}) {
    CAPTURE(d);
    const std::size_t rows = 35;
    Normals normals(100 + d);
    const auto x = normals.vector<double>(rows * d), upstream = normals.vector<double>(rows * d);
    const std::vector<double> ones(d, 1.0);
    Padded<double> in(rows, d, 2, x), out(rows, d, 1), g(rows, d, 3, upstream), d_x(rows, d, 0);
    rms_norm_forward(in.view, epsilon, out.view);
    CHECK(relative_error(out.values(), plain(x, ones)) <= 1e-14);
    Workspace workspace;
    rms_norm_backward(MatrixView<const double>(in.view), row(ones), epsilon, g.view, d_x.view, {}, workspace);
    rms_norm_backward(in.view, epsilon, g.view);
    CHECK(relative_error(g.values(), d_x.values()) <= 1e-14);
  }
}

TEST_CASE("rms_norm: gradients against finite differences, added to what is there") {
  for (const std::size_t d : {2U, 13U, 70U}) {
    CAPTURE(d);
    const std::size_t rows = 35;
    Normals normals(d);
    std::vector<double> x = normals.vector<double>(rows * d), weight = normals.vector<double>(d, 1.0, 1.0);
    const std::vector<double> upstream = normals.vector<double>(rows * d);
    std::vector<double> out(rows * d), d_x(rows * d, 10.0), d_weight(d, -20.0);
    const MatrixView<const double> x_view(x.data(), rows, d), g(upstream.data(), rows, d);
    const auto loss = [&] {
      rms_norm_forward(x_view, row(weight), epsilon, MatrixView<double>(out.data(), rows, d));
      double sum = 0.0;
      for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * upstream[i];
      return sum;
    };
    Workspace workspace;
    rms_norm_backward(x_view, row(weight), epsilon, g, MatrixView<double>(d_x.data(), rows, d), row(d_weight),
                      workspace);
    std::vector<double> d_x_alone(rows * d, 10.0), d_weight_alone(d, -20.0);
    rms_norm_backward(x_view, row(weight), epsilon, g, MatrixView<double>(d_x_alone.data(), rows, d), {},
                      workspace);
    rms_norm_backward(x_view, row(weight), epsilon, g, {}, row(d_weight_alone), workspace);
    CHECK(d_x == d_x_alone);
    CHECK(d_weight == d_weight_alone);
    for (double& v : d_x) v -= 10.0;
    for (double& v : d_weight) v += 20.0;
    check_gradient("x", x, d_x, loss);
    check_gradient("weight", weight, d_weight, loss);
  }
}
