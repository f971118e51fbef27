// examples/01_finetune.cpp: SDLoRA on the small Mamba of this repository, from the base to a saved adapter.
//
//   01_finetune [folder for the adapter]
#include <cstdlib>
#include <iostream>
#include <sdlora/sdlora.hpp>
using namespace sdlora;

// The sizes of examples/base. What is known here is known to the compiler.
struct Small {
  static constexpr MambaConfig config{.d_model = 160, .n_layer = 8, .vocab_size = 264};
};
// What learns is part of the model's type: LoRA of rank 8 on out_proj; 3 channels of the SSM, 4 states of
// each.
using Method = presets::SDLoRA<8, 3, 4>;
using Model = MambaModel<Small, Method>;
static_assert(Model::trainable_parameters == 31'584);

int main(int argc, char** argv) try {
  const std::filesystem::path examples = SDLORA_SOURCE_DIR "/examples";  // CMake defines it
  const std::filesystem::path adapter = argc > 1 ? argv[1] : "build/my-adapter";

  auto base = load_base<Small>(examples / "base");  // it never changes, and every model on it shares it
  const ByteTokenizer tokenizer;
  auto all = JsonlDataset::open(examples / "data/wordnet/train.jsonl", tokenizer, {.max_length = 128});
  auto held_out = JsonlDataset::open(examples / "data/wordnet/validation.jsonl", tokenizer);
  const auto data = all.examples().first(160);  // a slice, to be done in seconds
  const auto check = held_out.examples().first(60);

  // Phase 1 finds the dimensions of the SSM that move the most. Phase 2 trains them, from the base again.
  auto selection = select_dimensions<Method>(base, data, {.steps = 15, .progress = false});
  Model model{base, selection};
  const double before = evaluate_loss(model, check).mean();
  Trainer trainer{model, {.epochs = 2, .learning_rate = 5e-3, .batch_size = 8, .progress = false}};
  trainer.fit(data);
  const double after = evaluate_loss(model, check).mean();
  save_adapter(model, adapter);

  std::cout << Model::trainable_parameters << " of " << model.total_parameters() << " parameters learned\n"
            << "loss before " << before << ", after " << after << '\n'
            << "the adapter is in " << adapter.string() << '\n';
  return after < before ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& e) {  // the library's errors say what to do
  std::cerr << "01_finetune: " << e.what() << '\n';
  return EXIT_FAILURE;
}
