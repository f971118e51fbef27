#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../error.hpp"

namespace sdlora {

namespace detail {

inline std::string system_message(int error) { return std::generic_category().message(error); }

[[noreturn]] inline void throw_system(const std::string& path, const std::string& doing, int error,
                                      const std::string& fix) {
  throw FileError(path, "", doing + " failed: " + system_message(error) + "; " + fix);
}

/// The folder that holds `path`, "." where it has none.
inline std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// What every temporary name for `path` begins with; hidden, and in the same folder.
inline std::string temporary_prefix(const std::filesystem::path& path) {
  std::string prefix = ".";  // appended to: GCC 12 warns of "." + string (bug 105651)
  prefix += path.filename().string();
  return prefix += ".tmp-";
}

/// The n-th temporary name of this process for `path`.
inline std::filesystem::path temporary_name(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};
  return folder_of(path) /
         (temporary_prefix(path) + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1)));
}

/// Makes names in a folder durable. Some file systems cannot; their refusal is not an error.
inline void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

/// "dir/name/" names the same thing as "dir/name".
inline std::filesystem::path without_trailing_slash(std::filesystem::path path) {
  while (!path.has_filename() && path.has_relative_path()) path = path.parent_path();
  return path;
}

}  // namespace detail

/// A file that appears under its name complete or not at all: written to a temporary name in the
/// same folder, flushed to the disk and renamed by `commit`. Without `commit` the destructor
/// removes it, and what stood under the name before stays as it was.
class AtomicFile {
 public:
  /// Opens the temporary. FileError where the folder cannot be written or the name is taken by
  /// something that is not a regular file (a directory, a device).
  explicit AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
    if (!path_.has_filename()) throw FileError(path_.string(), "", "expected a file name; give one");
    std::error_code error;
    const auto status = std::filesystem::status(path_, error);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
      throw FileError(path_.string(), "",
                      "expected a regular file or a free name, found something else under it; choose "
                      "another name");
    }
    for (int attempt = 0; fd_ < 0; ++attempt) {
      temporary_ = detail::temporary_name(path_);
      fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd_ < 0 && (errno != EEXIST || attempt == 100)) {
        detail::throw_system(path_.string(), "creating a file in folder " + detail::folder_of(path_).string(),
                             errno, "make sure that the folder exists and can be written");
      }
    }
  }

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  ~AtomicFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Appends bytes. FileError where the disk refuses them.
  void write(std::span<const std::byte> bytes) {
    if (fd_ < 0) throw FileError(path_.string(), "", "written to after its commit; open it anew");
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), std::min<std::size_t>(bytes.size(), 1u << 30));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        detail::throw_system(path_.string(), "writing", count < 0 ? errno : EIO, "check the free space");
      }
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// Puts what was written on the disk, still under the temporary name. FileError where that fails.
  void flush() {
    if (fd_ < 0) throw FileError(path_.string(), "", "flushed after its commit; open it anew");
    if (::fsync(fd_) != 0 && errno != EINVAL) fail_flush(errno);  // EINVAL: cannot be synced
  }

  /// Flushes to the disk and renames. After an error nothing has changed under the final name.
  void commit() {
    if (fd_ < 0) throw FileError(path_.string(), "", "committed twice; commit it once");
    flush();
    if (::close(std::exchange(fd_, -1)) != 0) fail_flush(errno);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
      detail::throw_system(path_.string(), "renaming into place", errno,
                           "make sure that the name is not a directory and the folder can be written");
    }
    committed_ = true;
    detail::sync_folder(detail::folder_of(path_));
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  [[noreturn]] void fail_flush(int error) const {
    detail::throw_system(path_.string(), "flushing to the disk", error, "check the free space");
  }

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  bool committed_ = false;
};

/// Writes `text` as the whole content of `path`, atomically.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

/// Makes a directory, and those above it, where missing. Throws FileError.
inline void make_directories(const std::filesystem::path& path) {
  std::error_code failed;
  std::filesystem::create_directories(detail::without_trailing_slash(path), failed);
  if (failed || !std::filesystem::is_directory(path, failed)) {
    throw FileError(path.string(), "",
                    "cannot be made a directory: " +
                        (failed ? failed.message() : std::string("something else has the name")) +
                        "; choose another");
  }
}

/// Removes the temporaries that killed processes left beside `path`. Only the one process that
/// writes there may call it, and not while it has one open. Returns how many there were.
inline std::size_t remove_leftovers(const std::filesystem::path& path) {
  const auto name = detail::without_trailing_slash(path);
  const std::string prefix = detail::temporary_prefix(name);
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(detail::folder_of(name), error)) {
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  }
  for (const auto& leftover : found) std::filesystem::remove_all(leftover, error);
  return found.size();
}

}  // namespace sdlora
