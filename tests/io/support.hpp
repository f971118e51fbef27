#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <sdlora/error.hpp>
#include <string>
#include <string_view>

namespace test {

/// A new directory that goes away with its files.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sdlora-test-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

  /// Writes the bytes under the name and returns the path.
  std::filesystem::path write(std::string_view name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

  /// How many entries it has, hidden ones as well.
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

inline std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void report_failure(const char* what, const std::string& text) { FAIL_CHECK(what << text); }

/// The text of the E that `act` throws; fails where it throws something else or nothing.
template <class E, class Act>
std::string error_of(const Act& act) {
  try {
    act();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    report_failure("another exception: ", error.what());
    return {};
  }
  report_failure("no exception", "");
  return {};
}

inline void check_parts(const std::string& text, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    INFO("the text: ", text);
    INFO("lacks: ", part);
    CHECK(text.find(part) != std::string::npos);
  }
}

/// `act` throws an E whose text has every one of the parts.
template <class E, class Act>
void check_error(const Act& act, std::initializer_list<std::string> parts) {
  check_parts(error_of<E>(act), parts);
}

}  // namespace test
