// Encodes texts by a tokenizer.json and says how long that took; bench/tokenizer_peers.py compares it with
// the `tokenizers` library.
#include <sdlora/error.hpp>
#include <sdlora/io/bpe_tokenizer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace sdlora;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Texts as they come: a length (32 bits, little endian) and as many bytes, one after another.
std::vector<std::string> read_texts(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint32_t length = 0;
    if (bytes.size() - at < sizeof length) throw FileError(path, "", "ends within a length");
    std::memcpy(&length, bytes.data() + at, sizeof length);
    at += sizeof length;
    if (bytes.size() - at < length) throw FileError(path, "", "ends within a text");
    texts.push_back(bytes.substr(at, length));
    at += length;
  }
  return texts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr,
                 "usage: tokenizer TOKENIZER_JSON TEXTS IDS ROUNDS\n"
                 "  TEXTS: a 32-bit length and as many bytes, again and again; IDS is written likewise\n");
    return 2;
  }
  try {
    const auto begin = std::chrono::steady_clock::now();
    const BpeTokenizer tokenizer = BpeTokenizer::open(argv[1]);
    const double load = seconds_since(begin);
    const std::vector<std::string> texts = read_texts(argv[2]);
    double best = 0;
    std::vector<std::vector<std::int32_t>> ids;
    for (int round = 0; round < std::max(1, std::atoi(argv[4])); ++round) {
      ids.clear();
      const auto start = std::chrono::steady_clock::now();
      for (const std::string& text : texts) ids.push_back(tokenizer.encode(text));
      const double took = seconds_since(start);
      best = round == 0 ? took : std::min(best, took);
    }
    std::ofstream out(argv[3], std::ios::binary);
    for (const auto& each : ids) {
      const auto count = static_cast<std::uint32_t>(each.size());
      out.write(reinterpret_cast<const char*>(&count), sizeof count);
      out.write(reinterpret_cast<const char*>(each.data()),
                static_cast<std::streamsize>(each.size() * sizeof each[0]));
    }
    if (!out.flush()) throw FileError(argv[3], "", "writing failed; check the disk");
    std::printf("load %.6f\nencode %.6f\n", load, best);
  } catch (const Error& error) {
    std::fprintf(stderr, "tokenizer: %s\n", error.what());
    return 1;
  }
  return 0;
}
