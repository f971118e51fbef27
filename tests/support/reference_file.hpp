#pragma once

#include <sdlora/io/safetensors.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sdlora_test {

/// The tensors of one folder of tests/reference/data, which PyTorch and Hugging Face computed: see
/// tests/reference/README.md.
class ReferenceFile {
 public:
  explicit ReferenceFile(const std::string& folder)
      : file_(sdlora::TensorFile::open(path_of(folder) / "outputs.safetensors")) {}

  static std::filesystem::path path_of(const std::string& folder) {
    return std::filesystem::path(SDLORA_SOURCE_DIR) / "tests/reference/data" / folder;
  }

  std::vector<double> read(const std::string& name) const { return file_.read<double>(name); }
  std::vector<std::int64_t> integers(const std::string& name) const { return file_.read<std::int64_t>(name); }
  double number(const std::string& name) const { return read(name).at(0); }

 private:
  sdlora::TensorFile file_;
};

}  // namespace sdlora_test
