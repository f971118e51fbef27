// The program sdlora: fine-tunes Mamba checkpoints and uses what comes out of it. A command each in sdlora/.
#include <sdlora/version.hpp>

#include <string>

#include "sdlora/commands.hpp"
#include "support/program.hpp"

int main(int argc, char** argv) {
  namespace commands = sdlora::commands;
  const std::string version = std::to_string(SDLORA_VERSION_MAJOR) + "." +
                              std::to_string(SDLORA_VERSION_MINOR) + "." +
                              std::to_string(SDLORA_VERSION_PATCH);
  sdlora::examples::Program program(
      "sdlora", "Fine-tunes Mamba checkpoints by few parameters, and uses the adapters", version,
      "sdlora finetune --model mamba-130m-hf --data train.jsonl --out my-adapter\n"
      "sdlora generate --model mamba-130m-hf --adapter my-adapter --prompt \"Hello, my name is\"\n"
      "sdlora evaluate --model mamba-130m-hf --adapter my-adapter --data test.jsonl --accuracy\n"
      "sdlora merge --model mamba-130m-hf --adapter my-adapter --out merged");
  program.command("finetune", "Fine-tunes a checkpoint on data of yours and writes an adapter",
                  &commands::finetune);
  program.command("generate", "Continues a text, or many", &commands::generate);
  program.command("score", "Log-probabilities of the tokens of a text", &commands::score);
  program.command("evaluate", "Loss, perplexity and accuracy on examples", &commands::evaluate);
  program.command("merge", "Adds an adapter to its base and writes a plain checkpoint", &commands::merge);
  program.command("export", "Writes an adapter in peft's format", &commands::export_adapter);
  program.command("inspect", "What a checkpoint or an adapter holds", &commands::inspect);
  program.command("tokenize", "Token ids of texts", &commands::tokenize);
  return program.run(argc, argv);
}
