#include <cstdint>
#include <sdlora/io/tokenizer.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;

TEST_CASE("bytes are tokens, there and back") {
  const ByteTokenizer tokenizer;
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(static_cast<unsigned char>(i));
  const auto ids = tokenizer.encode(all);
  REQUIRE(ids.size() == 256);
  for (std::int32_t i = 0; i < 256; ++i) CHECK(ids[static_cast<std::size_t>(i)] == i);
  CHECK(tokenizer.decode(ids) == all);
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.vocab_size() == 257);
  CHECK(tokenizer.end_of_text() == 256);
  CHECK(tokenizer.decode(std::vector<std::int32_t>{72, 105, 256}) == "Hi");
}

TEST_CASE("ids that are no bytes are refused with their position") {
  for (const std::int32_t bad : {-1, -100, 257, 263, 50280}) {
    test::check_error<ArgumentError>(
        [&] { (void)ByteTokenizer{}.decode(std::vector<std::int32_t>{65, 66, bad}); },
        {std::to_string(bad), "position 2", "0 to 256"});
  }
}

TEST_CASE("text goes only to checkpoints that say they read it") {
  const ByteTokenizer tokenizer;
  for (const std::size_t size : {257u, 260u, 264u}) {
    CHECK_NOTHROW(require_compatible(tokenizer, size, "byte", "dir/config.json"));
  }
  for (const std::size_t size : {0u, 1u, 256u, 265u, 272u, 50280u}) {
    test::check_error<FileError>([&] { require_compatible(tokenizer, size, "byte", "dir/config.json"); },
                                 {"dir/config.json", std::to_string(size), "257 to 264", "input_ids"});
  }
  test::check_error<FileError>([&] { require_compatible(tokenizer, 264, std::nullopt, "dir"); },
                               {"no \"tokenizer\"", "--ids"});
  test::check_error<FileError>([&] { require_compatible(tokenizer, 264, "gpt-neox", "dir"); },
                               {"\"gpt-neox\""});
}
