// Continues a text with a Mamba checkpoint, with or without an adapter.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/io/input_file.hpp>
#include <sdlora/io/streaming_decoder.hpp>
#include <sdlora/model/generate.hpp>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "commands.hpp"
#include "support/any_adapter.hpp"
#include "support/placements.hpp"
#include "support/stop_text.hpp"
#include "support/text.hpp"
#include "support/weights_flag.hpp"

namespace {

using namespace sdlora;
using Json = nlohmann::ordered_json;

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

/// A file's lines, each a prompt.
std::vector<std::string> read_prompts(const std::filesystem::path& file) {
  LineReader lines(file);
  std::vector<std::string> prompts;
  for (std::string line; lines.next_text(line);) {
    if (line.empty()) {
      throw FileError(
          lines.name(), lines.place(),
          "expected a prompt, found an empty line; remove it, or write what the answer continues");
    }
    prompts.push_back(line);
  }
  if (prompts.empty())
    throw FileError(lines.name(), "", "expected prompts, one a line, found none; fill the file");
  return prompts;
}

/// `text` on one line: what `unescaped` reads.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n' || c == '\\') result += '\\';
    result += c == '\n' ? 'n' : c;
  }
  return result;
}

void show(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_json(const Json& json) { show(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"); }

/// Answers prompts that are text.
class Answerer {
 public:
  using Model = examples::Placements::model_type;

  Answerer(const Model& model, const AnyTokenizer& tokenizer, const GenerateOptions& options,
           std::string stop)
      : model_(&model), tokenizer_(&tokenizer), options_(options), stop_(std::move(stop)) {}

  /// The answer; `use` is called with each piece of it, and with an empty one before the first.
  std::string operator()(
      const std::string& prompt,
      const std::function<void(const std::string&)>& use = [](const std::string&) {}) const {
    StreamingDecoder<AnyTokenizer> decoder(*tokenizer_);
    examples::StopText stopping(stop_);
    std::string answer;
    const auto take = [&](const std::string& piece) {
      answer += piece;
      use(piece);
    };
    GenerateOptions options = options_;
    options.on_token = [&](std::int32_t id) {
      take(stopping.push(decoder.push(id)));
      return !stopping.found();
    };
    sdlora::generate(*model_, tokenizer_->encode(prompt), options);
    take(stopping.push(decoder.finish()));
    take(stopping.finish());
    return answer;
  }

 private:
  const Model* model_;
  const AnyTokenizer* tokenizer_;
  GenerateOptions options_;
  std::string stop_;
};

}  // namespace

int sdlora::commands::generate(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory, file;
  std::string prompt, stop;
  std::vector<std::int32_t> ids;
  bool json = false;
  GenerateOptions options{.max_tokens = 200};
  command.option("--model", model_directory, "checkpoint directory").required();
  const examples::AdapterFlags adapter(command);
  const auto ids_option =
      command.option("--ids", ids, "token ids to continue, on any checkpoint; prints ids");
  command.exactly_one_of(
      {command.option("--prompt", prompt, "text to continue, by the checkpoint's tokenizer"),
       command.option(
           "--file", file,
           "a file of prompts, one a line, also as .gz; -: the standard input. Prints an answer a line, "
           "in which \\n is a line's end and \\\\ a \\"),
       ids_option});
  command.flag(
      "--json", json,
      "an object for each prompt: {\"prompt\", \"answer\"}, or {\"ids\", \"answer_ids\"} with --ids");
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
      command.option("--seed", options.seed, "of every prompt")};
  const examples::WeightsFlag weights(command);
  command.threads();
  command.examples(
      "sdlora generate --model mamba-130m-hf --prompt \"Hello, my name is\"\n"
      "sdlora generate --model mamba-130m-hf --adapter my-adapter --prompt \"Q: …\" --temperature 0.7 --stop "
      "\"\\n\"\n"
      "sdlora generate --model mamba-130m-hf --adapter my-adapter --file prompts.txt --json > answers.jsonl");
  return command.run(argc, argv, [&] {
    const LoadBaseOptions loading = weights.options();
    if (prompt.empty() && file.empty() && ids.empty())
      throw ArgumentError("--prompt: expected a text to continue, found an empty one; give a byte at least");
    const CheckpointConfig config = read_base_config(model_directory);
    require_sensible(options, config.vocab_size);
    options.stop_tokens.insert(options.stop_tokens.end(), config.stop_tokens.begin(),
                               config.stop_tokens.end());
    std::optional<AnyTokenizer> tokenizer;
    std::vector<std::string> prompts;
    if (ids.empty()) {
      tokenizer = examples::read_tokenizer(model_directory, config);
      // What ends a text in training may be another than what the configuration names.
      if (const auto end = tokenizer->end_of_text()) options.stop_tokens.push_back(*end);
      prompts = file.empty() ? std::vector{prompt} : read_prompts(file);
    }
    options.vocabulary =
        tokenizer ? tokenizer->vocab_size() : examples::used_vocabulary(model_directory, config);
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory, loading);
    const auto model = adapter.load(base);
    if (tokenizer) {
      const Answerer answer(*model, *tokenizer, options, examples::unescaped(stop));
      for (const std::string& each : prompts) {
        if (json) {
          print_json({{"prompt", each}, {"answer", answer(each)}});
        } else if (!file.empty()) {
          show(escaped(answer(each)) + "\n");
        } else {
          // The prompt is printed with the first token, so that a failure prints nothing.
          bool begun = false;
          answer(each, [&](const std::string& piece) {
            if (!begun) show(each);
            begun = true;
            show(piece);
            std::fflush(stdout);
          });
          show("\n");
        }
        std::fflush(stdout);
      }
    } else {
      if (!json) {
        options.on_token = [](std::int32_t id) {
          std::printf("%d ", static_cast<int>(id));
          std::fflush(stdout);
          return true;
        };
      }
      const std::vector<std::int32_t> answer = sdlora::generate(*model, ids, options);
      if (json) {
        print_json({{"ids", ids}, {"answer_ids", answer}});
      } else {
        show("\n");
      }
    }
    if (options.temperature == 0.0) examples::report_without_effect("at temperature 0", sampling);
  });
}
