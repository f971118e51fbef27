#pragma once

#include "../../error.hpp"
#include "../../layers/mamba/config.hpp"
#include "../../tensor/extents.hpp"
#include "../../tensor/sequences.hpp"
#include "../batch.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

// What a model's calls are checked for before anything is read, written or moved on.
namespace sdlora::detail {

/// Throws ArgumentError where a batch has no sequence.
inline void require_batch(const Batch& batch) {
  if (!batch.empty()) return;
  throw ArgumentError(
      "MambaModel: expected a batch of at least one sequence, found an empty one; add examples");
}

/// Throws ArgumentError where a token is outside of the vocabulary.
inline void require_ids(std::span<const std::int32_t> ids, const MambaDimensions& m) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= m.vocab_size) {
      throw ArgumentError("MambaModel: token " + std::to_string(i) + " is " + std::to_string(ids[i]) +
                          ", expected 0 to " + std::to_string(m.vocab_size - 1) +
                          "; was the text encoded with this model's tokenizer?");
    }
  }
}

/// Throws ShapeError unless tokens and their sequences are as many as each other and as a state's, which
/// `fits` the model.
inline void require_tokens(std::size_t tokens, const Sequences& sequences, std::size_t in_state, bool fits) {
  if (sequences.count() != in_state || sequences.rows() != tokens) {
    throw ShapeError("MambaModel: expected " + std::to_string(sequences.rows()) + " tokens of " +
                     std::to_string(in_state) + " sequences as in the state, found " +
                     std::to_string(tokens) + " tokens of " + std::to_string(sequences.count()));
  }
  if (!fits) {
    throw ShapeError(
        "MambaModel: expected a state of this model, found one of other sizes; begin with "
        "initial_state");
  }
}

/// Throws ArgumentError where one of `rows` is none of the tokens'.
inline void require_rows(std::span<const std::size_t> rows, std::size_t tokens) {
  for (const std::size_t row : rows) {
    if (row < tokens) continue;
    throw ArgumentError("MambaModel: expected rows below " + std::to_string(tokens) +
                        ", the number of tokens, found " + std::to_string(row) +
                        "; a row counts in all sequences together");
  }
}

/// Throws ArgumentError unless each of `rows` is above the one before it: gradients go back to each once.
inline void require_ascending(std::span<const std::size_t> rows) {
  for (std::size_t i = 1; i < rows.size(); ++i) {
    if (rows[i - 1] < rows[i]) continue;
    throw ArgumentError("MambaModel: expected ascending rows, found " + std::to_string(rows[i]) + " after " +
                        std::to_string(rows[i - 1]) + "; name each row once, in order");
  }
}

/// Throws ShapeError unless logits of shape (rows, cols) have room for `expected` tokens.
inline void require_logits(std::size_t rows, std::size_t cols, std::size_t expected,
                           const MambaDimensions& m) {
  if (rows == expected && cols == m.vocab_size) return;
  throw ShapeError("MambaModel: expected room for logits " + extents_text(expected, m.vocab_size) +
                   ", found " + extents_text(rows, cols) + "; give a row for each token asked for");
}

/// Throws ShapeError unless hidden states of shape (rows, cols) have room for `expected` tokens.
inline void require_hidden(std::size_t rows, std::size_t cols, std::size_t expected,
                           const MambaDimensions& m) {
  if (rows == expected && cols == m.d_model) return;
  throw ShapeError("MambaModel: expected room for hidden states " + extents_text(expected, m.d_model) +
                   ", found " + extents_text(rows, cols) + "; give a row for each token asked for");
}

/// Throws ShapeError where a base that is to be changed has not the sizes of the model's own.
inline void require_same_sizes(MambaDimensions target, MambaDimensions own) {
  target.norm_epsilon = own.norm_epsilon = 0.0;
  target.mixer_norm_epsilon = own.mixer_norm_epsilon = 0.0;
  if (target == own) return;
  throw ShapeError(
      "MambaModel: expected a base of the model's sizes to add its change to, found one of others; "
      "give a copy of the model's own");
}

}  // namespace sdlora::detail
