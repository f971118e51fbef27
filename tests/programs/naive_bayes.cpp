#include "support/naive_bayes.hpp"

#include <doctest/doctest.h>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/labelled_text.hpp"

using namespace sdlora::examples;

namespace {

const std::vector<LabelledText> animals_and_plants{
    {"a small furry animal", "animal"}, {"an animal; a DOG", "animal"}, {"a small green tree", "plant"}};

}  // namespace

TEST_CASE("words are runs of letters and digits in lower case") {
  CHECK(words_of("A dog's 2 legs (or 4)=> ") ==
        std::vector<std::string>{"a", "dog", "s", "2", "legs", "or", "4"});
  CHECK(words_of("").empty());
  CHECK(words_of(" => ").empty());
  CHECK(words_of("\xc3\xa9t\xc3\xa9") == std::vector<std::string>{"t"});
}

TEST_CASE("naive Bayes: scores are those worked out by hand") {
  const NaiveBayes model(animals_and_plants);
  REQUIRE(model.labels().size() == 2);
  CHECK(model.labels()[0] == "animal");
  CHECK(model.vocabulary() == 8);  // a small furry animal an dog green tree
  CHECK(model.majority() == "animal");
  // animal: 8 words, "small" 1, "dog" 1; plant: 4 words, "small" 1, "dog" 0; smoothing 1/2 on 8 words adds 4.
  const auto scores = model.scores("small small dog unknown", 0.5);
  CHECK(scores[0] == doctest::Approx(std::log(2.0 / 3) + 3 * std::log(1.5 / 12)).epsilon(1e-14));
  CHECK(scores[1] ==
        doctest::Approx(std::log(1.0 / 3) + 2 * std::log(1.5 / 8) + std::log(0.5 / 8)).epsilon(1e-14));
}

TEST_CASE("naive Bayes: classification, unknown words and ties") {
  const NaiveBayes model(animals_and_plants);
  CHECK(model.classify("a green tree", 0.1) == "plant");
  CHECK(model.classify("furry dog", 0.1) == "animal");
  CHECK(model.classify("nothing known", 0.1) == "animal");  // by the classes' shares alone
  const NaiveBayes tie(std::vector<LabelledText>{{"x", "b"}, {"x", "a"}});
  CHECK(tie.classify("x", 1) == "a");
  CHECK_THROWS_AS(NaiveBayes(std::vector<LabelledText>{}), sdlora::ArgumentError);
  CHECK_THROWS_AS(model.classify("a", 0.0), sdlora::ArgumentError);
  CHECK_THROWS_AS(model.classify("a", std::nan("")), sdlora::ArgumentError);
}

TEST_CASE("accuracy and its standard error") {
  const std::vector<LabelledText> texts{{"1", "x"}, {"2", "x"}, {"3", "y"}, {"4", "x"}};
  const Accuracy accuracy = measure_accuracy(texts, [](std::string_view) { return std::string("x"); });
  CHECK(accuracy.right == 3);
  CHECK(accuracy.value() == 0.75);
  CHECK(accuracy.standard_error() == doctest::Approx(std::sqrt(0.75 * 0.25 / 4)));
  CHECK_THROWS_AS(measure_accuracy({}, [](std::string_view) { return std::string(); }),
                  sdlora::ArgumentError);
}

TEST_CASE("the smoothing is the best one on validation") {
  // "rare" was seen once, with y, among many x: little smoothing says y, much says x.
  std::vector<LabelledText> training(12, {"common", "x"});
  training.push_back({"rare", "y"});
  const std::vector<LabelledText> says_y{{"rare", "y"}}, says_x{{"rare", "x"}};
  const Baselines small = measure_baselines(training, says_y, says_y);
  CHECK(small.naive_bayes_validation.right == 1);
  CHECK(small.naive_bayes.right == 1);
  CHECK(small.majority.right == 0);
  CHECK(small.majority_class == "x");
  const Baselines large = measure_baselines(training, says_x, says_x);
  CHECK(large.naive_bayes_validation.right == 1);
  CHECK(large.smoothing > small.smoothing);
}

TEST_CASE("labelled texts: fields that are missing are named") {
  const auto path = std::filesystem::temp_directory_path() / "sdlora_labelled_text.jsonl";
  std::ofstream(path) << "{\"prompt\":\"p\",\"completion\":\"c\"}\n{\"prompt\":\"p\"}\n";
  CHECK_THROWS_WITH_AS(read_labelled_texts(path), doctest::Contains("line 2, field completion"),
                       sdlora::FileError);
  std::ofstream(path) << "{\"prompt\":\"p\",\"completion\":\"\"}\n";
  CHECK_THROWS_AS(read_labelled_texts(path), sdlora::FileError);
  std::filesystem::remove(path);
}

TEST_CASE("the demo's data: sizes, 25 classes, none a prefix of another") {
  const std::filesystem::path folder = std::filesystem::path(SDLORA_SOURCE_DIR) / "examples/data/wordnet";
  const auto train = read_labelled_texts(folder / "train.jsonl");
  const auto validation = read_labelled_texts(folder / "validation.jsonl");
  const auto test = read_labelled_texts(folder / "test.jsonl");
  CHECK(train.size() == 20'000);
  CHECK(validation.size() == 1'000);
  CHECK(test.size() == 2'000);
  const NaiveBayes model(train);
  CHECK(model.labels().size() == 25);
  for (std::size_t i = 0; i + 1 < model.labels().size(); ++i)  // in byte order a prefix stands right before
    CHECK_FALSE(model.labels()[i + 1].starts_with(model.labels()[i]));
  const Baselines found = measure_baselines(train, validation, test);
  CHECK(found.majority_class == "artifact");
  CHECK(found.majority.right == 297);
  CHECK(found.naive_bayes.value() == doctest::Approx(0.716).epsilon(0.005));
}
