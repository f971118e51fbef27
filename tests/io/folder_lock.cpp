#include "io/support.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <sdlora/io/folder_lock.hpp>
#include <string>
#include <vector>

using namespace sdlora;

namespace {

/// A process that has the lock and waits for its end.
pid_t process_with_lock(const test::Folder& folder) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const FolderLock lock(folder.path());
    if (::write(ends[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char ready = 0;
  REQUIRE(::read(ends[0], &ready, 1) == 1);
  ::close(ends[0]);
  ::close(ends[1]);
  return child;
}

}  // namespace

TEST_CASE("a folder is one run's until its lock is gone, and then as it was") {
  const test::Folder folder;
  std::optional<FolderLock> lock(folder.path());
  for (int i = 0; i < 2; ++i) {
    test::check_error<FileError>([&] { FolderLock(folder.path()); },
                                 {folder.path().string() + ": another run writes into this folder (process " +
                                      std::to_string(::getpid()) + ")",
                                  "wait until it has ended, or choose another folder"});
  }
  lock.reset();
  CHECK(folder.entries() == 0);
  lock.emplace(folder.path());
  const test::Folder other;
  const FolderLock beside(other.path());
  test::check_error<FileError>([&] { FolderLock(folder / "missing"); },
                               {(folder / "missing").string(), "make sure that the folder exists"});
}

TEST_CASE("a process that is killed leaves its folder to the next") {
  const test::Folder folder;
  const pid_t child = process_with_lock(folder);
  test::check_error<FileError>([&] { FolderLock(folder.path()); },
                               {"(process " + std::to_string(child) + ")"});
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(folder.entries() == 1);
  {
    const FolderLock lock(folder.path());
  }
  CHECK(folder.entries() == 0);
}

TEST_CASE("the child of a fork does not give its parent's folder away") {
  const test::Folder folder;
  std::optional<FolderLock> lock(folder.path());
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    lock.reset();
    ::_exit(0);
  }
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  test::check_error<FileError>([&] { FolderLock(folder.path()); }, {"another run"});
}

TEST_CASE("of many that ask again and again, one at a time has the folder") {
  const test::Folder folder;
  const test::Folder shared;
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      // O_EXCL tells whether another is inside.
      const std::string sign = (shared / "sign").string();
      for (int taken = 0; taken < 300;) {
        try {
          const FolderLock lock(folder.path());
          const int fd = ::open(sign.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
          if (fd < 0) ::_exit(1);
          ::close(fd);
          ::unlink(sign.c_str());
          ++taken;
        } catch (const FileError&) {  // another has it
        }
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  CHECK(folder.entries() == 0);
}
