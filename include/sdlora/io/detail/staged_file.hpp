#pragma once

#include "../atomic_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace sdlora::detail {

/// A file that is written under a temporary name beside `path` and gets its own by `commit`. The destructor
/// removes what still has the temporary one.
class StagedFile {
 public:
  explicit StagedFile(std::filesystem::path path)
      : path_(std::move(path)), temporary_(temporary_name(path_)) {}
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  ~StagedFile() { ::unlink(temporary_.c_str()); }

  /// Where to write.
  const std::filesystem::path& temporary() const { return temporary_; }

  /// Renames; FileError where that fails.
  void commit() const {
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
      throw_system(path_.string(), "renaming into place", errno,
                   "make sure that the name is not a directory and the folder can be written");
    }
    sync_folder(folder_of(path_));
  }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
};

}  // namespace sdlora::detail
