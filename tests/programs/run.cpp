#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "io/support.hpp"

namespace {

/// A copy of the project's entrance, in which `cmake` only makes the file that it ends with.
struct Tree : test::Folder {
  Tree() {
    std::filesystem::copy_file(std::filesystem::path(SDLORA_SOURCE_DIR) / "run", *this / "run");
    write("CMakePresets.json", "{}");
    std::filesystem::create_directories(*this / "tools");
    for (const char* tool : {"cmake", "ninja"}) {
      write(std::string("tools/") + tool,
            "#!/bin/sh\nmkdir -p build/release\n[ \"$1\" = --build ] || : >build/release/build.ninja\n");
      std::filesystem::permissions(*this / (std::string("tools/") + tool), std::filesystem::perms::owner_all);
    }
    std::filesystem::create_directories(*this / "build/release/CMakeFiles/x.dir");
    std::filesystem::create_directories(*this / "build/release/examples/my-adapter");
    write("build/release/CMakeFiles/x.dir/x.o", "stale");
    write("build/release/.ninja_log", "stale");
    write("build/release/examples/my-adapter/adapter.safetensors", "kept");
    write("build/release/notes", "kept");
  }

  void configured_in(const std::string& home) const {
    write("build/release/CMakeCache.txt", "CMAKE_HOME_DIRECTORY:INTERNAL=" + home + "\n");
  }

  /// `./run build x`, where no package is missing.
  int build() const {
    const std::string command = "PATH='" + (*this / "tools").string() + "':\"$PATH\" CXX=true '" +
                                (*this / "run").string() + "' build x >/dev/null 2>&1";
    return std::system(command.c_str());
  }

  void check_kept() const {
    CHECK(test::content(*this / "build/release/examples/my-adapter/adapter.safetensors") == "kept");
    CHECK(test::content(*this / "build/release/notes") == "kept");
  }
};

}  // namespace

TEST_CASE("run: a stale configuration goes, and nothing that somebody put beside the programs") {
  {
    const Tree moved;
    moved.configured_in((moved / "elsewhere").string());
    moved.write("build/release/build.ninja", "stale");
    CHECK(moved.build() == 0);
    moved.check_kept();
    CHECK(test::content(moved / "build/release/build.ninja").empty());
    for (const char* name : {"CMakeCache.txt", "CMakeFiles", ".ninja_log"}) {
      CAPTURE(name);
      CHECK(!std::filesystem::exists(moved / (std::string("build/release/") + name)));
    }
  }
  const Tree failed;
  failed.configured_in(failed.path().string());
  CHECK(failed.build() == 0);
  failed.check_kept();
  CHECK(!std::filesystem::exists(failed / "build/release/CMakeFiles"));
  // What is neither stale nor failed stays.
  failed.configured_in(failed.path().string());
  std::filesystem::create_directories(failed / "build/release/CMakeFiles");
  CHECK(failed.build() == 0);
  failed.check_kept();
  CHECK(std::filesystem::exists(failed / "build/release/CMakeFiles"));
}
