#pragma once

#include "../../tensor/extents.hpp"
#include "../../tensor/matrix_view.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

// The convolution of conv1d.hpp on a GPU, written against a block policy (thread and block index), so that a
// host emulator runs it too. A thread takes a channel and goes through some rows.

namespace sdlora::detail {

/// As Conv1dInputs, in a device's memory.
struct Conv1dKernelInputs {
  const std::int64_t* offsets = nullptr;  // (S + 1)
  std::int64_t sequences = 0;
  MatrixView<const float> x;       // (M, E)
  MatrixView<const float> weight;  // (E, K)
  const float* bias = nullptr;     // (E), may be null
  const float* window = nullptr;   // (S, K − 1, E), may be null: zeros
  std::int64_t window_stride = 0;  // between sequences' windows; 0: one shared by all

  constexpr std::int64_t rows() const { return static_cast<std::int64_t>(x.rows); }
  constexpr std::int64_t channels() const { return static_cast<std::int64_t>(x.cols); }
  constexpr std::int64_t length(std::int64_t s) const { return offsets[s + 1] - offsets[s]; }

  /// The sequence that holds a row: the last that begins at or before it.
  constexpr std::int64_t sequence_of(std::int64_t row) const {
    std::int64_t first = 0;
    std::int64_t last = sequences - 1;
    while (first < last) {
      const std::int64_t middle = first + (last - first + 1) / 2;
      if (offsets[middle] <= row) {
        first = middle;
      } else {
        last = middle - 1;
      }
    }
    return first;
  }

  /// The input at position t ≥ −(K − 1) of sequence s.
  template <int K>
  constexpr float input(std::int64_t s, std::int64_t t, std::int64_t e) const {
    if (t >= 0) return x(static_cast<std::size_t>(offsets[s] + t), static_cast<std::size_t>(e));
    return window == nullptr ? 0.0F : window[s * window_stride + (t + K - 1) * channels() + e];
  }

  template <int K>
  constexpr void taps(std::int64_t e, float (&tap)[K]) const {
    for (int k = 0; k < K; ++k) tap[k] = weight(static_cast<std::size_t>(e), static_cast<std::size_t>(k));
  }
};

inline constexpr std::int64_t conv1d_kernel_rows = 32;

/// The rows of a block that sums over them: so many that there are no more than 256 parts to add up.
constexpr std::int64_t conv1d_rows_of_part(std::int64_t rows) {
  const std::int64_t fewest = ceil_div(rows, 256);
  return fewest < conv1d_kernel_rows ? conv1d_kernel_rows : fewest;  // std::max takes a host's address
}
constexpr std::int64_t conv1d_parts(std::int64_t rows) { return ceil_div(rows, conv1d_rows_of_part(rows)); }

/// Which channel and rows a thread takes. Channels vary fastest, so that blocks that run together read the
/// same rows.
struct Conv1dPlace {
  static constexpr int threads = 128;
  std::int64_t e;
  std::int64_t part;
  std::int64_t begin;
  std::int64_t end;

  template <class Block>
  constexpr Conv1dPlace(const Block& block, std::int64_t rows, std::int64_t channels, std::int64_t rows_each)
      : e(block.index() % ceil_div(channels, threads) * threads + block.thread()),
        part(block.index() / ceil_div(channels, threads)),
        begin(part * rows_each),
        end(begin + rows_each < rows ? begin + rows_each : rows) {}

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t channels, std::int64_t rows_each) {
    return ceil_div(rows, rows_each) * ceil_div(channels, threads);
  }
};

/// use(row, inputs, sum) for the rows of a place, in order: the K inputs around each and their convolution
/// before SiLU. Rows are read once.
template <int K, class Use>
constexpr void for_conv1d_sums(const Conv1dKernelInputs& in, const Conv1dPlace& place, const Use& use) {
  float tap[K] = {};
  in.taps<K>(place.e, tap);
  const float bias = in.bias == nullptr ? 0.0F : in.bias[place.e];
  float inputs[K] = {};
  std::int64_t s = in.sequence_of(place.begin);
  for (std::int64_t row = place.begin; row < place.end; ++row) {
    bool enters = row == place.begin;
    while (row >= in.offsets[s + 1]) {
      ++s;
      enters = true;
    }
    const std::int64_t t = row - in.offsets[s];
    if (enters) {
      for (int k = 0; k + 1 < K; ++k) inputs[k] = in.input<K>(s, t - (K - 1) + k, place.e);
    } else {
      for (int k = 0; k + 1 < K; ++k) inputs[k] = inputs[k + 1];
    }
    inputs[K - 1] = in.x(static_cast<std::size_t>(row), static_cast<std::size_t>(place.e));
    float sum = bias;
    for (int k = 0; k < K; ++k) sum += tap[k] * inputs[k];
    use(row, inputs, sum);
  }
}

struct Conv1dForwardArguments {
  Conv1dKernelInputs in;
  MatrixView<float> out;  // (M, E)
};

template <int K>
struct Conv1dForwardKernel {
  static constexpr int threads = Conv1dPlace::threads;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = Conv1dForwardArguments;

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t channels) {
    return Conv1dPlace::blocks(rows, channels, conv1d_kernel_rows);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const Conv1dPlace place(block, x.in.rows(), x.in.channels(), conv1d_kernel_rows);
    if (place.e >= x.in.channels()) return;
    for_conv1d_sums<K>(x.in, place, [&](std::int64_t row, const float(&)[K], float sum) {
      x.out(static_cast<std::size_t>(row), static_cast<std::size_t>(place.e)) = sum / (1.0F + std::exp(-sum));
    });
  }
};

struct Conv1dWindowArguments {
  Conv1dKernelInputs in;
  float* final_window;  // (S, K − 1, E)
};

/// The last K − 1 inputs of each sequence.
template <int K>
struct Conv1dWindowKernel {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = Conv1dWindowArguments;

  static constexpr std::int64_t blocks(std::int64_t sequences, std::int64_t channels) {
    return ceil_div(sequences * (K - 1) * channels, threads);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t i = block.index() * threads + block.thread();
    const std::int64_t channels = x.in.channels();
    if (i >= x.in.sequences * (K - 1) * channels) return;
    const std::int64_t s = i / channels / (K - 1);
    const std::int64_t j = i / channels % (K - 1);
    x.final_window[i] = x.in.input<K>(s, x.in.length(s) - (K - 1) + j, i % channels);
  }
};

/// What all kernels of a backward know. d_sums is the gradient of the sums before SiLU.
struct Conv1dBackwardArguments {
  Conv1dKernelInputs in;
  MatrixView<const float> d_out;          // (M, E)
  const float* d_final_window = nullptr;  // (S, K − 1, E), may be null
  float* d_sums = nullptr;                // (M, E), null where no input's gradient is wanted
  float* partials = nullptr;              // (parts, K + 1, E): sums of taps and bias over rows, may be null
  MatrixView<float> d_x;                  // (M, E)
  MatrixView<float> d_weight;             // (E, K), may be empty
  float* d_bias = nullptr;                // (E), may be null
  float* d_window = nullptr;              // (K − 1, E)

  /// What position t ≥ −(K − 1) of sequence s receives: from the outputs that read it, and from the final
  /// window if it is part of that.
  template <int K>
  constexpr float received(const float (&tap)[K], std::int64_t s, std::int64_t t, std::int64_t e) const {
    const std::int64_t length = in.length(s);
    const std::int64_t channels = in.channels();
    float sum = 0.0F;
    for (int k = 0; k < K; ++k) {
      const std::int64_t reader = t + K - 1 - k;
      if (reader >= 0 && reader < length) sum += tap[k] * d_sums[(in.offsets[s] + reader) * channels + e];
    }
    const std::int64_t place = t - length + K - 1;
    if (d_final_window != nullptr && place >= 0) {
      sum += d_final_window[(s * (K - 1) + place) * channels + e];
    }
    return sum;
  }
};

/// d_sums, and of taps and bias what each part of the rows adds to their gradients.
template <int K, bool WantsInputs, bool WantsParameters>
struct Conv1dSumsKernel {
  static constexpr int threads = Conv1dPlace::threads;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = Conv1dBackwardArguments;

  static constexpr std::int64_t rows_each(std::int64_t rows) {
    return WantsParameters ? conv1d_rows_of_part(rows) : conv1d_kernel_rows;
  }
  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t channels) {
    return Conv1dPlace::blocks(rows, channels, rows_each(rows));
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t channels = x.in.channels();
    const Conv1dPlace place(block, x.in.rows(), channels, rows_each(x.in.rows()));
    if (place.e >= channels) return;
    float totals[K + 1] = {};
    for_conv1d_sums<K>(x.in, place, [&](std::int64_t row, const float(&inputs)[K], float sum) {
      const float s = 1.0F / (1.0F + std::exp(-sum));
      const float g = x.d_out(static_cast<std::size_t>(row), static_cast<std::size_t>(place.e));
      const float d = g * s * (1.0F + sum * (1.0F - s));
      if constexpr (WantsInputs) x.d_sums[row * channels + place.e] = d;
      if constexpr (WantsParameters) {
        for (int k = 0; k < K; ++k) totals[k] += d * inputs[k];
        totals[K] += d;
      }
    });
    if constexpr (WantsParameters) {
      for (int k = 0; k <= K; ++k) x.partials[(place.part * (K + 1) + k) * channels + place.e] = totals[k];
    }
  }
};

/// d_weight and d_bias, each part after the other.
template <int K>
struct Conv1dParametersKernel {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = Conv1dBackwardArguments;

  static constexpr std::int64_t blocks(std::int64_t channels) {
    return ceil_div(channels * (K + 1), threads);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t i = block.index() * threads + block.thread();
    const std::int64_t size = x.in.channels() * (K + 1);
    if (i >= size) return;
    const std::int64_t k = i / x.in.channels();
    const std::int64_t e = i % x.in.channels();
    float* to = nullptr;
    if (k == K) {
      if (x.d_bias != nullptr) to = x.d_bias + e;
    } else if (x.d_weight) {
      to = &x.d_weight(static_cast<std::size_t>(e), static_cast<std::size_t>(k));
    }
    if (to == nullptr) return;
    float sum = 0.0F;
    for (std::int64_t part = 0; part < conv1d_parts(x.in.rows()); ++part) sum += x.partials[part * size + i];
    *to += sum;
  }
};

/// d_x from d_sums.
template <int K>
struct Conv1dInputsKernel {
  static constexpr int threads = Conv1dPlace::threads;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = Conv1dBackwardArguments;

  static constexpr std::int64_t blocks(std::int64_t rows, std::int64_t channels) {
    return Conv1dPlace::blocks(rows, channels, conv1d_kernel_rows);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const Conv1dPlace place(block, x.in.rows(), x.in.channels(), conv1d_kernel_rows);
    if (place.e >= x.in.channels()) return;
    float tap[K] = {};
    x.in.taps<K>(place.e, tap);
    std::int64_t s = x.in.sequence_of(place.begin);
    for (std::int64_t row = place.begin; row < place.end; ++row) {
      while (row >= x.in.offsets[s + 1]) ++s;
      x.d_x(static_cast<std::size_t>(row), static_cast<std::size_t>(place.e)) =
          x.received<K>(tap, s, row - x.in.offsets[s], place.e);
    }
  }
};

/// d_window from d_sums: over the sequences in order.
template <int K>
struct Conv1dSharedWindowKernel {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 1;
  static constexpr std::size_t shared_floats = 0;
  using Arguments = Conv1dBackwardArguments;

  static constexpr std::int64_t blocks(std::int64_t channels) {
    return ceil_div((K - 1) * channels, threads);
  }

  template <class Block>
  static constexpr void run(Block& block, const Arguments& x) {
    const std::int64_t i = block.index() * threads + block.thread();
    if (i >= (K - 1) * x.in.channels()) return;
    const std::int64_t e = i % x.in.channels();
    const std::int64_t t = i / x.in.channels() - (K - 1);
    float tap[K] = {};
    x.in.taps<K>(e, tap);
    float sum = 0.0F;
    for (std::int64_t s = 0; s < x.in.sequences; ++s) sum += x.received<K>(tap, s, t, e);
    x.d_window[i] += sum;
  }
};

/// The kernels of conv1d_silu_forward. What shapes and null pointers mean is as there; shapes must fit.
template <int K, class Launcher>
void run_conv1d_forward(Launcher& launcher, const Conv1dKernelInputs& in, MatrixView<float> out,
                        float* final_window) {
  using Forward = Conv1dForwardKernel<K>;
  launcher.template run<Forward>(Forward::blocks(in.rows(), in.channels()), Forward::shared_floats,
                                 Conv1dForwardArguments{in, out});
  if constexpr (K > 1) {
    if (final_window == nullptr) return;
    using Window = Conv1dWindowKernel<K>;
    launcher.template run<Window>(Window::blocks(in.sequences, in.channels()), Window::shared_floats,
                                  Conv1dWindowArguments{in, final_window});
  }
}

/// Where run_conv1d_backward writes gradients: as Conv1dGradients, in a device's memory.
struct Conv1dKernelGradients {
  MatrixView<float> x;       // (M, E), overwritten
  MatrixView<float> weight;  // (E, K), added to
  float* bias = nullptr;     // (E), added to
  float* window = nullptr;   // (K − 1, E), added to: the shared window's

  constexpr bool wants_inputs() const { return x || window != nullptr; }
  constexpr bool wants_parameters() const { return weight || bias != nullptr; }
};

/// How many floats of scratch memory run_conv1d_backward needs.
constexpr std::size_t conv1d_backward_floats(int taps, const Conv1dKernelInputs& in,
                                             const Conv1dKernelGradients& gradients) {
  const std::int64_t of_inputs = gradients.wants_inputs() ? in.rows() : 0;
  const std::int64_t of_parameters = gradients.wants_parameters() ? conv1d_parts(in.rows()) * (taps + 1) : 0;
  return static_cast<std::size_t>((of_inputs + of_parameters) * in.channels());
}

/// The kernels of conv1d_silu_backward, in order; scratch holds conv1d_backward_floats(K, in, gradients).
template <int K, class Launcher>
void run_conv1d_backward(Launcher& launcher, const Conv1dKernelInputs& in, MatrixView<const float> d_out,
                         const float* d_final_window, const Conv1dKernelGradients& gradients,
                         float* scratch) {
  Conv1dBackwardArguments arguments;
  arguments.in = in;
  arguments.d_out = d_out;
  arguments.d_final_window = d_final_window;
  arguments.d_x = gradients.x;
  arguments.d_weight = gradients.weight;
  arguments.d_bias = gradients.bias;
  arguments.d_window = gradients.window;
  if (gradients.wants_inputs()) {
    arguments.d_sums = scratch;
    scratch += in.rows() * in.channels();
  }
  if (gradients.wants_parameters()) arguments.partials = scratch;
  const auto launch = [&]<class Kernel>(std::type_identity<Kernel>, auto... sizes) {
    launcher.template run<Kernel>(Kernel::blocks(sizes...), Kernel::shared_floats, arguments);
  };
  const std::int64_t rows = in.rows();
  const std::int64_t channels = in.channels();
  if (gradients.wants_inputs() && gradients.wants_parameters()) {
    launch(std::type_identity<Conv1dSumsKernel<K, true, true>>{}, rows, channels);
  } else if (gradients.wants_inputs()) {
    launch(std::type_identity<Conv1dSumsKernel<K, true, false>>{}, rows, channels);
  } else if (gradients.wants_parameters()) {
    launch(std::type_identity<Conv1dSumsKernel<K, false, true>>{}, rows, channels);
  }
  if (gradients.x) launch(std::type_identity<Conv1dInputsKernel<K>>{}, rows, channels);
  if constexpr (K > 1) {
    if (gradients.window != nullptr) launch(std::type_identity<Conv1dSharedWindowKernel<K>>{}, channels);
  }
  if (gradients.wants_parameters()) launch(std::type_identity<Conv1dParametersKernel<K>>{}, channels);
}

}  // namespace sdlora::detail
