#include "support/device_matrices.hpp"
#include "support/finite_differences.hpp"
#include "support/padded.hpp"
#include "support/reference_file.hpp"

#include <sdlora/layers/conv1d.hpp>
#include <sdlora/tensor/emulated.hpp>

#include <doctest/doctest.h>

#include <string>

using namespace sdlora;
using namespace sdlora_test;

namespace {

constexpr std::size_t K = 4;

/// All values of a vector as `rows` rows.
template <class T>
MatrixView<T> rows_of(std::vector<T>& values, std::size_t rows = 1) {
  return {values.data(), rows, rows == 0 ? 0 : values.size() / rows};
}
template <class T>
MatrixView<const T> rows_of(const std::vector<T>& values, std::size_t rows = 1) {
  return {values.data(), rows, rows == 0 ? 0 : values.size() / rows};
}
/// One window that every sequence begins with.
template <class T>
MatrixView<const T> one_for_all(const std::vector<T>& window, std::size_t sequences) {
  return {window.data(), sequences, window.size(), 0};
}

/// A convolution over several sequences with all of its arrays.
template <class T>
struct Problem {
  std::vector<std::size_t> offsets{0};
  std::size_t E;
  Padded<T> x, weight;
  std::vector<T> bias, windows;
  bool shared = false;

  Problem(const std::vector<std::size_t>& lengths, std::size_t channels, bool shared_window = false)
      : E(channels), x(0, 0, 0), weight(0, 0, 0), shared(shared_window) {
    for (const std::size_t length : lengths) offsets.push_back(offsets.back() + length);
    Normals normals(channels + offsets.back());
    x = Padded<T>(offsets.back(), E, 3, normals.vector<double>(offsets.back() * E));
    weight = Padded<T>(E, K, 1, normals.vector<double>(E * K));
    bias = normals.vector<T>(E);
    windows = normals.vector<T>((shared ? 1 : lengths.size()) * (K - 1) * E);
  }
  std::size_t sequences() const { return offsets.size() - 1; }
  std::size_t rows() const { return offsets.back(); }
  Conv1dInputs<T> inputs() const {
    return {{offsets},
            x.view,
            weight.view,
            rows_of(bias),
            shared ? one_for_all(windows, sequences()) : rows_of(windows, sequences())};
  }
  /// The input at position t of sequence s, which may lie before its begin.
  double at(std::size_t s, std::ptrdiff_t t, std::size_t e) const {
    if (t >= 0) return static_cast<double>(x.view(offsets[s] + static_cast<std::size_t>(t), e));
    const auto k = static_cast<std::size_t>(t + static_cast<std::ptrdiff_t>(K) - 1);
    return static_cast<double>(windows[(shared ? 0 : s * (K - 1) * E) + k * E + e]);
  }
};

/// The definition, in double: outputs (M, E) and final windows (S, K − 1, E).
template <class T>
std::pair<std::vector<double>, std::vector<double>> plain(const Problem<T>& p) {
  std::vector<double> out, last;
  for (std::size_t s = 0; s < p.sequences(); ++s) {
    const auto length = static_cast<std::ptrdiff_t>(p.offsets[s + 1] - p.offsets[s]);
    for (std::ptrdiff_t t = 0; t < length; ++t) {
      for (std::size_t e = 0; e < p.E; ++e) {
        double sum = static_cast<double>(p.bias[e]);
        for (std::size_t k = 0; k < K; ++k) {
          sum += static_cast<double>(p.weight.view(e, k)) *
                 p.at(s, t - static_cast<std::ptrdiff_t>(K - 1 - k), e);
        }
        out.push_back(sum / (1.0 + std::exp(-sum)));
      }
    }
    for (std::ptrdiff_t t = length - static_cast<std::ptrdiff_t>(K - 1); t < length; ++t) {
      for (std::size_t e = 0; e < p.E; ++e) last.push_back(p.at(s, t, e));
    }
  }
  return {out, last};
}

template <class T>
void check_forward(double tolerance) {
  for (const std::size_t E : {1U, 7U, 16U, 33U}) {
    for (const bool shared : {false, true}) {
      CAPTURE(E);
      CAPTURE(shared);
      // Sequences shorter than the window, none at all, and across the blocks of 32 rows.
      const Problem<T> p({1, 2, 0, 3, 40, 5, 33}, E, shared);
      const auto [expected, expected_windows] = plain(p);
      Padded<T> out(p.rows(), E, 2);
      std::vector<T> windows(p.sequences() * (K - 1) * E);
      Workspace workspace;
      conv1d_silu_forward<K>(p.inputs(), out.view, rows_of(windows, p.sequences()), workspace);
      CHECK(relative_error(out.values(), expected) <= tolerance);
      CHECK(relative_error(windows, expected_windows) == 0.0);
      Padded<T> again(p.rows(), E, 0);
      conv1d_silu_forward<K>(p.inputs(), again.view, {}, workspace);
      CHECK(again.values() == out.values());
      CHECK(workspace.bytes_in_use() == 0);
    }
  }
}

enum class Windows { none, shared, own };

/// Both directions with everything that can be given and asked for, on columns of wider matrices.
template <class Device, std::size_t Taps, std::size_t Known = Taps>
Results both_directions(const std::vector<std::size_t>& offsets, std::size_t E, Windows windows) {
  const std::size_t S = offsets.size() - 1, M = offsets.back(), W = (Taps - 1) * E;
  DeviceNormals<Device> normals(Taps + 10 * E);
  auto x = normals.matrix(M, 2 * E);
  const auto weight = normals.matrix(E, Taps), bias = normals.matrix(1, E), d_out = normals.matrix(M, E + 2),
             d_last = normals.matrix(S, W), window = normals.matrix(S, W + 1);
  auto out = normals.matrix(M, E + 3), last = normals.matrix(S, W), d_x = normals.matrix(M, 2 * E),
       d_weight = normals.matrix(E, Taps + 1), d_bias = normals.matrix(1, E), d_window = normals.matrix(1, W),
       d_weight_alone = normals.matrix(E, Taps);
  WorkspaceOn<Device> workspace;
  Conv1dInputs<float, Device> in;
  in.sequences = place_sequences<Device>({offsets}, workspace);
  in.x = x.matrix().cols_from(0, E);
  in.weight = weight.matrix();
  if (windows != Windows::none) {
    in.bias = bias.matrix();
    in.window = window.matrix().cols_from(1, W);
    if (windows == Windows::shared) in.window.stride = 0;
  }
  conv1d_silu_forward<Known>(in, out.matrix().cols_from(1, E), last.matrix(), workspace);
  const MatrixView<const float, Device> upstream = d_out.matrix().cols_from(2, E);
  Conv1dGradients<float, Device> gradients{
      d_x.matrix().cols_from(E, E), d_weight.matrix().cols_from(1, Taps), d_bias.matrix(), {}};
  if (windows == Windows::shared) gradients.window = d_window.matrix();
  const std::size_t before = workspace.bytes_in_use();
  conv1d_silu_backward<Known>(in, upstream, d_last.matrix(), gradients, workspace);
  conv1d_silu_backward<Known>(in, upstream, {}, {{}, d_weight_alone.matrix(), {}, {}}, workspace);
  CHECK(workspace.bytes_in_use() == before);
  return {host_values(out),    host_values(last),     host_values(d_x),           host_values(d_weight),
          host_values(d_bias), host_values(d_window), host_values(d_weight_alone)};
}

template <std::size_t Taps>
void check_emulated(const std::vector<std::size_t>& offsets, std::size_t E, Windows windows) {
  CAPTURE(Taps);
  CAPTURE(E);
  CAPTURE(static_cast<int>(windows));
  check_results(both_directions<Emulated, Taps>(offsets, E, windows),
                both_directions<Cpu, Taps>(offsets, E, windows));
}

}  // namespace

TEST_CASE("conv1d: the emulated device's values and gradients are the host's") {
  for (const Windows windows : {Windows::none, Windows::shared, Windows::own}) {
    check_emulated<4>({0, 1, 3, 3, 8, 45}, 7, windows);
    check_emulated<3>({0, 37}, 131, windows);
    check_emulated<2>({0, 1}, 1, windows);
  }
}

TEST_CASE("conv1d: with the number of taps read from the arguments, the same bits") {
  const std::vector<std::size_t> offsets{0, 1, 3, 3, 8, 45};
  const auto check = [&]<class Device, std::size_t Taps>() {
    CAPTURE(Taps);
    CHECK(both_directions<Device, Taps, dyn>(offsets, 7, Windows::own) ==
          both_directions<Device, Taps>(offsets, 7, Windows::own));
  };
  check.template operator()<Cpu, 2>();
  check.template operator()<Cpu, 3>();
  check.template operator()<Cpu, 4>();
  check.template operator()<Emulated, 3>();
  CHECK_THROWS_WITH_AS((both_directions<Cpu, 5, dyn>(offsets, 7, Windows::none)),
                       doctest::Contains("2 to 4 taps where their number is given at run time, found 5"),
                       ArgumentError);
}

TEST_CASE("conv1d: the definition, in float") { check_forward<float>(1e-6); }
TEST_CASE("conv1d: the definition, in double") { check_forward<double>(1e-14); }

TEST_CASE("conv1d: without windows the inputs before a sequence are zero; without bias it is") {
  Problem<double> p({3, 6}, 9);
  std::fill(p.windows.begin(), p.windows.end(), 0.0);
  std::fill(p.bias.begin(), p.bias.end(), 0.0);
  Conv1dInputs<double> in = p.inputs();
  in.window = {};
  in.bias = {};
  Padded<double> out(p.rows(), p.E, 0);
  std::vector<double> windows(2 * 3 * p.E);
  Workspace workspace;
  conv1d_silu_forward<K>(in, out.view, rows_of(windows, 2), workspace);
  CHECK(relative_error(out.values(), plain(p).first) <= 1e-14);
  CHECK(windows == plain(p).second);
}

TEST_CASE("conv1d: a sequence in pieces, each on the window that the last one left") {
  const std::size_t E = 11;
  Problem<double> whole({20}, E);
  Workspace workspace;
  Padded<double> expected(20, E, 0), found(20, E, 0);
  std::vector<double> window(3 * E), next(3 * E);
  conv1d_silu_forward<K>(whole.inputs(), expected.view, rows_of(window), workspace);
  window = whole.windows;
  std::size_t first = 0;
  for (const std::size_t length : {1U, 2U, 3U, 1U, 13U}) {
    const std::vector<std::size_t> offsets{0, length};
    const Conv1dInputs<double> in{{offsets},
                                  whole.x.view.rows_from(first, length),
                                  whole.weight.view,
                                  rows_of(std::as_const(whole.bias)),
                                  rows_of(std::as_const(window))};
    conv1d_silu_forward<K>(in, found.view.rows_from(first, length), rows_of(next), workspace);
    window = next;
    first += length;
  }
  CHECK(found.values() == expected.values());
}

TEST_CASE("conv1d: PyTorch's values and gradients") {
  const ReferenceFile reference("layers");
  for (const std::string name : {"conv.0.", "conv.1.", "conv.2."}) {
    CAPTURE(name);
    const auto bias = reference.read(name + "bias"), x = reference.read(name + "x");
    const std::size_t E = bias.size(), L = x.size() / E;
    const auto turned = [&](const std::vector<double>& from) {  // (E, 3) as stored to (3, E)
      std::vector<double> to(from.size());
      for (std::size_t e = 0; e < E; ++e) {
        for (std::size_t k = 0; k < 3; ++k) to[k * E + e] = from[e * 3 + k];
      }
      return to;
    };
    const auto window = turned(reference.read(name + "window"));
    const std::vector<std::size_t> offsets{0, L};
    Padded<double> in(L, E, 1, x), weight(E, K, 2, reference.read(name + "weight")), out(L, E, 0),
        d_out(L, E, 3, reference.read(name + "grad_y")), d_x(L, E, 1), d_weight(E, K, 1);
    std::vector<double> last(3 * E), d_bias(E, 0.0), d_window(3 * E, 0.0);
    Workspace workspace;
    const Conv1dInputs<double> inputs{{offsets}, in.view, weight.view, rows_of(bias), one_for_all(window, 1)};
    conv1d_silu_forward<K>(inputs, out.view, rows_of(last), workspace);
    CHECK(relative_error(out.values(), reference.read(name + "y")) <= 1e-14);
    CHECK(last == turned(reference.read(name + "last_window")));
    const auto d_last = turned(reference.read(name + "grad_last_window"));
    conv1d_silu_backward<K>(
        inputs, d_out.view, rows_of(d_last),
        Conv1dGradients<double>{d_x.view, d_weight.view, rows_of(d_bias), rows_of(d_window)}, workspace);
    CHECK(relative_error(d_x.values(), reference.read(name + "grad_x")) <= 1e-13);
    CHECK(relative_error(d_weight.values(), reference.read(name + "grad_weight")) <= 1e-13);
    CHECK(relative_error(d_bias, reference.read(name + "grad_bias")) <= 1e-13);
    CHECK(relative_error(d_window, turned(reference.read(name + "grad_window"))) <= 1e-13);
  }
}

TEST_CASE("conv1d: gradients against finite differences, several sequences on one learned window") {
  Problem<double> p({1, 2, 40, 3}, 9, /*shared_window=*/true);
  const std::size_t E = p.E, M = p.rows();
  Normals normals(1);
  const auto d_out = normals.vector<double>(M * E), d_last = normals.vector<double>(p.sequences() * 3 * E);
  Padded<double> out(M, E, 0), d_x(M, E, 2), d_weight(E, K, 0);
  std::vector<double> last(d_last.size()), d_bias(E, 0.0), d_window(3 * E, 0.0);
  Workspace workspace;
  const auto loss = [&] {
    conv1d_silu_forward<K>(p.inputs(), out.view, rows_of(last, p.sequences()), workspace);
    double sum = 0.0;
    for (std::size_t i = 0; i < M * E; ++i) sum += out.memory[i] * d_out[i];
    for (std::size_t i = 0; i < last.size(); ++i) sum += last[i] * d_last[i];
    return sum;
  };
  conv1d_silu_backward<K>(
      p.inputs(), rows_of(d_out, M), rows_of(d_last, p.sequences()),
      Conv1dGradients<double>{d_x.view, d_weight.view, rows_of(d_bias), rows_of(d_window)}, workspace);
  check_gradient("window", p.windows, d_window, loss);
  check_gradient("bias", p.bias, d_bias, loss);
  // The padded arrays: their own values in place, one row after another.
  Problem<double> tight = p;
  tight.x = Padded<double>(M, E, 0, p.x.values());
  tight.weight = Padded<double>(E, K, 0, p.weight.values());
  const auto tight_loss = [&] {
    conv1d_silu_forward<K>(tight.inputs(), out.view, rows_of(last, p.sequences()), workspace);
    double sum = 0.0;
    for (std::size_t i = 0; i < M * E; ++i) sum += out.memory[i] * d_out[i];
    for (std::size_t i = 0; i < last.size(); ++i) sum += last[i] * d_last[i];
    return sum;
  };
  check_gradient("x", tight.x.memory, d_x.values(), tight_loss);
  check_gradient("weight", tight.weight.memory, d_weight.values(), tight_loss);
}

TEST_CASE("conv1d: gradients that are not asked for are left alone, others add up") {
  Problem<double> p({5, 4}, 6, true);
  Normals normals(2);
  const auto d_out = normals.vector<double>(9 * 6);
  const MatrixView<const double> upstream(d_out.data(), 9, 6);
  Workspace workspace;
  std::vector<double> once(6, 0.0), twice(6, 1.0);
  conv1d_silu_backward<K>(p.inputs(), upstream, {}, Conv1dGradients<double>{{}, {}, rows_of(once), {}},
                          workspace);
  for (int i = 0; i < 2; ++i) {
    conv1d_silu_backward<K>(p.inputs(), upstream, {}, Conv1dGradients<double>{{}, {}, rows_of(twice), {}},
                            workspace);
  }
  for (std::size_t e = 0; e < 6; ++e) CHECK(twice[e] == doctest::Approx(1.0 + 2.0 * once[e]).epsilon(1e-13));
}

TEST_CASE("conv1d: shapes that do not fit") {
  Problem<float> p({5}, 6);
  Padded<float> narrow(5, 5, 0), low(4, 6, 0), out(5, 6, 0);
  Workspace workspace;
  const auto forward = [&](const Conv1dInputs<float>& in, MatrixView<float> to) {
    conv1d_silu_forward<K>(in, to, {}, workspace);
  };
  CHECK_THROWS_WITH_AS(forward(p.inputs(), narrow.view), doctest::Contains("expected x and out (5, 6)"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(forward(p.inputs(), low.view), doctest::Contains("out (4, 6)"), ShapeError);
  Conv1dInputs<float> in = p.inputs();
  in.weight = in.weight.cols_from(0, 3);
  CHECK_THROWS_WITH_AS(forward(in, out.view), doctest::Contains("weight (6, 3)"), ShapeError);
  in = p.inputs();
  in.x = in.x.rows_from(0, 4);
  CHECK_THROWS_WITH_AS(forward(in, out.view), doctest::Contains("one row per token"), ShapeError);
  in = p.inputs();
  const std::size_t late[] = {3, 5}, far[] = {0, std::size_t{1} << 40, 5};
  in.sequences = {late};
  CHECK_THROWS_WITH_AS(forward(in, out.view), doctest::Contains("run from 3 to 5"), ShapeError);
  in.sequences = {far};
  CHECK_THROWS_WITH_AS(forward(in, out.view), doctest::Contains("fall from"), ShapeError);
}

TEST_CASE("conv1d: a bias, windows or gradients that do not fit") {
  const Problem<float> p({2, 3}, 6);
  Padded<float> out(5, 6, 0), narrow(5, 5, 0);
  std::vector<float> values(100);
  Workspace workspace;
  const auto view = [&](std::size_t rows, std::size_t cols, std::size_t gap = 0) {
    return MatrixView<float>(values.data(), rows, cols, cols + gap);
  };
  const auto refused = [&](const char* text, const Conv1dInputs<float>& in, MatrixView<float> last) {
    CHECK_THROWS_WITH_AS(conv1d_silu_forward<K>(in, out.view, last, workspace), doctest::Contains(text),
                         ShapeError);
  };
  Conv1dInputs<float> in = p.inputs();
  in.bias = view(1, 5);
  refused("expected bias (1, 6), found (1, 5)", in, {});
  in = p.inputs();
  in.window = view(2, 17);
  refused("expected windows (2, 18), found (2, 17)", in, {});
  in.window = view(1, 18);
  refused("expected windows (2, 18), found (1, 18)", in, {});
  in = p.inputs();
  refused("expected final windows (2, 18), found (1, 18)", in, view(1, 18));
  refused("expected final windows (2, 18), found (2, 18) with gaps between rows", in, view(2, 18, 1));

  const auto backward = [&](MatrixView<const float> d_last, const Conv1dGradients<float>& gradients) {
    conv1d_silu_backward<K>(in, out.view, d_last, gradients, workspace);
  };
  CHECK_THROWS_WITH_AS(backward(view(2, 19), {}), doctest::Contains("gradients of the final windows (2, 18)"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(backward({}, {narrow.view, {}, {}, {}}), doctest::Contains("gradient of x (5, 6)"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(backward({}, {{}, view(4, 6), {}, {}}),
                       doctest::Contains("gradient of the weight (6, 4)"), ShapeError);
  CHECK_THROWS_WITH_AS(backward({}, {{}, {}, view(6, 1), {}}),
                       doctest::Contains("gradient of the bias (1, 6)"), ShapeError);
  CHECK_THROWS_WITH_AS(backward({}, {{}, {}, {}, view(2, 18)}),
                       doctest::Contains("gradient of the shared window (1, 18)"), ShapeError);
}
