#include "target.hpp"

#if __has_include(<pcre2.h>) && __has_include(<utf8proc.h>)
#include <sdlora/io/bpe_tokenizer.hpp>
#include <sdlora/io/streaming_decoder.hpp>

#include <nlohmann/json.hpp>

namespace fuzz_tokenizer {

using namespace sdlora;
using nlohmann::json;

/// A tokenizer.json with the tokens of bytes and a few more.
json small_tokenizer() {
  json vocabulary = json::object();
  const auto& alphabet = detail::ByteAlphabet::instance();
  for (unsigned byte = 0; byte < 256; ++byte)
    vocabulary[alphabet.text(static_cast<unsigned char>(byte))] = byte;
  vocabulary["ab"] = 256;
  vocabulary["abc"] = 257;
  vocabulary
      ["\xC4\xA0"
       "a"] = 258;
  return {{"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", {{"type", "ByteLevel"}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"added_tokens", json::array({{{"id", 259}, {"content", "<|endoftext|>"}, {"special", true}}})},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"a b", "ab c", "\xC4\xA0 a"}}}}};
}

/// A line of changes to the small file (RFC 7386), then text.
void read(std::string_view input) {
  static const json small = small_tokenizer();
  const std::string_view line = fuzz::first_line(input);
  json document = small;
  const json patch = json::parse(line, nullptr, false);
  std::string file(line);
  if (!patch.is_discarded()) {
    document.merge_patch(patch);
    file = document.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  const auto tokenizer = BpeTokenizer::open(fuzz::write("tokenizer.json", file));
  std::vector<std::int32_t> any;
  for (const char c : input) any.push_back(static_cast<std::int32_t>(c) + 200);
  fuzz::accepted([&] { (void)tokenizer.decode(any); });
  const std::vector<std::int32_t> ids = tokenizer.encode(input);
  (void)tokenizer.decode(ids);
  StreamingDecoder decoder(tokenizer);
  for (const std::int32_t id : ids) (void)decoder.push(id);
  (void)decoder.finish();
}

[[maybe_unused]] const bool added = fuzz::add({"tokenizer", fuzz::Parts::json_and_bytes, read});

}  // namespace fuzz_tokenizer
#endif
