#include "support/stop_text.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using sdlora::examples::StopText;

namespace {

/// All that is shown of `text` in pieces of `size` bytes.
std::string shown(const std::string& stop, std::string_view text, std::size_t size) {
  StopText stopping(stop);
  std::string result;
  for (std::size_t at = 0; at < text.size(); at += size) result += stopping.push(text.substr(at, size));
  return result + stopping.finish();
}

}  // namespace

TEST_CASE("a text ends before the stop, however its pieces are cut") {
  for (std::size_t size = 1; size < 9; ++size) {
    CAPTURE(size);
    CHECK(shown("\n\n", "one\ntwo\n\nthree\n\n", size) == "one\ntwo");
    CHECK(shown("abab", "aabaababab", size) == "aaba");
    CHECK(shown("END", "no such thing: EN", size) == "no such thing: EN");
    CHECK(shown("", "all", size) == "all");
    CHECK(shown("a", "a", size).empty());
  }
}

TEST_CASE("only what may begin the stop is held back") {
  StopText stopping("###");
  CHECK(stopping.push("a#") == "a");
  CHECK(stopping.push("b") == "#b");
  CHECK(stopping.push("##") == "");
  CHECK_FALSE(stopping.found());
  CHECK(stopping.push("#c") == "");
  CHECK(stopping.found());
  CHECK(stopping.push("d") == "");
  CHECK(stopping.finish() == "");
}
