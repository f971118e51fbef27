#include <csignal>
#include <filesystem>
#include <sdlora/io/atomic_file.hpp>
#include <string>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

TEST_CASE("a file appears on commit, whole, and replaces the old one") {
  const test::Folder folder;
  const auto path = folder / "a.txt";
  {
    AtomicFile file(path);
    file.write("new ");
    CHECK_FALSE(std::filesystem::exists(path));
    CHECK(folder.entries() == 1);  // the temporary is in the same folder
    file.write("text");
    file.commit();
    CHECK(test::content(path) == "new text");
    check_error<FileError>([&] { file.write("more"); }, {"a.txt", "after its commit"});
    check_error<FileError>([&] { file.commit(); }, {"a.txt", "twice"});
  }
  write_file(path, "newer");
  CHECK(test::content(path) == "newer");
  CHECK(folder.entries() == 1);
  struct stat status = {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK((status.st_mode & 0777u) == (0666u & ~mask));  // not the private mode of a temporary
}

TEST_CASE("without commit nothing changes") {
  const test::Folder folder;
  const auto path = folder.write("a.txt", "old");
  {
    AtomicFile file(path);
    file.write("new");
  }
  CHECK(test::content(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("names that cannot be written are refused and stay") {
  const test::Folder folder;
  check_error<FileError>([&] { write_file(folder / "absent/a.txt", "x"); }, {"absent/a.txt", "folder"});
  check_error<FileError>([&] { write_file(folder.path(), "x"); }, {folder.path().string(), "regular file"});
  check_error<FileError>([] { write_file("", "x"); }, {"file name"});
  check_error<FileError>([&] { write_file(folder / "dir/", "x"); }, {"dir/", "file name"});
  check_error<FileError>([] { write_file("/dev/null", "x"); }, {"/dev/null", "regular file"});
  CHECK(std::filesystem::is_character_file("/dev/null"));
}

TEST_CASE("a full disk is an error and leaves the old file") {
  const test::Folder folder;
  const auto path = folder.write("a.txt", "old");
  const pid_t child = ::fork();
  if (child == 0) {
    // A limit on file sizes stands for the full disk.
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int status = 1;
    try {
      write_file(path, std::string(10'000, 'x'));
    } catch (const FileError& error) {
      status = std::string(error.what()).find("a.txt") != std::string::npos ? 0 : 2;
    }
    ::_exit(status);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(test::content(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a directory appears on commit with all of its files") {
  const test::Folder folder;
  const auto path = folder / "deep/model";
  {
    AtomicDirectory directory(path);
    CHECK(directory.final_path() == path);
    write_file(directory.path() / "a.txt", "a");
    std::filesystem::create_directory(directory.path() / "sub");
    write_file(directory.path() / "sub/b.txt", "b");
    CHECK_FALSE(std::filesystem::exists(path));
    directory.commit();
    check_error<FileError>([&] { directory.commit(); }, {"twice"});
  }
  CHECK(test::content(path / "a.txt") == "a");
  CHECK(test::content(path / "sub/b.txt") == "b");
  CHECK_FALSE(std::filesystem::exists(folder / "deep" / ".model"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "deep"), {}) == 1);
}

TEST_CASE("an abandoned directory leaves nothing") {
  const test::Folder folder;
  {
    AtomicDirectory directory(folder / "model/");
    CHECK(directory.final_path() == folder / "model");
    write_file(directory.path() / "a.txt", "a");
  }
  CHECK(folder.entries() == 0);
}

TEST_CASE("a directory with files makes way only where that is asked for") {
  const test::Folder folder;
  const auto path = folder / "model";
  std::filesystem::create_directory(path);
  {
    AtomicDirectory directory(path);  // an empty one may
    write_file(directory.path() / "a.txt", "first");
    directory.commit();
  }
  CHECK(test::content(path / "a.txt") == "first");
  check_error<FileError>([&] { AtomicDirectory directory(path); },
                         {"model", "found files", "choose another"});
  {
    AtomicDirectory directory(path, {.replace = true});
    write_file(directory.path() / "b.txt", "second");
    directory.commit();
  }
  CHECK_FALSE(std::filesystem::exists(path / "a.txt"));
  CHECK(test::content(path / "b.txt") == "second");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a directory that fills up before the commit is not lost") {
  const test::Folder folder;
  const auto path = folder / "model";
  AtomicDirectory directory(path);
  write_file(directory.path() / "a.txt", "ours");
  std::filesystem::create_directory(path);
  write_file(path / "b.txt", "theirs");
  check_error<FileError>([&] { directory.commit(); }, {"model", "renaming"});
  CHECK(test::content(path / "b.txt") == "theirs");
  CHECK_FALSE(std::filesystem::exists(path / "a.txt"));
}

TEST_CASE("names that no directory can have are refused") {
  const test::Folder folder;
  const auto file = folder.write("file", "x");
  check_error<FileError>([&] { AtomicDirectory directory(file); }, {"file", "expected a directory"});
  check_error<FileError>([&] { AtomicDirectory directory(file, {.replace = true}); },
                         {"expected a directory"});
  check_error<FileError>([&] { AtomicDirectory directory(file / "below"); }, {"below", "folder"});
  for (const char* name : {"", "/", ".", "..", "a/.."}) {
    check_error<FileError>([&] { AtomicDirectory directory(name); }, {"name of a new directory"});
  }
}

TEST_CASE("what a killed process leaves is found by its name") {
  const test::Folder folder;
  const auto path = folder / "model";
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicDirectory directory(path);
    write_file(directory.path() / "a.txt", "a");
    AtomicFile file(folder / "model.txt");
    ::kill(::getpid(), SIGKILL);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(folder.entries() == 2);
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(remove_leftovers(path) == 1);
  CHECK(remove_leftovers(folder / "model.txt") == 1);
  CHECK(remove_leftovers(path) == 0);
  CHECK(folder.entries() == 0);
}

TEST_CASE("a reader beside a writer sees the old file or the new one, never a part") {
  const test::Folder folder;
  const auto path = folder.write("a.txt", std::string(5000, 'a'));
  const pid_t child = ::fork();
  if (child == 0) {
    for (int i = 0; i < 50; ++i) write_file(path, std::string(5000, static_cast<char>('a' + i % 26)));
    ::_exit(0);
  }
  int status = -1, wrong = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    const std::string text = test::content(path);
    wrong += text.size() != 5000 || text != std::string(5000, text[0]);
  }
  CHECK(status == 0);
  CHECK(wrong == 0);
}
