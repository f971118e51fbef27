// Per-token log-probabilities and perplexity of a text or of token ids.
#include <sdlora/io/base_checkpoint.hpp>
#include <sdlora/training/evaluate.hpp>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "commands.hpp"
#include "support/any_adapter.hpp"
#include "support/placements.hpp"
#include "support/text.hpp"
#include "support/weights_flag.hpp"

int sdlora::commands::score(CommandLine& command, int argc, char** argv) {
  std::filesystem::path model_directory, file;
  std::string text;
  std::vector<std::int32_t> ids;
  bool json = false;
  command.option("--model", model_directory, "checkpoint directory").required();
  const examples::AdapterFlags adapter(command);
  command.exactly_one_of({command.option("--ids", ids, "token ids, 5,17,…"),
                          command.option("--text", text, "text, by the checkpoint's tokenizer"),
                          command.option("--file", file, "a file of text")});
  command.flag("--json", json, R"(one object {"ids", "logprobs", "perplexity"})");
  const examples::WeightsFlag weights(command);
  command.threads();
  command.examples(
      "sdlora score --model mamba-130m-hf --text \"The cat sat on the mat.\"\n"
      "sdlora score --model mamba-130m-hf --adapter my-adapter --ids 12092,13,619 --json");
  return command.run(argc, argv, [&] {
    const LoadBaseOptions loading = weights.options();
    const CheckpointConfig config = read_base_config(model_directory);
    if (ids.empty()) {
      const AnyTokenizer tokenizer = examples::read_tokenizer(model_directory, config);
      ids = tokenizer.encode(file.empty() ? text : read_text_file(file, std::size_t{1} << 30));
    }
    if (ids.size() < 2) {
      throw ArgumentError("expected at least 2 tokens to score one after another, found " +
                          std::to_string(ids.size()));
    }
    const examples::AnyBasePointer base = load_base<presets::AnyMamba>(model_directory, loading);
    const auto model = adapter.load(base);
    const std::vector<double> logprobs = token_log_probabilities(*model, ids);
    double sum = 0.0;
    for (const double value : logprobs) sum += value;
    const double perplexity = std::exp(-sum / static_cast<double>(logprobs.size()));
    if (!std::isfinite(perplexity)) {
      throw Error("the log-probabilities add up to " + std::to_string(sum) +
                  ", expected a finite number; the checkpoint's or the adapter's values are damaged");
    }
    if (!json) {
      for (std::size_t i = 0; i < logprobs.size(); ++i) {
        std::printf("%d %.6f\n", static_cast<int>(ids[i + 1]), logprobs[i]);
      }
      std::printf("perplexity %.6f\n", perplexity);
      return;
    }
    std::printf("{\"ids\": [");
    for (std::size_t i = 0; i < ids.size(); ++i)
      std::printf("%s%d", i == 0 ? "" : ", ", static_cast<int>(ids[i]));
    std::printf("], \"logprobs\": [");
    for (std::size_t i = 0; i < logprobs.size(); ++i) std::printf("%s%.9g", i == 0 ? "" : ", ", logprobs[i]);
    std::printf("], \"perplexity\": %.9g}\n", perplexity);
  });
}
