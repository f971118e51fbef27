#pragma once

#include "../../tensor/matmul.hpp"
#include "peft_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

// What an adapter of peft does to the weights.

namespace sdlora::detail {

/// The factors of a change, as B·A of the target's own shape (rows, cols): an embedding's are stored
/// transposed.
template <class T>
struct PeftFactors {
  PeftFactors(const PeftAdapter& adapter, const PeftChange& change)
      : a(adapter.file().read<T>(change.a)), b(adapter.file().read<T>(change.b)), rank(change.rank) {
    if (!change.is_lookup()) return;
    const std::vector<T> v_r = transpose(a), r_d = transpose(b, b.size() / rank);
    b = v_r;
    a = r_d;
  }
  MatrixView<const T> A() const { return {a.data(), rank, a.size() / rank}; }
  MatrixView<const T> B() const { return {b.data(), b.size() / rank, rank}; }

  std::vector<T> a, b;
  std::size_t rank;

 private:
  std::vector<T> transpose(const std::vector<T>& from) const { return transpose(from, rank); }
  static std::vector<T> transpose(const std::vector<T>& from, std::size_t rows) {
    const std::size_t cols = from.size() / rows;
    std::vector<T> to(from.size());
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j];
    }
    return to;
  }
};

/// weights += scale · B·A; and with DoRA each row of the sum gets the length that the magnitude says.
template <class T>
void add_peft_change(MatrixView<T> weights, const PeftAdapter& adapter, const PeftChange& change) {
  const PeftFactors<T> factors(adapter, change);
  sdlora::matmul(weights, factors.B(), factors.A(), Write::Add, static_cast<T>(change.scale));
  const auto require_finite = [&] {
    if (find_not_finite(std::span<const T>(weights.data, weights.rows * weights.cols)) ==
        weights.rows * weights.cols) {
      return;
    }
    adapter.refuse(change.b,
                   "makes the weight not finite where it is added; use an adapter from before the training "
                   "diverged");
  };
  require_finite();
  if (change.magnitude.empty()) return;
  const std::vector<T> m = adapter.file().read<T>(change.magnitude);
  for (std::size_t i = 0; i < weights.rows; ++i) {
    double squares = 0.0;
    for (std::size_t j = 0; j < weights.cols; ++j) {
      squares += static_cast<double>(weights(i, j)) * static_cast<double>(weights(i, j));
    }
    if (!(squares > 0.0)) {
      adapter.refuse(change.magnitude, "row " + std::to_string(i) +
                                           " of the adapted weight is zero, so that no magnitude "
                                           "can scale it; use an adapter from before the training diverged");
    }
    const double factor = static_cast<double>(m[i]) / std::sqrt(squares);
    for (std::size_t j = 0; j < weights.cols; ++j) {
      weights(i, j) = static_cast<T>(factor * static_cast<double>(weights(i, j)));
    }
  }
  require_finite();
}

/// Whether the adapter replaces embedding and head by the same values, so that they can stay tied.
inline bool replaces_both_alike(const PeftAdapter& adapter) {
  std::span<const std::byte> lookup, head;
  for (const PeftReplacement& each : adapter.replacements()) {
    if (each.target.key == "backbone.embeddings.weight") lookup = adapter.file().bytes(each.tensor);
    if (each.target.key == "lm_head.weight") head = adapter.file().bytes(each.tensor);
  }
  return !lookup.empty() && std::equal(lookup.begin(), lookup.end(), head.begin(), head.end());
}

/// Whether embedding and head, tied in the base, are no longer one.
inline bool unties_head(const PeftAdapter& adapter) {
  const auto apart = [](const PeftTarget& target) {
    return target.key == "backbone.embeddings.weight" || target.key == "lm_head.weight";
  };
  return !replaces_both_alike(adapter) &&
         (std::any_of(adapter.changes().begin(), adapter.changes().end(),
                      [&](const PeftChange& each) { return apart(each.target); }) ||
          std::any_of(adapter.replacements().begin(), adapter.replacements().end(),
                      [&](const PeftReplacement& each) { return apart(each.target); }));
}

}  // namespace sdlora::detail
