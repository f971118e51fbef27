#include <cstdint>
#include <random>
#include <sdlora/io/streaming_decoder.hpp>
#include <string>
#include <vector>

#include "support.hpp"

using namespace sdlora;

namespace {

constexpr const char* unknown = "\xEF\xBF\xBD";

/// The text shown after each byte, and at the end.
std::vector<std::string> by_bytes(std::string_view bytes) {
  Utf8Stream stream;
  std::vector<std::string> shown;
  for (const char c : bytes) shown.push_back(stream.push({&c, 1}));
  shown.push_back(stream.finish());
  return shown;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const auto& part : parts) text += part;
  return text;
}

}  // namespace

TEST_CASE("a character is shown when it is whole") {
  using Parts = std::vector<std::string>;
  CHECK(by_bytes("ab") == Parts{"a", "b", ""});
  CHECK(by_bytes("é") == Parts{"", "é", ""});
  CHECK(by_bytes("€x") == Parts{"", "", "€", "x", ""});
  CHECK(by_bytes("😀") == Parts{"", "", "", "😀", ""});
  CHECK(by_bytes("") == Parts{""});
  CHECK(by_bytes("a\xF0\x9F") == Parts{"a", "", "", unknown});
  CHECK(by_bytes("\xE2\x82z") == Parts{"", "", std::string(unknown) + "z", ""});
}

TEST_CASE("malformed bytes become one sign for each beginning of a character") {
  // As Python's bytes.decode("utf-8", "replace").
  const std::string u = unknown;
  const std::pair<std::string, std::string> cases[] = {{"\x80", u},
                                                       {"\xFF\xFE", u + u},
                                                       {"\xC0\xAF", u + u},
                                                       {"\xE0\x80\xAF", u + u + u},
                                                       {"\xED\xA0\x80", u + u + u},
                                                       {"\xF4\x90\x80\x80", u + u + u + u},
                                                       {"\xF0\x90\x80g", u + "g"},
                                                       {"\xE2\x82\xE2\x82\xAC", u + "€"},
                                                       {"a\xF1\x80\x80\xE1\x80\xC2"
                                                        "b\x80"
                                                        "c\x80\xBF"
                                                        "d",
                                                        "a" + u + u + u + "b" + u + "c" + u + u + "d"}};
  for (const auto& [bytes, text] : cases) {
    CHECK(joined(by_bytes(bytes)) == text);
    Utf8Stream whole;
    const std::string first = whole.push(bytes);
    CHECK(first + whole.finish() == text);
  }
}

TEST_CASE("however bytes are cut, the text is the same and well formed") {
  std::mt19937 random(31);
  for (int i = 0; i < 500; ++i) {
    std::string bytes;
    for (auto count = random() % 40; count > 0; --count)
      bytes += static_cast<char>(random() % 3 == 0 ? random() % 128 : 0x80 + random() % 128);
    Utf8Stream stream;
    std::string text;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t length = 1 + random() % 5;
      text += stream.push(std::string_view(bytes).substr(at, length));
      CHECK(find_invalid_utf8(text) == std::string::npos);
      at += length;
    }
    text += stream.finish();
    CHECK(text == joined(by_bytes(bytes)));
    CHECK(stream.finish().empty());
  }
}

TEST_CASE("tokens are streamed") {
  const ByteTokenizer tokenizer;
  StreamingDecoder decoder(tokenizer);
  CHECK(decoder.push('a') == "a");
  CHECK(decoder.push(0xC3).empty());
  CHECK(decoder.push(0xA9) == "é");
  CHECK(decoder.push(ByteTokenizer::end_of_text_id).empty());
  CHECK(decoder.push(0xE2).empty());
  CHECK(decoder.finish() == unknown);
  CHECK(decoder.push('b') == "b");
}
