#include "mutate.hpp"
#include "target.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include <sys/mman.h>
#include <unistd.h>

// Behind the end of a mapped file lies the rest of its page, where the sanitizers see nothing. So files are
// read into memory of their size instead (the linker's --wrap calls these).
namespace {
std::set<void*>& copies() {
  static std::set<void*> all;
  return all;
}
}  // namespace
extern "C" void* __real_mmap(void*, std::size_t, int, int, int, off_t);
extern "C" int __real_munmap(void*, std::size_t);

extern "C" void* __wrap_mmap(void* at, std::size_t size, int protection, int flags, int file, off_t offset) {
  if (file < 0 || protection != PROT_READ) return __real_mmap(at, size, protection, flags, file, offset);
  void* const copy = std::malloc(size);
  if (copy == nullptr || ::pread(file, copy, size, offset) != static_cast<ssize_t>(size)) std::abort();
  copies().insert(copy);
  return copy;
}

extern "C" int __wrap_munmap(void* at, std::size_t size) {
  if (copies().erase(at) == 0) return __real_munmap(at, size);
  std::free(at);
  return 0;
}

namespace fuzz {

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

const std::filesystem::path& folder() {
  static const std::filesystem::path made = [] {
    std::string pattern = (std::filesystem::temp_directory_path() / "sdlora-fuzz-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    return std::filesystem::path(pattern);
  }();
  return made;
}

std::filesystem::path write(const char* name, std::string_view bytes) {
  const std::filesystem::path path = folder() / name;
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() ||
      std::fclose(file) != 0) {
    std::fprintf(stderr, "fuzz: %s cannot be written\n", path.c_str());
    std::abort();
  }
  return path;
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::filesystem::path reference(const char* name) {
  return std::filesystem::path(SDLORA_SOURCE_DIR) / "tests/reference/data" / name;
}

namespace {

const Target* chosen = nullptr;

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "fuzz: %s\n", what.c_str());
  std::_Exit(EXIT_FAILURE);
}

/// What the target must do with the inputs that are known: read all but those named "bad…".
void check(const std::string& name, const std::string& input) {
  const bool bad = name.starts_with("bad");
  std::string error = "read";
  try {
    chosen->read(input);
  } catch (const sdlora::Error& refused) {
    error = refused.what();
  }
  if ((error != "read") == bad) return;
  refuse(std::string(chosen->name) + ", " + name + ": expected it to be " + (bad ? "refused" : "read") +
         ", found: " + error);
}

/// Puts what the target is known to read where SDLORA_FUZZ_SEEDS says.
void begin() {
  const char* const to = std::getenv("SDLORA_FUZZ_SEEDS");
  const std::vector<std::string> seeds = chosen->seeds();
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const std::string name = "seed_" + std::to_string(i);
    check(name, seeds[i]);
    if (to != nullptr) std::ofstream(std::filesystem::path(to) / name, std::ios::binary) << seeds[i];
  }
  const auto corpus = std::filesystem::path(SDLORA_SOURCE_DIR) / "tests/fuzz/corpus" / chosen->name;
  std::size_t count = seeds.size();
  if (std::filesystem::exists(corpus)) {
    for (const auto& each : std::filesystem::directory_iterator(corpus)) {
      check(each.path().filename().string(), content(each.path()));
      ++count;
    }
  }
  if (count == 0) refuse(std::string(chosen->name) + ": expected a corpus or seeds, found none");
}

}  // namespace
}  // namespace fuzz

/// With "--list" as its argument the program prints the names of the targets.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc > 1 && std::strcmp((*argv)[1], "--list") == 0) {
    for (const fuzz::Target& target : fuzz::targets())
      std::printf("%.*s\n", static_cast<int>(target.name.size()), target.name.data());
    std::exit(EXIT_SUCCESS);
  }
  const char* const name = std::getenv("SDLORA_FUZZ");
  for (const fuzz::Target& target : fuzz::targets()) {
    if (name != nullptr && target.name == name) fuzz::chosen = &target;
  }
  if (fuzz::chosen == nullptr) fuzz::refuse("expected a target's name in SDLORA_FUZZ; --list prints them");
  fuzz::begin();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::accepted([&] { fuzz::chosen->read({reinterpret_cast<const char*>(data), size}); });
  return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  if (seed % 4 != 0) {
    const std::string changed =
        fuzz::mutate({reinterpret_cast<const char*>(data), size}, fuzz::chosen->parts, seed);
    if (!changed.empty() && changed.size() <= max_size) {
      std::copy(changed.begin(), changed.end(), data);
      return changed.size();
    }
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
