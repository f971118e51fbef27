#include <filesystem>
#include <sdlora/io/tokenizer_files.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;

TEST_CASE("a tokenizer's files are copied as they are, and those that are there stay") {
  const test::Folder from, to;
  using Names = std::vector<std::string>;
  CHECK(copy_tokenizer_files(from.path(), to.path()).empty());
  CHECK(to.entries() == 0);
  from.write("tokenizer.json", std::string("a\0b\xFF", 4));
  from.write("generation_config.json", "{}");
  from.write("vocab.json", "");
  from.write("model.safetensors", "weights");
  from.write("README.md", "a card");
  std::filesystem::create_directory(from / "merges.txt");
  to.write("tokenizer_config.json", "mine");
  to.write("vocab.json", "mine");
  CHECK(copy_tokenizer_files(from.path(), to.path()) ==
        Names{"tokenizer.json", "tokenizer_config.json", "vocab.json", "generation_config.json"});
  CHECK(test::content(to / "tokenizer.json") == std::string("a\0b\xFF", 4));
  CHECK(test::content(to / "generation_config.json") == "{}");
  CHECK(test::content(to / "vocab.json") == "mine");
  CHECK(to.entries() == 4);
  test::check_error<FileError>([&] { (void)copy_tokenizer_files(from.path(), to / "absent"); },
                               {"absent/tokenizer.json"});
}
