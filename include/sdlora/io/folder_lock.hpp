#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>

#include "../error.hpp"
#include "atomic_file.hpp"

namespace sdlora {

/// Keeps a folder for one run: of all that ask for it, in this process or others, one has it until its lock
/// is destroyed or its process ends, however that ends. Where a file system knows no locks, all have it.
class FolderLock {
 public:
  /// Name of the file that is locked. A killed process leaves it there, which keeps nobody out.
  static constexpr const char* name = ".sdlora-lock";

  /// Of a folder that exists. Throws FileError where another has it, or nothing can be written there.
  explicit FolderLock(const std::filesystem::path& folder) : path_(folder / name), owner_(::getpid()) {
    while (!lock(folder)) {
    }
    const std::string text = std::to_string(owner_) + "\n";
    // For those who are refused; nothing is lost where it cannot be written.
    [[maybe_unused]] const bool written =
        ::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, text.data(), text.size(), 0) > 0;
  }

  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  ~FolderLock() {
    // A child of a fork has the file as well, but not the lock.
    if (::getpid() == owner_) ::unlink(path_.c_str());
    ::close(fd_);
  }

 private:
  /// Opens and locks the file; false where its last owner removed it in between.
  bool lock(const std::filesystem::path& folder) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd_ < 0) {
      detail::throw_system(path_.string(), "creating a file", errno,
                           "make sure that the folder exists and can be written");
    }
    int error = 0;
    while (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && (error = errno) == EINTR) {
    }
    if (error == EWOULDBLOCK) {
      const std::string process = first_line();
      ::close(fd_);
      throw FileError(folder.string(), "",
                      "another run writes into this folder" +
                          (process.empty() ? "" : " (process " + process + ")") +
                          "; wait until it has ended, or choose another folder");
    }
    struct stat opened = {}, named = {};
    if (::fstat(fd_, &opened) == 0 && ::stat(path_.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
        opened.st_dev == named.st_dev) {
      return true;
    }
    ::close(fd_);
    return false;
  }

  /// The digits that the owner has written.
  std::string first_line() const {
    char text[24] = {};
    const ssize_t count = ::pread(fd_, text, sizeof text, 0);
    std::string digits;
    for (ssize_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; ++i) digits += text[i];
    return digits;
  }

  std::filesystem::path path_;
  ::pid_t owner_;
  int fd_ = -1;
};

}  // namespace sdlora
