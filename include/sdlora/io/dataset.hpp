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
#include "chat_message.hpp"
#include "column_template.hpp"
#include "csv.hpp"
#include "input_file.hpp"
#include "json.hpp"
#include "jsonl.hpp"
#include "tokenizer.hpp"
#include "utf8.hpp"

namespace sdlora {

/// What a file of examples is.
enum class DataFormat : std::uint8_t {
  by_name,  ///< by its name's ending, .gz taken off: .csv, .tsv, .txt, and JSONL for all others
  jsonl,    ///< an object in each line
  csv,      ///< a table, its columns named in the first row (see TableFormat)
  tsv,
  text,  ///< an example in each line, as {"text"}
};

/// "jsonl", "csv", "tsv" or "text", or nothing for `by_name`. ArgumentError for others.
inline DataFormat data_format(std::string_view name) {
  if (name.empty()) return DataFormat::by_name;
  if (name == "jsonl") return DataFormat::jsonl;
  if (name == "csv") return DataFormat::csv;
  if (name == "tsv") return DataFormat::tsv;
  if (name == "text") return DataFormat::text;
  throw ArgumentError("expected the format jsonl, csv, tsv or text, found " + detail::in_quotes(name) +
                      "; correct it");
}

/// How a data set is read: what is cut off, and which ids its examples may have.
struct DatasetOptions {
  /// Longer examples are cut at the end to so many tokens, and counted. 0: no limit.
  std::size_t max_length = 0;
  /// Ids must be below it. 0: the tokenizer's vocabulary.
  std::size_t vocab_size = 0;
  /// Whether texts get an end-of-text token (prompts with completions always do).
  bool end_text = false;
  DataFormat format = DataFormat::by_name;
  /// The columns, or fields, that hold prompt and completion where they have other names than that.
  std::string prompt_column = {};
  std::string completion_column = {};
  /// What is written for a completion, as {"0", "negative"} where a table has numbers of classes. Where it is
  /// not empty, other completions are errors.
  std::vector<std::pair<std::string, std::string>> completion_words = {};
  /// The one that holds the text where its name is not "text"; then there is no prompt.
  std::string text_column = {};
  /// Makes the prompt of several columns (see ColumnTemplate), instead of `prompt_column`.
  std::string prompt_template = {};
  /// Without a tokenizer: why there is none, said where text is found.
  std::string no_tokenizer = {};
  /// Writes conversations as text: `load_chat_template`'s, or a function of one's own.
  ChatWriter chat = {};
  /// Without one: why there is none, said where conversations are found.
  std::string no_chat = {};
};

/// Examples for training and evaluation, all in memory. From JSONL, one object a line, of
/// - {"prompt": "…", "completion": "…"}: loss on the completion and the end of text after it;
/// - {"text": "…"}: loss on every token;
/// - {"messages": [{"role": "…", "content": "…"}, …]}: written as `chat` does; loss on the assistant's
///   messages, each with what the template ends it by, and the end of text after the last;
/// - {"input_ids": […], "labels": […]}: as for `transformers`, labels unshifted, −100 ignored.
/// The kinds may be mixed. Other fields are passed over, but for an "attention_mask" with zeros,
/// which is refused (there is no padding here). Or from a table with columns of these names (but ids), or
/// from plain text, a line an example. The options name other columns and fields. Files are InputFiles:
/// pipes, "-" for the standard input, and gzip as well.
class JsonlDataset {
 public:
  using Options = DatasetOptions;

  /// Reads a file with text in it. FileErrors name the line. An example whose learned tokens are all
  /// cut off by `max_length` is dropped and counted; one that has none from the start is an error, but
  /// in plain text, where it is passed over and counted.
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
  static JsonlDataset open(const std::filesystem::path& path, const Options& options) {
    if (options.vocab_size == 0) {
      throw ArgumentError("JsonlDataset: without a tokenizer expected options.vocab_size, found 0; set it");
    }
    return read(path, {}, options);
  }

  /// Takes examples as they are, checked and cut like those of a file. ArgumentError where ids and
  /// labels are not as many, or outside of the vocabulary (`options.vocab_size`, 0: not checked).
  static JsonlDataset from_examples(std::vector<Example> examples, const Options& options = {}) {
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
  /// How many lines of plain text were passed over because there is nothing to learn in one token.
  std::size_t passed_over() const { return passed_over_; }

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
    if (passed_over_ > 0) text += ", " + std::to_string(passed_over_) + " lines of one token passed over";
    return text;
  }

 private:
  struct TextEncoder {
    std::function<std::vector<std::int32_t>(std::string_view)> encode = {};
    std::optional<std::int32_t> end_of_text = {};
  };

  JsonlDataset() = default;

  /// Which columns make an example, and what reads their text.
  struct Columns {
    Columns(const TextEncoder& text_encoder, const Options& options)
        : encoder(text_encoder),
          end_text(options.end_text),
          prompt_text(options.prompt_template),
          words(options.completion_words),
          no_tokenizer(options.no_tokenizer),
          chat(options.chat),
          no_chat(options.no_chat) {
      const bool pair =
          !options.prompt_column.empty() || !options.completion_column.empty() || !prompt_text.empty();
      named = pair || !options.text_column.empty();
      if (pair && !options.text_column.empty()) {
        throw ArgumentError(
            "JsonlDataset: expected the columns of prompt and completion or that of the text, found "
            "both; name one kind");
      }
      if (!prompt_text.empty() && !options.prompt_column.empty()) {
        throw ArgumentError(
            "JsonlDataset: expected a prompt column or a template of the prompt, found both; give "
            "one of them");
      }
      if (!options.prompt_column.empty()) prompt = options.prompt_column;
      if (!options.completion_column.empty()) completion = options.completion_column;
      if (!options.text_column.empty()) text = options.text_column;
      has_text = !pair;
    }

    const TextEncoder& encoder;
    bool end_text;
    ColumnTemplate prompt_text;
    const std::vector<std::pair<std::string, std::string>>& words;
    std::string no_tokenizer;
    const ChatWriter& chat;
    std::string no_chat;
    std::string prompt = "prompt", completion = "completion", text = "text";
    bool named = false;     // by the options
    bool has_text = false;  // where they are named: a text and no pair
  };

  static JsonlDataset read(const std::filesystem::path& path, const TextEncoder& encoder,
                           const Options& options) {
    JsonlDataset data;
    data.name_ = path == "-" ? "standard input" : path.string();
    const Columns columns(encoder, options);
    const auto take = [&](Example example, const std::string& place) {
      const auto problem = data.add(std::move(example), options);
      if (!problem.empty()) throw FileError(data.name_, place, problem);
    };
    switch (options.format == DataFormat::by_name ? format_of(path) : options.format) {
      case DataFormat::text:
        data.read_text(path, columns, take);
        break;
      case DataFormat::csv:
        read_table(path, TableFormat::csv, columns, take);
        break;
      case DataFormat::tsv:
        read_table(path, TableFormat::tsv, columns, take);
        break;
      default:
        for_each_json_line(path,
                           [&](const JsonObject& line, const std::string& place) {
                             take(parse(line, place, columns), place);
                           },
                           {.max_bytes = std::size_t{1} << 30, .max_values = std::size_t{1} << 26});
    }
    if (data.examples_.empty()) throw FileError(data.name_, "", data.nothing_left(options));
    return data;
  }

  static DataFormat format_of(std::filesystem::path path) {
    if (path.extension() == ".gz") path.replace_extension();
    const auto ending = path.extension();
    return ending == ".csv"   ? DataFormat::csv
           : ending == ".tsv" ? DataFormat::tsv
           : ending == ".txt" ? DataFormat::text
                              : DataFormat::jsonl;
  }

  template <class Take>
  void read_text(const std::filesystem::path& path, const Columns& columns, const Take& take) {
    if (columns.named) {
      throw ArgumentError(
          "JsonlDataset: expected no names of columns with plain text, found some; leave them out, "
          "or name the format");
    }
    LineReader lines(path);
    for (std::string line; lines.next_text(line);) {
      if (line.empty()) continue;
      require_encoder(columns, lines.name(), lines.place());
      Example example = text_example(line, columns);
      if (loss_tokens(example) == 0) {
        ++passed_over_;
      } else {
        take(std::move(example), lines.place());
      }
    }
  }

  template <class Take>
  static void read_table(const std::filesystem::path& path, TableFormat format, const Columns& columns,
                         const Take& take) {
    const std::string name = path == "-" ? "standard input" : path.string();
    std::vector<std::string> header;
    std::optional<bool> pair;
    for_each_table_row(path, format, [&](const std::vector<std::string>& fields, const std::string& place) {
      if (!pair) {
        header = fields;
        pair = has_pair(header, columns, name, place);
        return;
      }
      if (fields.size() != header.size()) {
        throw FileError(name, place,
                        "expected " + std::to_string(header.size()) +
                            " fields, as many as the first row names, found " +
                            std::to_string(fields.size()) + "; correct the row" +
                            (format == TableFormat::csv ? ", or put fields with commas in quotes" : ""));
      }
      require_encoder(columns, name, place);
      const auto value = [&](const std::string& column) {
        return fields[index_of(header, column, name, place)];
      };
      take(*pair ? pair_example(prompt_of(columns, value),
                                words_of(value(columns.completion), columns, name, place), columns)
                 : text_example(value(columns.text), columns),
           place);
    });
  }

  /// Whether the rows are prompts and completions.
  static bool has_pair(const std::vector<std::string>& header, const Columns& columns,
                       const std::string& name, const std::string& place) {
    const auto has = [&](const std::string& column) {
      return std::find(header.begin(), header.end(), column) != header.end();
    };
    if (!columns.named) {
      const bool pair = has(columns.prompt) && has(columns.completion);
      if (pair != has(columns.text)) return pair;
      throw FileError(name, place,
                      std::string("expected a first row with the columns \"prompt\" and \"completion\", or "
                                  "\"text\", found ") +
                          (pair ? "all of them; name" : "only " + listed(header) + "; name") +
                          " those to be read (prompt and completion column, or text column)");
    }
    if (columns.has_text) return (void)index_of(header, columns.text, name, place), false;
    (void)prompt_of(columns,
                    [&](const std::string& column) { return header[index_of(header, column, name, place)]; });
    (void)index_of(header, columns.completion, name, place);
    return true;
  }

  static std::size_t index_of(const std::vector<std::string>& header, const std::string& column,
                              const std::string& name, const std::string& place) {
    const auto found = std::find(header.begin(), header.end(), column);
    if (found == header.end() || std::find(found + 1, header.end(), column) != header.end()) {
      throw FileError(name, place,
                      "expected one column " + detail::in_quotes(column) + ", found " +
                          (found == header.end() ? "only " + listed(header) : std::string("several")) +
                          "; name columns that are there");
    }
    return static_cast<std::size_t>(found - header.begin());
  }

  static std::string listed(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "" : ", ") + detail::in_quotes(name);
    return text;
  }

  template <class Value>
  static std::string prompt_of(const Columns& columns, const Value& value) {
    return columns.prompt_text.empty() ? value(columns.prompt) : columns.prompt_text.fill(value);
  }

  /// What is written for a completion.
  static std::string words_of(std::string completion, const Columns& columns, const std::string& name,
                              const std::string& place) {
    if (columns.words.empty()) return completion;
    std::string all;
    for (const auto& [from, to] : columns.words) {
      if (from == completion) return to;
      all += (all.empty() ? "" : ", ") + detail::in_quotes(from);
    }
    throw FileError(name, place,
                    "expected a completion among " + all + ", for which there are words, found " +
                        detail::in_quotes(completion) + "; give the words for it, too");
  }

  static void require_encoder(const Columns& columns, const std::string& name, const std::string& place) {
    if (columns.encoder.encode) return;
    throw FileError(name, place,
                    "expected \"input_ids\" and \"labels\", found text but no tokenizer to read it by; " +
                        (columns.no_tokenizer.empty()
                             ? "pass the checkpoint's (load_tokenizer, or ByteTokenizer{}), or give token ids"
                             : columns.no_tokenizer));
  }

  static Example pair_example(std::string_view prompt, std::string_view completion, const Columns& columns) {
    Example example;
    example.ids = columns.encoder.encode(prompt);
    example.labels.assign(example.ids.size(), ignored_label);
    const auto learned = columns.encoder.encode(completion);
    example.ids.insert(example.ids.end(), learned.begin(), learned.end());
    example.labels.insert(example.labels.end(), learned.begin(), learned.end());
    return with_end(std::move(example), columns, true);
  }

  static Example text_example(std::string_view text, const Columns& columns) {
    Example example;
    example.ids = columns.encoder.encode(text);
    example.labels = example.ids;
    return with_end(std::move(example), columns, columns.end_text);
  }

  static Example with_end(Example example, const Columns& columns, bool ends) {
    if (columns.encoder.end_of_text && ends) {
      example.ids.push_back(*columns.encoder.end_of_text);
      example.labels.push_back(*columns.encoder.end_of_text);
    }
    return example;
  }

  static Example parse(const JsonObject& line, const std::string& place, const Columns& columns) {
    if (columns.named) {
      require_encoder(columns, line.file(), place);
      const auto value = [&](const std::string& field) { return text_of(line, field, place); };
      if (columns.has_text) return text_example(value(columns.text), columns);
      return pair_example(prompt_of(columns, value),
                          words_of(value(columns.completion), columns, line.file(), place), columns);
    }
    const bool pair = line.contains("prompt") || line.contains("completion");
    const bool text = line.contains("text");
    const bool ids = line.contains("input_ids") || line.contains("labels");
    const bool chat = line.contains("messages");
    if (const int kinds = pair + text + ids + chat; kinds != 1) {
      throw FileError(
          line.file(), place,
          std::string("expected either \"prompt\" and \"completion\", or \"text\", or \"messages\", or "
                      "\"input_ids\" and \"labels\", found ") +
              (kinds == 0 ? "none of them" : "several of them") + fields_of(line) + "; " +
              (kinds != 0 ? "keep one kind, or name the fields to be read"
               : line.contains("conversations")
                   ? "write the conversations as {\"messages\": [{\"role\": …, \"content\": …}, …]}"
                   : "name the fields that hold prompt and completion, or the text"));
    }
    if (ids) return parse_ids(line);
    require_encoder(columns, line.file(), place);
    if (chat) return parse_chat(line, place, columns);
    if (pair) {
      return pair_example(line.required<std::string>("prompt"),
                          words_of(line.required<std::string>("completion"), columns, line.file(), place),
                          columns);
    }
    return text_example(line.required<std::string>("text"), columns);
  }

  static Example parse_chat(const JsonObject& line, const std::string& place, const Columns& columns) {
    if (!columns.chat) {
      throw FileError(
          line.file(), place,
          "found messages but no chat template to write them by; " +
              (columns.no_chat.empty()
                   ? "copy the model's tokenizer_config.json beside its tokenizer.json, or write each "
                     "answer and what comes before it as completion and prompt"
                   : columns.no_chat));
    }
    const nlohmann::json* const list = line.find("messages");
    if (!list->is_array()) line.fail("messages", "expected an array of messages; correct it");
    std::vector<ChatMessage> messages;
    for (std::size_t i = 0; i < list->size(); ++i) {
      const JsonObject message((*list)[i], line.file(), "messages[" + std::to_string(i) + "]", place);
      if (message.contains("tool_calls"))
        message.fail("tool_calls", "expected none, for tools are not read; remove the conversation");
      messages.push_back({message.required<std::string>("role"), message.required<std::string>("content")});
    }
    Example example;
    std::vector<std::int32_t> last;
    try {
      for (const ChatPart& part : columns.chat(messages)) {
        last = columns.encoder.encode(part.text);
        example.ids.insert(example.ids.end(), last.begin(), last.end());
        const auto labels = part.learned ? last : std::vector<std::int32_t>(last.size(), ignored_label);
        example.labels.insert(example.labels.end(), labels.begin(), labels.end());
      }
    } catch (const ArgumentError& error) {
      line.fail("messages", error.what());
    }
    // Templates may write the end of text themselves.
    const auto end = columns.encoder.end_of_text;
    const bool ended = end && std::find(last.begin(), last.end(), *end) != last.end();
    return with_end(std::move(example), columns, !ended);
  }

  /// The fields of a line, for errors: ` (its fields: "a", "b" (null))`.
  static std::string fields_of(const JsonObject& line) {
    std::string text;
    std::size_t count = 0;
    for (const auto& [name, value] : line.value().get_ref<const nlohmann::json::object_t&>()) {
      if (++count > 10) return " (its fields: " + text + ", …)";
      text += (text.empty() ? "" : ", ") + detail::in_quotes(name) + (value.is_null() ? " (null)" : "");
    }
    return text.empty() ? " in {}" : " (its fields: " + text + ")";
  }

  /// A field that was asked for by its name; numbers are written out.
  static std::string text_of(const JsonObject& line, const std::string& field, const std::string& place) {
    const nlohmann::json* const value = line.find(field);
    if (value == nullptr) {
      throw FileError(line.file(), place,
                      "expected a field " + detail::in_quotes(field) + fields_of(line) +
                          "; name fields that are there, or complete the line");
    }
    if (value->is_number() || value->is_boolean()) return value->dump();
    return line.required<std::string>(field);
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
  std::size_t tokens_ = 0, learned_ = 0, longest_ = 0, truncated_ = 0, dropped_ = 0, passed_over_ = 0;
  std::size_t max_length_ = 0;
};

}  // namespace sdlora
