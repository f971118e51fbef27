#pragma once

#include "../../tensor/cuda/storage.cuh"
#include "../../tensor/cuda/stream.cuh"
#include "../../tensor/tensor_view.hpp"
#include "../options.hpp"
#include "../scan.hpp"
#include "linear_scan.cuh"

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace sdlora {

/// An algorithm for linear recurrences on the GPU, as in linear_scan.cuh.
template <class Policy>
concept CudaScanPolicy = std::semiregular<Policy> && requires(const CudaLinearScan& x, cudaStream_t stream,
                                                              void* workspace, std::size_t bytes) {
  { Policy::name } -> std::convertible_to<std::string_view>;
  { Policy::workspace_bytes(x) } -> std::same_as<std::size_t>;
  Policy::run(stream, x, workspace, bytes);
};

/// Solves h_t = a_t·h_{t−1} + b_t for every column of a, b and h, each (L,
/// columns) in the memory of the GPU: the call of scan.hpp with an algorithm
/// for the GPU. `options.initial` lies in its memory too, the offsets of
/// sequences in the host's; sequences are scanned one after another.
/// Asynchronous on the thread's current stream, with scratch memory from its
/// pool. `h` may be the very memory of `b` or `a` in an inclusive scan. Throws
/// ShapeError where shapes differ, Error where CUDA fails.
template <CudaScanPolicy Policy, class A, class AExtents, class B, class BExtents, class HExtents>
  requires std::same_as<std::remove_const_t<A>, float> && std::same_as<std::remove_const_t<B>, float>
void scan(Policy policy, const TensorView<A, AExtents, Cuda>& a, const TensorView<B, BExtents, Cuda>& b,
          const TensorView<float, HExtents, Cuda>& h, const LinearScanOptions<float>& options = {}) {
  static_assert(AExtents::rank() == 2 && BExtents::rank() == 2 && HExtents::rank() == 2,
                "sdlora::scan: a, b and h have two extents, (L, columns); reshape them");
  const std::size_t rows = h.extent(0);
  const std::size_t columns = h.extent(1);
  if (a.extent(0) != rows || a.extent(1) != columns || b.extent(0) != rows || b.extent(1) != columns) {
    throw ShapeError("scan: a, b and h must have one shape (L, columns) but are " + to_string(a.extents()) +
                     ", " + to_string(b.extents()) + " and " + to_string(h.extents()));
  }
  detail::check_sequences("scan", options.sequences, rows);
  const std::size_t one_sequence[2] = {0, rows};
  const Sequences sequences = options.sequences.offsets.empty() ? Sequences{one_sequence} : options.sequences;
  if (options.initial && (options.initial.rows != sequences.count() || options.initial.cols != columns)) {
    throw ShapeError("scan: initial states must be (sequences, columns) = (" +
                     std::to_string(sequences.count()) + ", " + std::to_string(columns) + ") but are (" +
                     std::to_string(options.initial.rows) + ", " + std::to_string(options.initial.cols) +
                     ")");
  }
  const auto of_sequence = [&](std::size_t s) {
    const bool reverse = options.direction == ScanDirection::reverse;
    const std::size_t length = sequences.length(s);
    const std::size_t first = (sequences.first(s) + (reverse && length > 0 ? length - 1 : 0)) * columns;
    CudaLinearScan x;
    x.a = a.data() + first;
    x.b = b.data() + first;
    x.h = h.data() + first;
    x.length = static_cast<std::int64_t>(length);
    x.columns = static_cast<std::int64_t>(columns);
    x.time_stride = reverse ? -static_cast<std::int64_t>(columns) : static_cast<std::int64_t>(columns);
    x.column_stride = 1;
    if (options.initial) x.initial = options.initial.row(s);
    x.exclusive = options.kind == ScanKind::exclusive;
    return x;
  };
  std::size_t bytes = 0;
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    const CudaLinearScan x = of_sequence(s);
    if (x.length > 0 && x.columns > 0) bytes = std::max(bytes, Policy::workspace_bytes(x));
  }
  const Storage<std::byte, Cuda> workspace(bytes);
  const cudaStream_t stream = CudaStream::current().get();
  for (std::size_t s = 0; s < sequences.count(); ++s) {
    cuda_linear_scan(policy, stream, of_sequence(s), workspace.data(), bytes);
  }
}

}  // namespace sdlora
