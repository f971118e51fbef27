#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "../error.hpp"

namespace sdlora {

/// A regular file mapped read-only into memory: pages are read when touched, and shared with every
/// process that maps the same file. The file must not be cut short while it is mapped (files that
/// this library writes are replaced by rename and never are).
class MappedFile {
 public:
  /// FileError where the file is missing, cannot be read, or is not a regular file.
  explicit MappedFile(const std::filesystem::path& path) : path_(path.string()) {
    // Without O_NONBLOCK opening a pipe would wait for a writer.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) fail("opening", errno, "check the path and its permissions");
    struct stat status = {};
    int error = ::fstat(fd, &status) == 0 ? 0 : errno;
    if (error == 0 && !S_ISREG(status.st_mode)) {
      ::close(fd);
      throw FileError(path_, "", "expected a regular file, found a directory, pipe or device; give a file");
    }
    if (error == 0 && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
      if (address == MAP_FAILED) {
        error = errno;
        size_ = 0;
      } else {
        data_ = static_cast<const std::byte*>(address);
      }
    }
    ::close(fd);
    if (error != 0) fail("mapping", error, "make sure that it lies on a local disk");
  }

  MappedFile(MappedFile&& other) noexcept
      : path_(std::move(other.path_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail(const std::string& doing, int error, const std::string& fix) const {
    throw FileError(path_, "", doing + " failed: " + std::generic_category().message(error) + "; " + fix);
  }

  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sdlora
