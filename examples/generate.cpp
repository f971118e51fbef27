// Continues a text with a Mamba checkpoint, with or without an adapter.
#include <sdlora/adapters/presets.hpp>
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/dataset.hpp>
#include <sdlora/model/generate.hpp>
#include <sdlora/tensor/parallel.hpp>

#include <cstdio>
#include <filesystem>
#include <string>

#include "support/any_model.hpp"
#include "support/program.hpp"

int main(int argc, char** argv) {
  using namespace sdlora;
  std::filesystem::path model_directory, adapter;
  std::string prompt;
  std::vector<std::int32_t> ids;
  GenerateOptions options{.max_tokens = 200};
  std::size_t threads = 0;
  CLI::App app("Continues a text with a Mamba checkpoint", "generate");
  app.add_option("--model", model_directory, "checkpoint directory")->required();
  app.add_option("--adapter", adapter, "adapter directory");
  auto* text_option = app.add_option("--prompt", prompt, "text to continue, on a byte-level checkpoint");
  app.add_option("--ids", ids, "token ids to continue, on any checkpoint; prints ids")
      ->delimiter(',')
      ->excludes(text_option);
  app.add_option("--max-tokens", options.max_tokens)->capture_default_str();
  app.add_option("--temperature", options.temperature, "0: always the likeliest token")
      ->capture_default_str();
  app.add_option("--top-k", options.top_k, "only the k likeliest tokens; 0: all")->capture_default_str();
  app.add_option("--top-p", options.top_p, "only the likeliest tokens of this probability together")
      ->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--threads", threads, "0: one per processor")->capture_default_str();
  return examples::run_program(app, argc, argv, [&] {
    if (threads != 0) set_thread_count(threads);
    if (prompt.empty() && ids.empty())
      throw ArgumentError("expected --prompt TEXT or --ids LIST, found neither");
    const CheckpointConfig config = read_checkpoint_config(model_directory);
    const bool text = ids.empty();
    const ByteTokenizer tokenizer;
    if (text) {
      require_compatible(tokenizer, config);
      ids = tokenizer.encode(prompt);
      options.stop_token = ByteTokenizer::end_of_text_id;
      options.vocabulary = tokenizer.vocab_size();
    } else if (config.end_of_text) {
      options.stop_token = config.end_of_text;
    }
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory);
    const auto model = adapter.empty() ? examples::make_model("frozen", base, {}, {})
                                       : examples::load_any_adapter(base, adapter);
    // The prompt is printed with the first token, so that a failure prints nothing.
    bool begun = false;
    const auto begin = [&] {
      if (text && !begun) std::fwrite(prompt.data(), 1, prompt.size(), stdout);
      begun = true;
    };
    options.on_token = [&](std::int32_t id) {
      begin();
      if (text) {
        const std::string bytes = tokenizer.decode(std::vector{id});
        std::fwrite(bytes.data(), 1, bytes.size(), stdout);
      } else {
        std::printf("%d ", static_cast<int>(id));
      }
      std::fflush(stdout);
      return true;
    };
    generate(*model, ids, options);
    begin();
    std::printf("\n");
  });
}
