#pragma once

#include <sdlora/io/dataset.hpp>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace sdlora::examples {

/// What --data and --eval take, for --help.
inline constexpr const char* data_help =
    "JSONL of {prompt, completion}, {text}, {messages} (by the checkpoint's chat template) or "
    "{input_ids, labels}; .csv and .tsv of such columns; .txt, a line an example; each also as .gz; "
    "-: the standard input";

/// The flags that say how a file of examples is read, as --prompt-column and --max-length.
class DataFlags {
 public:
  explicit DataFlags(CommandLine& command) {
    command.option("--format", format_, "of the data, where names do not say it: jsonl, csv, tsv or text");
    command.option("--prompt-column", options_.prompt_column, "column or field of the prompt");
    command.option("--completion-column", options_.completion_column,
                   "and of the completion, which follows the prompt with nothing between them");
    command.texts("--completion-words", words_,
                  "what is written for completions, as 0=negative,1=positive; data with others is refused");
    command.option("--text-column", options_.text_column, "or of a text, learned as a whole");
    command.option("--template", options_.prompt_template,
                   "makes the prompt of several columns: \"Q: {question}\\nA: \"");
    command.option("--max-length", options_.max_length, "longer examples are cut; 0: never");
  }
  DataFlags(const DataFlags&) = delete;
  DataFlags& operator=(const DataFlags&) = delete;

  /// What was given. ArgumentError for a format that there is not.
  DatasetOptions options() const {
    DatasetOptions options = options_;
    options.format = data_format(format_);
    for (const std::string& word : words_) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos) {
        throw ArgumentError("--completion-words: expected pairs as 0=negative,1=positive, found '" + word +
                            "'; write what the data has, =, and the words for it");
      }
      options.completion_words.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
    return options;
  }

 private:
  DatasetOptions options_;
  std::string format_;
  std::vector<std::string> words_;
};

}  // namespace sdlora::examples
