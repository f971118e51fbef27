// The ids of texts by a checkpoint's tokenizer.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/input_file.hpp>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "commands.hpp"
#include "support/text.hpp"

namespace {

void print_list(const std::vector<std::int32_t>& ids) {
  std::string text = "[";
  for (const std::int32_t id : ids) text += (text.size() == 1 ? "" : ", ") + std::to_string(id);
  std::printf("%s]\n", text.c_str());
}

}  // namespace

int sdlora::commands::tokenize(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory, file;
  std::string text;
  command.option("--model", model_directory, "checkpoint directory").required();
  const auto text_option = command.option("--text", text, "a text");
  command.exactly_one_of(
      {text_option,
       command.option("--file", file,
                      "a file in which each line is a text, which its line feed is no part of; also "
                      "as .gz; -: the standard input")});
  command.examples(
      "sdlora tokenize --model mamba-130m-hf --text \"The cat sat on the mat.\"\n"
      "sdlora tokenize --model mamba-130m-hf --file lines.txt > ids.jsonl");
  return command.run(argc, argv, [&] {
    const CheckpointConfig config = read_base_config(model_directory);
    const AnyTokenizer tokenizer = examples::read_tokenizer(model_directory, config);
    if (text_option.given()) {
      print_list(tokenizer.encode(text));
      return;
    }
    LineReader lines(file);
    for (std::string line; lines.next_text(line);) print_list(tokenizer.encode(line));
  });
}
