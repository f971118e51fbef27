#include <sdlora/io/load_tokenizer.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

CheckpointConfig config_of(const test::Folder& folder, std::size_t vocab_size,
                           std::optional<std::string> tokenizer) {
  CheckpointConfig config;
  config.vocab_size = vocab_size;
  config.tokenizer = std::move(tokenizer);
  config.path = (folder / "config.json").string();
  return config;
}

/// A stand-in for what io/bpe_tokenizer.hpp sets, put back at the end.
struct Reader {
  explicit Reader(AnyTokenizer (*reader)(const std::filesystem::path&, std::optional<std::int32_t>,
                                         const std::string&))
      : before(detail::open_tokenizer_json) {
    detail::open_tokenizer_json = reader;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { detail::open_tokenizer_json = before; }
  AnyTokenizer (*before)(const std::filesystem::path&, std::optional<std::int32_t>, const std::string&);
};

}  // namespace

TEST_CASE("a byte-level checkpoint has the byte tokenizer, whatever lies beside it") {
  const test::Folder folder;
  CHECK(load_tokenizer(folder.path(), config_of(folder, 264, "byte")).name() == "byte");
  folder.write("tokenizer.json", "nothing to be read");
  CHECK(load_tokenizer(folder.path(), config_of(folder, 257, "byte")).vocab_size() == 257);
  check_error<FileError>([&] { (void)load_tokenizer(folder.path(), config_of(folder, 50280, "byte")); },
                         {"config.json", "50280"});
}

TEST_CASE("another checkpoint has a tokenizer.json, or text is refused with what to do") {
  const test::Folder folder;
  for (const auto& named : {std::optional<std::string>(), std::optional<std::string>("tokenizer.json")}) {
    check_error<FileError>(
        [&] { (void)load_tokenizer(folder.path(), config_of(folder, 50280, named)); },
        {"tokenizer.json: ", "config.json", "byte", "copy the model's tokenizer.json", "input_ids", "--ids"});
  }
}

TEST_CASE("without the libraries the refusal says what to install") {
  const test::Folder folder;
  folder.write("tokenizer.json", "{}");
  const Reader none(nullptr);
  check_error<FileError>([&] { (void)load_tokenizer(folder.path(), config_of(folder, 50280, std::nullopt)); },
                         {"tokenizer.json", "PCRE2", "utf8proc", "libpcre2-dev libutf8proc-dev", "--ids"});
}

TEST_CASE("the reader gets the file and the checkpoint's end of text, and may not have too many tokens") {
  const test::Folder folder;
  folder.write("tokenizer.json", "{}");
  static std::optional<std::int32_t> asked;
  static std::string text;
  static std::filesystem::path file;
  const Reader bytes([](const std::filesystem::path& path, std::optional<std::int32_t> id,
                        const std::string& end_text) -> AnyTokenizer {
    file = path;
    asked = id;
    text = end_text;
    return ByteTokenizer{};
  });
  auto config = config_of(folder, 300, std::nullopt);
  config.end_of_text = 7;
  CHECK(load_tokenizer(folder.path(), config).name() == "byte");
  CHECK(file == folder / "tokenizer.json");
  CHECK(asked == 7);
  CHECK(text.empty());
  folder.write("tokenizer_config.json", R"({"eos_token": {"content": "<end>", "special": true}})");
  CHECK(load_tokenizer(folder.path(), config).name() == "byte");
  CHECK(text == "<end>");
  CHECK_NOTHROW((void)load_tokenizer(folder.path(), config_of(folder, 257, std::nullopt)));
  check_error<FileError>([&] { (void)load_tokenizer(folder.path(), config_of(folder, 256, std::nullopt)); },
                         {"tokenizer.json", "at most 256", "found 257"});
}
