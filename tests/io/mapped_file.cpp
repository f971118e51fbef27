#include <sys/stat.h>
#include <sdlora/io/mapped_file.hpp>
#include <string>
#include <utility>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

TEST_CASE("a mapping shows the file's bytes and moves") {
  const test::Folder folder;
  MappedFile file(folder.write("a", "some bytes"));
  CHECK(text_of(file) == "some bytes");
  CHECK(file.path() == (folder / "a").string());
  MappedFile moved(std::move(file));
  CHECK(text_of(moved) == "some bytes");
  MappedFile other(folder.write("b", "others"));
  other = std::move(moved);
  CHECK(text_of(other) == "some bytes");
  CHECK(MappedFile(folder.write("empty", "")).bytes().empty());
}

TEST_CASE("a mapping outlives the file's name") {
  const test::Folder folder;
  const MappedFile file(folder.write("a", "some bytes"));
  std::filesystem::remove(folder / "a");
  CHECK(text_of(file) == "some bytes");
}

TEST_CASE("what is no regular file is refused, and a pipe is not waited for") {
  const test::Folder folder;
  check_error<FileError>([&] { MappedFile file(folder / "absent"); }, {"absent", "No such file"});
  check_error<FileError>([&] { MappedFile file(folder.path()); }, {folder.path().string(), "regular file"});
  check_error<FileError>([] { MappedFile file("/dev/zero"); }, {"/dev/zero", "regular file"});
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  check_error<FileError>([&] { MappedFile file(folder / "pipe"); }, {"pipe", "regular file"});
}
