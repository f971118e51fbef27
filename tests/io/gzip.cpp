#include <zlib.h>

#include <random>
#include <sdlora/io/gzip.hpp>
#include <sdlora/io/jsonl.hpp>
#include <string>

#include "support.hpp"

using namespace sdlora;
using test::check_error;

namespace {

std::string packed(const std::string& text) {
  z_stream stream = {};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string result(compressBound(static_cast<uLong>(text.size())) + 64, '\0'), input = text;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

std::string all(const std::filesystem::path& path) {
  InputFile file(path);
  std::string text;
  for (std::string_view part = file.next(); !part.empty(); part = file.next()) text += part;
  return text;
}

}  // namespace

TEST_CASE("gzip is unpacked, of any size and several members") {
  const test::Folder folder;
  std::mt19937 random(41);
  std::string large;
  for (int i = 0; i < 300'000; ++i) large += static_cast<char>('a' + random() % 20);
  for (const std::string& text : {std::string(), std::string("a"), std::string("line\n"), large}) {
    CHECK(all(folder.write("d.gz", packed(text))) == text);
    CHECK(all(folder.write("d.gz", packed(text) + packed("") + packed("end"))) == text + "end");
    CHECK(all(folder.write("d.gz", packed(text) + std::string(700, '\0'))) == text);
  }
  CHECK(all(folder.write("d", packed("\xEF\xBB\xBFmarked"))) == "marked");
}

TEST_CASE("damaged gzip is a FileError, and so is what is not text inside") {
  const test::Folder folder;
  const std::string good = packed(std::string(100'000, 'x') + "abcdefgh\n");
  const auto refused = [&](const std::string& bytes, std::initializer_list<std::string> parts) {
    check_error<FileError>([&] { (void)all(folder.write("d.gz", bytes)); }, {"d.gz"});
    check_error<FileError>([&] { (void)all(folder / "d.gz"); }, parts);
  };
  refused(good.substr(0, good.size() - 1), {"too early", "again"});
  refused(good.substr(0, 5), {"too early"});
  refused(good + "rubbish", {"unpacking gzip failed"});
  std::string crc = good;
  crc[crc.size() - 6] ^= 1;
  refused(crc, {"unpacking gzip failed"});
  refused(packed(good), {"gzip inside of gzip"});
  refused(packed("\xFF\xFEx"), {"UTF-16"});
  std::mt19937 random(43);
  for (int i = 0; i < 200; ++i) {
    std::string damaged = good;
    damaged[2 + random() % (damaged.size() - 2)] ^= static_cast<char>(1 << random() % 8);
    try {
      (void)all(folder.write("d.gz", damaged));
    } catch (const FileError&) {
    }
  }
}

TEST_CASE("JSONL is read from gzip") {
  const test::Folder folder;
  int sum = 0;
  for_each_json_line(folder.write("d.jsonl.gz", packed("{\"a\":1}\n{\"a\":2}\n")),
                     [&](const JsonObject& line, const std::string&) { sum += line.required<int>("a"); });
  CHECK(sum == 3);
}
