#pragma once

#include <string>
#include <string_view>

#include "../../error.hpp"

namespace sdlora::detail {

/// FileError where a file's first bytes are those of the text that git-lfs keeps in a file's place: what a
/// clone holds where git-lfs is not installed.
inline void refuse_lfs_pointer(std::string_view begin, const std::string& path) {
  if (!begin.starts_with("version https://git-lfs")) return;
  throw FileError(path, "",
                  "found a pointer of git-lfs, which stands for the file; get the file itself: git lfs pull, "
                  "in its folder (Debian: apt-get install git-lfs)");
}

}  // namespace sdlora::detail
