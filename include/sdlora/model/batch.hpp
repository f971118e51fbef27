#pragma once

#include "../error.hpp"
#include "../tensor/sequences.hpp"
#include "example.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sdlora {

/// Sequences that go through a model together, one after another without padding. Each behaves as
/// if it were alone.
class Batch {
 public:
  Batch() : offsets_{0} {}

  /// A batch of whole examples. Throws ArgumentError where one has no token.
  explicit Batch(std::span<const Example> examples) : Batch() {
    for (const Example& example : examples) add(example);
  }

  /// A batch from right-padded rows as other frameworks hold them: ids and labels (S, L), of which
  /// row s has lengths[s] ≥ 1 tokens; what stands behind them has no influence. Labels may be empty:
  /// then every token is one. Throws ShapeError, and ArgumentError for a row without tokens.
  static Batch from_padded(std::span<const std::int32_t> ids, std::span<const std::int32_t> labels,
                           std::span<const std::size_t> lengths) {
    const std::size_t width = lengths.empty() ? 0 : ids.size() / lengths.size();
    if (width * lengths.size() != ids.size() || (!labels.empty() && labels.size() != ids.size())) {
      throw ShapeError("Batch::from_padded: expected ids and labels of " + std::to_string(lengths.size()) +
                       " equally long rows, found " + std::to_string(ids.size()) + " ids and " +
                       std::to_string(labels.size()) + " labels; pad every row to the longest");
    }
    Batch batch;
    Example example;
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      if (lengths[s] > width) {
        throw ShapeError("Batch::from_padded: row " + std::to_string(s) + " is said to have " +
                         std::to_string(lengths[s]) + " tokens but rows are " + std::to_string(width) +
                         " wide");
      }
      const auto row = ids.subspan(s * width, lengths[s]);
      const auto label_row = labels.empty() ? row : labels.subspan(s * width, lengths[s]);
      example.ids.assign(row.begin(), row.end());
      example.labels.assign(label_row.begin(), label_row.end());
      batch.add(example);
    }
    return batch;
  }

  /// Appends a sequence. Throws ArgumentError unless it has a token, and a label for each.
  void add(const Example& example) {
    if (example.ids.empty()) {
      throw ArgumentError("Batch: expected an example of at least one token, found none; leave it out");
    }
    if (example.ids.size() != example.labels.size()) {
      throw ArgumentError("Batch: expected a label for each of " + std::to_string(example.ids.size()) +
                          " tokens, found " + std::to_string(example.labels.size()) +
                          " labels; labels are unshifted, ignored_label where nothing is learned");
    }
    ids_.insert(ids_.end(), example.ids.begin(), example.ids.end());
    // A row's target is the label one further on; the last row of a sequence has none.
    targets_.insert(targets_.end(), example.labels.begin() + 1, example.labels.end());
    targets_.push_back(ignored_label);
    offsets_.push_back(ids_.size());
  }

  void clear() {
    ids_.clear();
    targets_.clear();
    offsets_.assign(1, 0);
  }

  bool empty() const { return ids_.empty(); }
  std::size_t tokens() const { return ids_.size(); }
  Sequences sequences() const { return {offsets_}; }
  std::span<const std::int32_t> ids() const { return ids_; }          // (M)
  std::span<const std::int32_t> targets() const { return targets_; }  // (M), `ignored_label` where none

  /// Which row is the last token of each sequence, (S).
  std::vector<std::size_t> last_rows() const {
    std::vector<std::size_t> rows;
    for (std::size_t s = 1; s < offsets_.size(); ++s) rows.push_back(offsets_[s] - 1);
    return rows;
  }

  /// How many predictions enter the loss.
  std::size_t loss_tokens() const {
    std::size_t count = 0;
    for (const std::int32_t target : targets_) count += target != ignored_label ? 1U : 0U;
    return count;
  }

 private:
  std::vector<std::int32_t> ids_;
  std::vector<std::int32_t> targets_;
  std::vector<std::size_t> offsets_;
};

}  // namespace sdlora
