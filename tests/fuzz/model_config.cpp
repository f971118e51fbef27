#include "target.hpp"

#include <sdlora/io/model_config.hpp>
#include <sdlora/io/tokenizer_config.hpp>

namespace fuzz_model_config {

using namespace sdlora;

/// A line each: config.json, generation_config.json, tokenizer_config.json, special_tokens_map.json; empty
/// ones are not there.
void read(std::string_view input) {
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string_view line = fuzz::first_line(input);
    if (line.empty()) {
      std::filesystem::remove(fuzz::folder() / name);
    } else {
      fuzz::write(name, line);
    }
  }
  fuzz::accepted([] { (void)read_tokenizer_config(fuzz::folder()); });
  (void)checkpoint_config_text(read_checkpoint_config(fuzz::folder()));
}

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (const char* name : {"two_layers", "falcon_mamba", "original_keys"}) {
    all.push_back(fuzz::with_line(
        fuzz::content(fuzz::reference((std::string(name) + "/config.json").c_str())),
        "{\"eos_token_id\": [1, 2]}\n{\"eos_token\": {\"content\": \"</s>\"}, \"chat_template\": [{\"name\": "
        "\"default\", \"template\": \"a\"}]}\n{\"bos_token\": \"<s>\"}\n"));
  }
  return all;
}

[[maybe_unused]] const bool added = fuzz::add({"model_config", fuzz::Parts::json_lines, read, seeds});

}  // namespace fuzz_model_config
