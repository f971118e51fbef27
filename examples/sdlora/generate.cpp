// Continues a text with a Mamba checkpoint, with or without an adapter.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/streaming_decoder.hpp>
#include <sdlora/model/generate.hpp>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"
#include "support/any_adapter.hpp"
#include "support/placements.hpp"
#include "support/stop_text.hpp"
#include "support/text.hpp"
#include "support/weights_flag.hpp"

namespace {

using namespace sdlora;

/// What the library would refuse, by the names that the user gave.
void require_sensible(const GenerateOptions& options, std::size_t vocab_size) {
  const auto refuse = [](const std::string& what) { throw ArgumentError(what); };
  if (!(options.temperature >= 0.0 && options.temperature <= 1e30)) {
    refuse("--temperature: expected at least 0, found " + detail::short_number(options.temperature) +
           "; 0 takes the likeliest token, 1 samples as is");
  }
  if (!(options.top_p > 0.0 && options.top_p <= 1.0)) {
    refuse("--top-p: expected a number above 0 and at most 1, found " + detail::short_number(options.top_p) +
           "; 1 allows every token");
  }
  for (const std::int32_t id : options.stop_tokens) {
    if (id >= 0 && static_cast<std::size_t>(id) < vocab_size) continue;
    refuse("--stop-ids: expected ids from 0 to " + std::to_string(vocab_size - 1) + ", found " +
           std::to_string(id));
  }
}

}  // namespace

int sdlora::commands::generate(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory;
  std::string prompt, stop;
  std::vector<std::int32_t> ids;
  GenerateOptions options{.max_tokens = 200};
  command.option("--model", model_directory, "checkpoint directory").required();
  const examples::AdapterFlags adapter(command);
  const auto ids_option =
      command.option("--ids", ids, "token ids to continue, on any checkpoint; prints ids");
  command.exactly_one_of(
      {command.option("--prompt", prompt, "text to continue, by the checkpoint's tokenizer"), ids_option});
  command.option("--max-tokens", options.max_tokens);
  command
      .option("--stop", stop,
              "text that ends the answer where it comes, and is not shown; \\n is a line's end")
      .excludes(ids_option);
  command.option("--stop-ids", options.stop_tokens,
                 "token ids that end the answer, besides those that the checkpoint names");
  command.option("--temperature", options.temperature, "0: always the likeliest token");
  const std::vector sampling{
      command.option("--top-k", options.top_k, "only the k likeliest tokens; 0: all"),
      command.option("--top-p", options.top_p, "only the likeliest tokens of this probability together"),
      command.option("--seed", options.seed)};
  const examples::WeightsFlag weights(command);
  command.threads();
  command.examples(
      "sdlora generate --model mamba-130m-hf --prompt \"Hello, my name is\"\n"
      "sdlora generate --model mamba-130m-hf --adapter my-adapter --prompt \"Q: …\" --temperature 0.7 --stop "
      "\"\\n\"");
  return command.run(argc, argv, [&] {
    const LoadBaseOptions loading = weights.options();
    if (prompt.empty() && ids.empty())
      throw ArgumentError("--prompt: expected a text to continue, found an empty one; give a byte at least");
    const CheckpointConfig config = read_base_config(model_directory);
    require_sensible(options, config.vocab_size);
    const bool text = ids.empty();
    std::optional<AnyTokenizer> tokenizer;
    std::optional<StreamingDecoder<AnyTokenizer>> decoder;
    options.stop_tokens.insert(options.stop_tokens.end(), config.stop_tokens.begin(),
                               config.stop_tokens.end());
    if (text) {
      tokenizer = examples::read_tokenizer(model_directory, config);
      decoder.emplace(*tokenizer);
      ids = tokenizer->encode(prompt);
      // What ends a text in training may be another than what the configuration names.
      if (const auto end = tokenizer->end_of_text()) options.stop_tokens.push_back(*end);
    }
    options.vocabulary = text ? tokenizer->vocab_size() : examples::used_vocabulary(model_directory, config);
    examples::StopText stopping(examples::unescaped(stop));
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory, loading);
    const auto model = adapter.load(base);
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
        show(stopping.push(decoder->push(id)));
      } else {
        std::printf("%d ", static_cast<int>(id));
      }
      std::fflush(stdout);
      return !stopping.found();
    };
    generate(*model, ids, options);
    begin();
    if (text) {
      show(stopping.push(decoder->finish()));
      show(stopping.finish());
    }
    std::printf("\n");
    std::fflush(stdout);
    if (options.temperature == 0.0) examples::report_without_effect("at temperature 0", sampling);
  });
}
