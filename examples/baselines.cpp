// What a classifier without a language model reaches on {"prompt","completion"} data: the majority class, and
// multinomial naive Bayes on words.
#include <cstdio>
#include <filesystem>

#include "support/command_line.hpp"
#include "support/labelled_text.hpp"
#include "support/naive_bayes.hpp"

int main(int argc, char** argv) {
  using namespace sdlora::examples;
  const std::filesystem::path demo = std::filesystem::path(SDLORA_SOURCE_DIR) / "examples/data/wordnet";
  std::filesystem::path train = demo / "train.jsonl", validation = demo / "validation.jsonl",
                        test = demo / "test.jsonl";
  CommandLine command("baselines", "Accuracy of the majority class and of naive Bayes on words");
  command.option("--train", train, "JSONL with prompt and completion, to count words in");
  command.option("--validation", validation, "to choose the smoothing");
  command.option("--test", test, "to measure");
  return command.run(argc, argv, [&] {
    const auto training = read_labelled_texts(train);
    const Baselines found =
        measure_baselines(training, read_labelled_texts(validation), read_labelled_texts(test));
    const auto print = [](const char* name, const Accuracy& accuracy) {
      std::printf("%-28s %6.2f %% ± %.2f (%zu of %zu)\n", name, 100 * accuracy.value(),
                  100 * accuracy.standard_error(), accuracy.right, accuracy.items);
    };
    std::printf("trained on %zu texts; ± is the binomial standard error\n", training.size());
    print(("majority class (" + found.majority_class + ")").c_str(), found.majority);
    std::printf("naive Bayes, smoothing %g:\n", found.smoothing);
    print("  validation (chosen on it)", found.naive_bayes_validation);
    print("  test", found.naive_bayes);
  });
}
