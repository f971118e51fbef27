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
    check_error<FileError>([&] { file.flush(); }, {"a.txt", "flushed after its commit"});
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

TEST_CASE("what a killed process leaves is found by its name") {
  const test::Folder folder;
  const auto path = folder / "model";
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(path);
    AtomicFile other(folder / "model.txt");
    other.write("half");
    other.flush();
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
