#include <sys/stat.h>
#include <unistd.h>

#include <sdlora/io/input_file.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

using namespace sdlora;
using namespace std::string_view_literals;
using test::check_error;

namespace {

std::string all(const std::filesystem::path& path) {
  InputFile file(path);
  std::string text;
  for (std::string_view part = file.next(); !part.empty(); part = file.next()) text += part;
  CHECK(file.next().empty());
  return text;
}

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  LineReader lines(path);
  std::vector<std::string> found;
  for (std::string line; lines.next(line);) {
    found.push_back(line);
    CHECK(lines.number() == found.size());
  }
  return found;
}

}  // namespace

TEST_CASE("files are read as they are, but for a byte order mark") {
  const test::Folder folder;
  for (const std::string& text :
       {std::string(), std::string("a"), std::string("ab\n"), std::string(63, 'x'), std::string(64, 'x'),
        std::string(65, 'x'), std::string(200'000, 'y'), std::string("\xEF\xBB"), std::string("\xFF\x01")}) {
    CHECK(all(folder.write("f", text)) == text);
    CHECK(all(folder.write("f", "\xEF\xBB\xBF" + text)) == text);
  }
}

TEST_CASE("lines, with and without an end of the last") {
  const test::Folder folder;
  using Lines = std::vector<std::string>;
  CHECK(lines_of(folder.write("f", "")) == Lines{});
  CHECK(lines_of(folder.write("f", "\n")) == Lines{""});
  CHECK(lines_of(folder.write("f", "a")) == Lines{"a"});
  CHECK(lines_of(folder.write("f", "a\n\nb\r\n")) == Lines{"a", "", "b\r"});
  const std::string longer(200'000, 'x');
  CHECK(lines_of(folder.write("f", longer + "\n" + longer)) == Lines{longer, longer});
  LineReader lines(folder.write("f", "ab\r\n\xC3\xA9\ncd\xC3"));
  std::string line;
  CHECK(lines.next_text(line));
  CHECK(line == "ab");
  CHECK(lines.next_text(line));
  CHECK(line == "é");
  check_error<FileError>([&] { lines.next_text(line); }, {"line 3", "\\xc3", "byte 2", "iconv -f latin1"});
  // Other characters that end lines for some: U+2028, U+2029, U+0085, form feed, a lone carriage return.
  const std::string others =
      "a\xE2\x80\xA8"
      "b\xE2\x80\xA9"
      "c\xC2\x85"
      "d\fe\rf";
  LineReader one(folder.write("f", others + "\nnext"));
  CHECK(one.next_text(line));
  CHECK(line == others);
  CHECK(one.next_text(line));
  CHECK(line == "next");
  LineReader few(folder.write("f", "ab\nabcd\n"), 3);
  CHECK(few.next(line));
  check_error<FileError>([&] { few.next(line); }, {"line 2", "longer than 3 bytes", "split"});
}

TEST_CASE("pipes and the standard input are read") {
  const test::Folder folder;
  const auto pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const std::string text = "first\n" + std::string(300'000, 'z') + "\nlast";
  {
    std::jthread writer([&] { std::ofstream(pipe, std::ios::binary) << text; });
    CHECK(all(pipe) == text);
  }
  // One byte at a time, the mark too.
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const int before = ::dup(STDIN_FILENO);
  REQUIRE(::dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
  ::close(ends[0]);
  {
    std::jthread writer([&] {
      for (const char c : "\xEF\xBB\xBFone\ntwo"sv) REQUIRE(::write(ends[1], &c, 1) == 1);
      ::close(ends[1]);
    });
    LineReader lines("-");
    CHECK(lines.name() == "standard input");
    std::string line;
    CHECK(lines.next(line));
    CHECK(line == "one");
    CHECK(lines.next(line));
    CHECK(line == "two");
    CHECK_FALSE(lines.next(line));
  }
  if (before >= 0) {
    ::dup2(before, STDIN_FILENO);
    ::close(before);
  }
}

TEST_CASE("what is no UTF-8 text is named, with what converts it") {
  const test::Folder folder;
  const auto refused = [&](std::string_view bytes, std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { (void)all(folder.write("data", bytes)); },
                           {(folder / "data").string(), "UTF-8"});
    check_error<FileError>([&] { (void)all(folder / "data"); }, parts);
  };
  refused("\xFF\xFE{\0\"\0"sv, {"found UTF-16", "iconv -f UTF-16 -t UTF-8 " + (folder / "data").string()});
  refused("\xFE\xFF\0{"sv, {"found UTF-16;"});
  refused("\xFF\xFE"sv, {"found UTF-16;"});
  refused("{\0\"\0a\0"sv, {"UTF-16LE without", "iconv -f UTF-16LE -t"});
  refused("\0{\0\"\0a"sv, {"UTF-16BE without", "iconv -f UTF-16BE -t"});
  refused("\xFF\xFE\0\0{\0\0\0"sv, {"UTF-32", "iconv -f UTF-32"});
  refused("\x28\xB5\x2F\xFD...."sv, {"zstd", "zstdcat"});
  refused("BZh91AY"sv, {"bzip2", "bzcat"});
  refused(
      "\xFD"
      "7zXZ\0...."sv,
      {"xz", "xzcat"});
  refused("PK\x03\x04..."sv, {"zip", "unzip -p"});
  refused("PAR1..."sv, {"Parquet", "to_json"});
  refused("version https://git-lfs.github.com/spec/v1\noid sha256:0"sv, {"git-lfs", "git lfs pull"});
  check_error<FileError>([&] { (void)all(folder / "absent"); }, {"absent", "no such file"});
  check_error<FileError>([&] { (void)all(folder.path()); }, {folder.path().string(), "directory"});
}

TEST_CASE("gzip without zlib is refused with what to install") {
  const test::Folder folder;
  const auto before = detail::unpack_gzip;
  detail::unpack_gzip = nullptr;
  check_error<FileError>([&] { (void)all(folder.write("d.gz", "\x1F\x8B\x08...")); },
                         {"d.gz", "gzip", "zlib1g-dev", "zcat"});
  detail::unpack_gzip = before;
}
