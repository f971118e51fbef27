// Continues a text with a Mamba checkpoint, with or without an adapter.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/streaming_decoder.hpp>
#include <sdlora/model/generate.hpp>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/command_line.hpp"
#include "support/placements.hpp"
#include "support/text.hpp"

int main(int argc, char** argv) {
  using namespace sdlora;
  std::filesystem::path model_directory, adapter;
  std::string prompt;
  std::vector<std::int32_t> ids;
  GenerateOptions options{.max_tokens = 200};
  examples::CommandLine command("generate", "Continues a text with a Mamba checkpoint");
  command.option("--model", model_directory, "checkpoint directory").required();
  command.option("--adapter", adapter, "adapter directory");
  command.exactly_one_of(
      {command.option("--prompt", prompt, "text to continue, by the checkpoint's tokenizer"),
       command.option("--ids", ids, "token ids to continue, on any checkpoint; prints ids")});
  command.option("--max-tokens", options.max_tokens);
  command.option("--temperature", options.temperature, "0: always the likeliest token");
  const std::vector sampling{
      command.option("--top-k", options.top_k, "only the k likeliest tokens; 0: all"),
      command.option("--top-p", options.top_p, "only the likeliest tokens of this probability together"),
      command.option("--seed", options.seed)};
  command.threads();
  return command.run(argc, argv, [&] {
    if (prompt.empty() && ids.empty())
      throw ArgumentError("--prompt: expected a text to continue, found an empty one; give a byte at least");
    const CheckpointConfig config = read_base_config(model_directory);
    const bool text = ids.empty();
    std::optional<AnyTokenizer> tokenizer;
    std::optional<StreamingDecoder<AnyTokenizer>> decoder;
    if (text) {
      tokenizer = examples::read_tokenizer(model_directory, config);
      decoder.emplace(*tokenizer);
      ids = tokenizer->encode(prompt);
      options.stop_token = tokenizer->end_of_text();
      options.vocabulary = tokenizer->vocab_size();
    } else if (config.end_of_text) {
      options.stop_token = config.end_of_text;
    }
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory);
    const auto model = adapter.empty() ? examples::Placements::make("frozen", base, {}, {})
                                       : examples::Placements::load_adapter(base, adapter);
    // The prompt is printed with the first token, so that a failure prints nothing.
    bool begun = false;
    const auto begin = [&] {
      if (text && !begun) std::fwrite(prompt.data(), 1, prompt.size(), stdout);
      begun = true;
    };
    const auto show = [](const std::string& piece) { std::fwrite(piece.data(), 1, piece.size(), stdout); };
    options.on_token = [&](std::int32_t id) {
      begin();
      if (text) {
        show(decoder->push(id));
      } else {
        std::printf("%d ", static_cast<int>(id));
      }
      std::fflush(stdout);
      return true;
    };
    generate(*model, ids, options);
    begin();
    if (text) show(decoder->finish());
    std::printf("\n");
    std::fflush(stdout);
    if (options.temperature == 0.0) examples::report_without_effect("at temperature 0", sampling);
  });
}
