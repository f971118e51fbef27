#include <cstdint>
#include <sdlora/io/any_tokenizer.hpp>
#include <sdlora/io/dataset.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;

namespace {

/// A tokenizer that cannot be copied.
struct Letters {
  Letters() = default;
  Letters(Letters&&) = default;
  std::vector<std::int32_t> encode(std::string_view text) const { return {text.begin(), text.end()}; }
  std::string decode(std::span<const std::int32_t> ids) const { return std::string(ids.size(), '?'); }
  std::size_t vocab_size() const { return 128; }
  std::string_view name() const { return "letters"; }
  std::optional<std::int32_t> end_of_text() const { return std::nullopt; }
};

}  // namespace

TEST_CASE("any tokenizer answers as the one that it holds") {
  const AnyTokenizer bytes(ByteTokenizer{}), letters(Letters{});
  CHECK(bytes.encode("ab") == std::vector<std::int32_t>{97, 98});
  CHECK(bytes.decode(std::vector<std::int32_t>{97, 256}) == "a");
  CHECK(bytes.vocab_size() == 257);
  CHECK(bytes.name() == "byte");
  CHECK(bytes.end_of_text() == 256);
  CHECK(letters.name() == "letters");
  CHECK(letters.end_of_text() == std::nullopt);
  AnyTokenizer copy = bytes;
  CHECK(copy.name() == "byte");
  copy = letters;
  CHECK(copy.decode(std::vector<std::int32_t>{1, 2}) == "??");
  CHECK(bytes.name() == "byte");
}

TEST_CASE("a data set is read by any tokenizer") {
  const test::Folder folder;
  const auto path = folder.write("d.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}");
  const auto data = JsonlDataset::open(path, AnyTokenizer(ByteTokenizer{}));
  CHECK(data[0] == Example{{97, 98, 256}, {-100, 98, 256}});
}
