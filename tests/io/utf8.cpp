#include <doctest/doctest.h>

#include <cstdint>
#include <sdlora/io/utf8.hpp>
#include <string>

using sdlora::find_invalid_utf8;

namespace {

std::string encode(std::uint32_t c) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 63))};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 63)), byte(0x80 | (c & 63))};
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 63)), byte(0x80 | (c >> 6 & 63)),
          byte(0x80 | (c & 63))};
}

}  // namespace

TEST_CASE("every code point but the surrogates is UTF-8, and no part of one is") {
  int wrong = 0;
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    const std::string text = encode(c);
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    wrong += (find_invalid_utf8(text) == std::string::npos) == surrogate;
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      wrong += find_invalid_utf8(std::string_view(text).substr(0, cut)) != 0;
      wrong += find_invalid_utf8(std::string_view(text).substr(cut)) != 0;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("overlong forms and what is above U+10FFFF are refused where they stand") {
  for (const std::string bad : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF",
                                "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\x80", "\xE2\x82"}) {
    CHECK(find_invalid_utf8("ab\xC3\xA9" + bad + "c") == 4);
  }
}

TEST_CASE("errors quote one printable line of bounded length") {
  using sdlora::detail::printable;
  CHECK(printable("a\nb\x7F\xFFz\xC3\xA9") == "a\\x0ab\\x7f\\xffz\xC3\xA9");
  CHECK(printable(std::string(500, 'x'), 10) == "xxxxxxxxxx...");
  CHECK(printable("123456789\xC3\xA9 and more", 10) == "123456789...");
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");
}
