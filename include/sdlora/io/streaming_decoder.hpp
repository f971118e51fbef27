#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tokenizer.hpp"
#include "utf8.hpp"

namespace sdlora {

/// Bytes in pieces → well-formed UTF-8 in pieces. A character whose bytes come one by one is held back
/// until it is whole; each malformed sequence becomes one U+FFFD (the maximal subparts of Unicode 15,
/// §3.9, as `bytes.decode("utf-8", "replace")` in Python).
class Utf8Stream {
 public:
  /// What can be shown of the bytes so far.
  std::string push(std::string_view bytes) {
    held_ += bytes;
    return take(false);
  }

  /// What is left: a character that was never completed becomes U+FFFD. The stream is then as new.
  std::string finish() { return take(true); }

 private:
  std::string take(bool last) {
    std::string text;
    std::string_view rest = held_;
    for (;;) {
      const std::size_t bad = find_invalid_utf8(rest);
      text += rest.substr(0, bad);
      if (bad == std::string_view::npos) {
        rest = {};
        break;
      }
      rest.remove_prefix(bad);
      const std::size_t begun = begun_character(rest);
      if (begun == rest.size() && begun > 0 && !last) break;
      text += "\xEF\xBF\xBD";
      rest.remove_prefix(begun == 0 ? 1 : begun);
    }
    held_ = std::string(rest);
    return text;
  }

  /// How many of the malformed text's first bytes are the beginning of some character; 0: not even one.
  static std::size_t begun_character(std::string_view text) {
    // A character is completed by such bytes as its second one admits, and by 0x80 after that.
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    const char second = lead == 0xE0 ? '\xA0' : lead == 0xF0 ? '\x90' : '\x80';
    for (std::size_t begun = length - 1; begun > 0; --begun) {
      if (begun > text.size()) continue;
      std::string whole(text.substr(0, begun));
      if (whole.size() == 1) whole += second;
      whole.resize(length, '\x80');
      if (find_invalid_utf8(whole) == std::string_view::npos) return begun;
    }
    return 0;
  }

  std::string held_;
};

/// Token ids one by one → well-formed UTF-8 to show, whatever the tokens cut in two. Refers to the
/// tokenizer, which must outlive it.
template <Tokenizer T>
class StreamingDecoder {
 public:
  explicit StreamingDecoder(const T& tokenizer) : tokenizer_(&tokenizer) {}
  explicit StreamingDecoder(const T&&) = delete;

  /// The text that this id completes; nothing while a character is open.
  std::string push(std::int32_t id) { return stream_.push(tokenizer_->decode(std::span(&id, 1))); }

  /// What was held back, as U+FFFD; the decoder is then as new.
  std::string finish() { return stream_.finish(); }

 private:
  const T* tokenizer_;
  Utf8Stream stream_;
};

}  // namespace sdlora
