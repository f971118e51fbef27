#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../error.hpp"
#include "../model/example.hpp"
#include "json.hpp"
#include "jsonl.hpp"
#include "tokenizer.hpp"

namespace sdlora {

/// How a data set is read: what is cut off, and which ids its examples may have.
struct DatasetOptions {
  /// Longer examples are cut at the end to so many tokens, and counted. 0: no limit.
  std::size_t max_length = 0;
  /// Ids must be below it. 0: the tokenizer's vocabulary.
  std::size_t vocab_size = 0;
  /// Whether {"text"} lines get an end-of-text token ({"prompt","completion"} lines always do).
  bool end_text = false;
};

/// Examples for training and evaluation, all in memory. From JSONL, one object a line, of
/// - {"prompt": "…", "completion": "…"}: loss on the completion and the end of text after it;
/// - {"text": "…"}: loss on every token;
/// - {"input_ids": […], "labels": […]}: as for `transformers`, labels unshifted, −100 ignored.
/// The kinds may be mixed. Other fields are passed over, but for an "attention_mask" with zeros,
/// which is refused (there is no padding here).
class JsonlDataset {
 public:
  using Options = DatasetOptions;

  /// Reads a file with text in it. FileErrors name the line. An example whose learned tokens are all
  /// cut off by `max_length` is dropped and counted; one that has none from the start is an error.
  template <Tokenizer T>
  static JsonlDataset open(const std::filesystem::path& path, const T& tokenizer, Options options = {}) {
    if (options.vocab_size == 0) options.vocab_size = tokenizer.vocab_size();
    return read(
        path,
        {[&tokenizer](std::string_view text) { return tokenizer.encode(text); }, tokenizer.end_of_text()},
        options);
  }

  /// Reads a file of token ids, for a checkpoint whose tokenizer is not known: text is refused.
  /// `options.vocab_size` must be given.
  static JsonlDataset open(const std::filesystem::path& path, Options options) {
    if (options.vocab_size == 0) {
      throw ArgumentError("JsonlDataset: without a tokenizer expected options.vocab_size, found 0; set it");
    }
    return read(path, {}, options);
  }

  /// Takes examples as they are, checked and cut like those of a file. ArgumentError where ids and
  /// labels are not as many, or outside of the vocabulary (`options.vocab_size`, 0: not checked).
  static JsonlDataset from_examples(std::vector<Example> examples, Options options = {}) {
    JsonlDataset data;
    data.name_ = "examples";
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const auto problem = data.add(std::move(examples[i]), options);
      if (!problem.empty())
        throw ArgumentError("JsonlDataset: example " + std::to_string(i) + ": " + problem);
    }
    if (data.examples_.empty()) throw ArgumentError("JsonlDataset: " + data.nothing_left(options));
    return data;
  }

  std::size_t size() const { return examples_.size(); }
  const Example& operator[](std::size_t i) const { return examples_[i]; }
  auto begin() const { return examples_.begin(); }
  auto end() const { return examples_.end(); }
  std::span<const Example> examples() const { return examples_; }

  /// Tokens in all, and those of them that are learned.
  std::size_t tokens() const { return tokens_; }
  std::size_t learned_tokens() const { return learned_; }
  /// Tokens of the longest example.
  std::size_t longest() const { return longest_; }
  /// How many examples were cut to `max_length`, the dropped ones not counted.
  std::size_t truncated() const { return truncated_; }
  /// How many examples were dropped because `max_length` cut off everything that they teach.
  std::size_t dropped() const { return dropped_; }

  /// One line for the user: "train.jsonl: 120 examples, 5310 tokens (480 learned), 3 cut to 256 tokens".
  std::string report() const {
    std::string text = name_ + ": " + std::to_string(size()) + " examples, " + std::to_string(tokens_) +
                       " tokens (" + std::to_string(learned_) + " learned)";
    if (truncated_ > 0) {
      text += ", " + std::to_string(truncated_) + " cut to " + std::to_string(max_length_) + " tokens";
    }
    if (dropped_ > 0) {
      text += ", " + std::to_string(dropped_) + " dropped (nothing learned is left of them in " +
              std::to_string(max_length_) + " tokens)";
    }
    return text;
  }

 private:
  struct TextEncoder {
    std::function<std::vector<std::int32_t>(std::string_view)> encode = {};
    std::optional<std::int32_t> end_of_text = {};
  };

  JsonlDataset() = default;

  static JsonlDataset read(const std::filesystem::path& path, const TextEncoder& encoder,
                           const Options& options) {
    JsonlDataset data;
    data.name_ = path.string();
    for_each_json_line(path, [&](const JsonObject& line, const std::string& place) {
      const auto problem = data.add(parse(line, place, encoder, options), options);
      if (!problem.empty()) throw FileError(data.name_, place, problem);
    });
    if (data.examples_.empty()) throw FileError(data.name_, "", data.nothing_left(options));
    return data;
  }

  static Example parse(const JsonObject& line, const std::string& place, const TextEncoder& encoder,
                       const Options& options) {
    const bool pair = line.contains("prompt") || line.contains("completion");
    const bool text = line.contains("text");
    const bool ids = line.contains("input_ids") || line.contains("labels");
    if (pair + text + ids != 1) {
      throw FileError(
          line.file(), place,
          std::string("expected either \"prompt\" and \"completion\", or \"text\", or \"input_ids\" and "
                      "\"labels\", found ") +
              (pair + text + ids == 0 ? "none of them" : "several of them") + "; keep one kind");
    }
    if (ids) return parse_ids(line);
    if (!encoder.encode) {
      throw FileError(
          line.file(), place,
          "expected \"input_ids\" and \"labels\", found text but no tokenizer to read it by; pass "
          "the checkpoint's (ByteTokenizer{} for a byte-level one), or give token ids");
    }
    Example example;
    if (pair) {
      const auto prompt = line.required<std::string>("prompt");
      const auto completion = line.required<std::string>("completion");
      example.ids = encoder.encode(prompt);
      example.labels.assign(example.ids.size(), ignored_label);
      const auto learned = encoder.encode(completion);
      example.ids.insert(example.ids.end(), learned.begin(), learned.end());
      example.labels.insert(example.labels.end(), learned.begin(), learned.end());
    } else {
      example.ids = encoder.encode(line.required<std::string>("text"));
      example.labels = example.ids;
    }
    if (encoder.end_of_text && (pair || options.end_text)) {
      example.ids.push_back(*encoder.end_of_text);
      example.labels.push_back(*encoder.end_of_text);
    }
    return example;
  }

  static Example parse_ids(const JsonObject& line) {
    Example example;
    example.ids = line.required<std::vector<std::int32_t>>("input_ids");
    example.labels = line.required<std::vector<std::int32_t>>("labels");
    if (const auto mask = line.optional<std::vector<std::int32_t>>("attention_mask")) {
      if (mask->size() != example.ids.size() ||
          std::find_if(mask->begin(), mask->end(), [](std::int32_t value) { return value != 1; }) !=
              mask->end()) {
        line.fail("attention_mask",
                  "expected a 1 for each of the input_ids; remove the padding from the example");
      }
    }
    return example;
  }

  /// Checks and takes an example; returns what is wrong with it, nothing where all is well.
  std::string add(Example example, const Options& options) {
    max_length_ = options.max_length;
    const std::size_t length = example.ids.size();
    if (length != example.labels.size()) {
      return "expected as many labels as ids, found " + std::to_string(example.labels.size()) + " for " +
             std::to_string(length) + "; labels are unshifted, one for each id";
    }
    for (std::size_t t = 0; t < length; ++t) {
      const auto outside = [&](std::int32_t id) {
        return id < 0 || (options.vocab_size != 0 && static_cast<std::size_t>(id) >= options.vocab_size);
      };
      const bool bad_id = outside(example.ids[t]);
      if (bad_id || (example.labels[t] != ignored_label && outside(example.labels[t]))) {
        return std::string("expected ") + (bad_id ? "ids from 0 to " : "labels of -100 or from 0 to ") +
               (options.vocab_size != 0 ? std::to_string(options.vocab_size - 1) : "2147483647") +
               ", found " + std::to_string(bad_id ? example.ids[t] : example.labels[t]) + " at position " +
               std::to_string(t) + "; use the tokenizer of the checkpoint";
      }
    }
    if (loss_tokens(example) == 0) {
      return "expected at least one token to learn after the first, found none in " + std::to_string(length) +
             " tokens; remove the example, or give it more text or other labels";
    }
    const bool cut = options.max_length != 0 && length > options.max_length;
    if (cut) {
      example.ids.resize(options.max_length);
      example.labels.resize(options.max_length);
    }
    const std::size_t learned = loss_tokens(example);
    if (learned == 0) {
      ++dropped_;
      return {};
    }
    truncated_ += cut;
    tokens_ += example.ids.size();
    learned_ += learned;
    longest_ = std::max(longest_, example.ids.size());
    examples_.push_back(std::move(example));
    return {};
  }

  std::string nothing_left(const Options& options) const {
    return dropped_ == 0
               ? std::string("expected examples, found none")
               : "nothing learned is left of any of the " + std::to_string(dropped_) + " examples within " +
                     std::to_string(options.max_length) + " tokens; raise the maximal length";
  }

  std::string name_;
  std::vector<Example> examples_;
  std::size_t tokens_ = 0, learned_ = 0, longest_ = 0, truncated_ = 0, dropped_ = 0;
  std::size_t max_length_ = 0;
};

}  // namespace sdlora
